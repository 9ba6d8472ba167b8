"""Log-probabilities of rendered rows. The head of the model is applied to positions with a target and to no others.

Axes: B is the rows of a batch, T the token positions, V the vocabulary, and N the tokens that have a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from burnish.backends.head import head_at
from burnish.backends.limits import LOGITS


def most_targets(model: Any) -> int:
    """Return how many positions with a target may be projected to the vocabulary at once."""
    return max(1, LOGITS // model.get_output_embeddings().weight.shape[0])


def right_padded(ids: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask, both of the shape (B, T). The padding is on the right, as in training."""
    longest = max(len(row) for row in ids)
    input_BT = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in ids], device=device)
    mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=device)
    return input_BT, mask_BT


def logprob_sums(model: Any, ids: Sequence[Sequence[int]], starts: Sequence[int], pad: int) -> list[float]:
    """Return log p(row from its start on | what is before) of each row in nats. `starts` are the rows' first targets.

    The logits are turned into log-probabilities in float32 and summed in float64. One pass over the rows projects at
    most `most_targets` positions. If the rows have more, there are several passes.
    """
    input_BT, mask_BT = right_padded(ids, pad, model.device)
    # The logits at position t predict the token at t + 1. So the targets move one column to the left.
    target_BT = input_BT.roll(-1, dims=1)
    chosen_BT = torch.zeros_like(mask_BT, dtype=torch.bool)
    for row, (tokens, start) in enumerate(zip(ids, starts, strict=True)):
        chosen_BT[row, max(start - 1, 0) : len(tokens) - 1] = True
    sums_B = torch.zeros(len(ids), dtype=torch.float64)
    with torch.inference_mode():
        for part_N2 in chosen_BT.nonzero().split(most_targets(model)):
            row_N, place_N = part_N2.unbind(dim=1)
            part_BT = torch.zeros_like(chosen_BT)
            part_BT[row_N, place_N] = True
            with head_at(model, part_BT):
                logits_NV = model(input_ids=input_BT, attention_mask=mask_BT, use_cache=False).logits[0]
            losses_N = torch.nn.functional.cross_entropy(logits_NV.float(), target_BT[row_N, place_N], reduction="none")
            # The sum is taken on the CPU: MPS has no float64, and on CUDA `index_add_` adds in an order that changes
            # from run to run.
            sums_B.index_add_(0, row_N.cpu(), -losses_N.cpu().double())
    return sums_B.tolist()
