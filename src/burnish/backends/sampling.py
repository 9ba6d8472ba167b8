"""Sampling that is a function of the item, not of the batch: one uniform a step, through the inverse CDF."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

from burnish.protocols import SamplingKey
from burnish.types import Prompt


def uniform(key: SamplingKey, item: str, sample: int, step: int) -> float:
    """Return a number in [0, 1] that depends on its arguments alone. The largest of them is rounded up to 1."""
    # A separator that no ordinary id has. With a dash, stage `x-1` in round 2 with item `a` would give the same text as
    # stage `x` in round 1 with item `2-a`.
    text = f"{key.seed}\x1f{key.stage}\x1f{key.round}\x1f{item}\x1f{sample}\x1f{step}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56


class InverseCdf(LogitsProcessor):
    """Leaves one token a row, the first whose cumulated probability exceeds the row's uniform. Greedy takes it."""

    def __init__(self, key: SamplingKey, prompts: Sequence[Prompt], prompt_length: int, temperature: float) -> None:
        self.key, self.prompts = key, prompts
        self.prompt_length, self.temperature = prompt_length, temperature

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """Take scores (rows, vocabulary), return them with all but the drawn token at minus infinity."""
        step = input_ids.shape[1] - self.prompt_length
        draws = [uniform(self.key, prompt.id, prompt.sample, step) for prompt in self.prompts]
        where = "cpu" if scores.device.type == "mps" else scores.device  # MPS has no float64
        # In float64: the rounding of a float32 sum over 150,000 tokens is larger than the probability of a rare token.
        cumulated_BV = torch.softmax(scores.to(where, torch.float64) / self.temperature, dim=-1).cumsum(dim=-1)
        # Times the last sum, which rounding may leave a little below or above 1.
        draws_B1 = torch.tensor(draws, dtype=torch.float64, device=where).unsqueeze(1) * cumulated_BV[:, -1:]
        # `right` makes it the first sum above the draw and never one that equals it. So a token of probability 0 is
        # never drawn, even if the draw is 0.
        token_B1 = torch.searchsorted(cumulated_BV, draws_B1, right=True).to(scores.device)
        only = torch.full_like(scores, -torch.inf)
        # If the draw equals the last sum, no sum is above it. The clamp takes the last token then.
        return only.scatter(1, token_B1.clamp(max=scores.shape[1] - 1), 0.0)
