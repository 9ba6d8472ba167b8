"""Plans which rows go through the model together in training.

A step of the optimiser has `batch_size` rows. They go through the model in passes, whose gradients add up to that of
one pass over all of them. The rows of a pass have about the same length, so there is little padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler

from burnish.backends.batching import plan_batches

Pass = list[int]
"""The rows (their indices) that go through the model together. It may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What fits into a pass: at most `tokens` padded tokens, or at most `rows` rows."""

    tokens: int | None = None
    rows: int | None = None

    def passes(self, rows: Sequence[int], lengths: Sequence[int]) -> list[Pass]:
        """Group rows into passes, the longest rows first. `lengths` has the number of tokens of every row."""
        chosen = sorted(rows, key=lambda row: (-lengths[row], row))
        if self.tokens is not None:
            groups = plan_batches([lengths[row] for row in chosen], self.tokens)
        else:
            groups = plan_batches([1] * len(chosen), self.rows or 1)
        return [[chosen[place] for place in group] for group in groups]


def order(rows: int, epoch: int, seed: int) -> list[int]:
    """Return the rows in the order of an epoch. It is the order in which transformers' Trainer would draw them."""
    sampler = SeedableRandomSampler(range(rows), data_seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def plan_passes(
    lengths: Sequence[int], steps: int, batch_size: int, seed: int, limit: Limit, processes: int = 1
) -> list[list[Pass]]:
    """Return the passes of each of the first `steps` steps. `lengths` are the rows' numbers of tokens.

    The rows of a step are those that transformers' Trainer would take for it: each epoch has an order of its own, and
    its last step may have fewer rows. All steps have the same number of passes. It is a multiple of `processes`, which
    share the passes of each step. If a step has fewer rows than passes, some of its passes are empty.
    """
    planned: list[list[Pass]] = []
    epoch = 0
    while len(planned) < steps:
        rows = order(len(lengths), epoch, seed)
        planned += [limit.passes(rows[at : at + batch_size], lengths) for at in range(0, len(rows), batch_size)]
        epoch += 1
    planned = planned[:steps]
    most = max(map(len, planned))
    count = -(-most // processes) * processes
    return [_divided(passes, count) for passes in planned]


def _divided(passes: Sequence[Pass], count: int) -> list[Pass]:
    """Return `count` passes over the same rows. The largest are cut in two, and empty ones are added at the end."""
    divided = list(passes)
    while len(divided) < count:
        place = max(range(len(divided)), key=lambda i: len(divided[i]))
        whole = divided[place]
        if len(whole) < 2:
            return divided + [[]] * (count - len(divided))
        divided[place : place + 1] = [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
    return divided


def padded(rows: Sequence[Sequence[int]], pad: int) -> dict[str, torch.Tensor]:
    """Return token ids and attention mask of the rows of a pass, padded on the right with `pad`.

    An empty pass gets one row of a single token, so that every process of a step has something to compute.
    """
    rows = rows or [[pad]]
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
    }


def padding(tokenizer: Any, rows: Sequence[Sequence[int]]) -> int:
    """Return a token that fills up rows for a head, which transformers applies to the last token that is no padding.

    It is the tokenizer's pad token, unless a row ends in it. Then the head would be applied to the token before the end
    of the answer, and an answer with its end and one that was cut would look the same.
    """
    last = {row[-1] for row in rows}
    candidates = [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, *range(len(tokenizer))]
    return next(token for token in candidates if token is not None and token not in last)
