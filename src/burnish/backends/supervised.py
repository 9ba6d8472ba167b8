"""Finetuning with transformers' Trainer, where the head and the loss are computed at supervised positions alone.

A supervised position is one whose next token is learned: a token of the completion, or its end. With a short answer to
a long prompt, most positions are not. TRL's SFTTrainer computes the head at all of them where Triton is missing.

Axes: B is the rows of a pass, T the token positions, V the vocabulary, and N the supervised positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from burnish.backends.head import has_head, head_at
from burnish.backends.passes import padded
from burnish.backends.render import Tokens

CHOSEN = "chosen"
"""The column of a batch that has the supervised positions."""
OURS = (CHOSEN, "reference", "lengths", "in_step")
"""The columns of a batch that are not for the model."""


def serves(model: Any) -> bool:
    """Say whether this way gives the loss of TRL's SFTTrainer for a model.

    It does not for a model whose logits do not come from a head that can be applied to chosen positions, nor for a
    mixture of experts, which adds a loss of its own that balances the experts.
    """
    config = model.config.get_text_config()
    if hasattr(config, "output_router_logits") or not has_head(model):
        return False
    # Some models compute logits from the head's weights without calling the head. Two tokens show it.
    device = next(model.parameters()).device
    chosen_BT = torch.tensor([[True, False]], device=device)
    with torch.no_grad(), head_at(model, chosen_BT):
        logits = model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=device), use_cache=False).logits
    return tuple(logits.shape[:2]) == (1, 1)


class Supervised:
    """In its block, each forward pass gives the logits of the positions `chosen` alone, with the shape (1, N, V).

    The model then takes batches with more columns than it knows. `held` has those of the last pass, for the loss.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.held = model, dict[str, torch.Tensor]()
        self.hooks: list[Any] = []

    def __enter__(self) -> Supervised:
        # Hooks and no wrapper around the model, so that the trainer saves the model itself at checkpoints.
        self.hooks = [
            self.model.register_forward_pre_hook(self._take, with_kwargs=True),
            self.model.get_output_embeddings().register_forward_pre_hook(self._select),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _take(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.held = {name: kwargs.pop(name) for name in OURS if name in kwargs}
        return args, kwargs

    def _select(self, _: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        # The head of a large model may be on another device than the ids.
        return (inputs[0][self.held[CHOSEN].to(inputs[0].device)].unsqueeze(0), *inputs[1:])


def batch_of(rows: Sequence[Tokens], pad: int) -> dict[str, torch.Tensor]:
    """Return the batch of a pass. An empty one has a single token and nothing to learn."""
    batch = padded([row.ids for row in rows], pad)
    label_BT = torch.full_like(batch["input_ids"], -100)
    for place, row in enumerate(rows):
        # Nothing predicts the first token, so it is never learned.
        start = max(1, row.prompt_length)
        label_BT[place, start : len(row.ids)] = torch.tensor(row.ids[start:])
    # The logits at position t predict the token at t + 1.
    chosen_BT = torch.nn.functional.pad(label_BT[:, 1:] != -100, (0, 1))
    return batch | {"labels": label_BT, CHOSEN: chosen_BT}


def loss_of(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any) -> torch.Tensor:
    """Return the cross-entropy, summed over the pass, divided by the number of targets of the whole step."""
    target_N = labels[labels != -100]
    losses = torch.nn.functional.cross_entropy(outputs.logits[0].float(), target_N, reduction="sum")
    return losses / num_items_in_batch
