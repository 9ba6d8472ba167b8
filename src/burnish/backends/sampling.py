"""Sampling that depends on the item and not on its batch. Each step turns one uniform number into a token through the
inverse of the cumulative distribution."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

from burnish.protocols import SamplingKey
from burnish.types import Prompt


def uniform(key: SamplingKey, item: str, sample: int, step: int) -> float:
    """Return a number in [0, 1] that depends only on the arguments. The largest numbers are rounded up to 1."""
    # The separator is a character that no ordinary id has. With a dash, stage `x-1` in round 2 with item `a` would give
    # the same text as stage `x` in round 1 with item `2-a`.
    text = f"{key.seed}\x1f{key.stage}\x1f{key.round}\x1f{item}\x1f{sample}\x1f{step}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56


class InverseCdf(LogitsProcessor):
    """Draws one token for each row and hides all others, so that greedy search takes the drawn one.

    It is the first token whose cumulated probability exceeds the row's uniform number.
    """

    def __init__(self, key: SamplingKey, prompts: Sequence[Prompt], prompt_length: int, temperature: float) -> None:
        self.key, self.prompts = key, prompts
        self.prompt_length, self.temperature = prompt_length, temperature

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of the shape (rows, vocabulary): 0 for the drawn token, minus infinity for all others."""
        step = input_ids.shape[1] - self.prompt_length
        draws = [uniform(self.key, prompt.id, prompt.sample, step) for prompt in self.prompts]
        where = "cpu" if scores.device.type == "mps" else scores.device  # MPS has no float64
        # The sum needs float64. In float32, the rounding error over 150,000 tokens is larger than the probability of a
        # rare token.
        cumulated_BV = torch.softmax(scores.to(where, torch.float64) / self.temperature, dim=-1).cumsum(dim=-1)
        # The draw is multiplied by the last sum, because rounding may make that a little smaller or larger than 1.
        draws_B1 = torch.tensor(draws, dtype=torch.float64, device=where).unsqueeze(1) * cumulated_BV[:, -1:]
        # `right` finds the first sum above the draw, never one that equals it. So a token of probability 0 is never
        # drawn, even if the draw is 0.
        token_B1 = torch.searchsorted(cumulated_BV, draws_B1, right=True).to(scores.device)
        only = torch.full_like(scores, -torch.inf)
        # If the draw equals the last sum, no sum is above it. Then the clamp takes the last token.
        return only.scatter(1, token_B1.clamp(max=scores.shape[1] - 1), 0.0)
