"""How often a reward model misjudges a policy's own answers.

The mismatch rate is taken over pairs of a prompt's sampled answers of which exactly one is better: by a checker, a
judge or people. It is the share in which the reward model prefers the worse one. The paper (arXiv 2406.07971) reports
35 %. Its complement on pairs of other models' answers is the usual accuracy of a reward model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from burnish.stats import Z95, Interval, ratio_interval, share_over_items

LEAST_ITEMS = 4
"""The fewest items whose rank correlation has an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptMismatch:
    """The pairs of one prompt, and in how many of them the reward model prefers the worse answer.

    A pair with equal rewards counts as half.
    """

    id: str
    pairs: int
    misjudged: float

    @property
    def rate(self) -> float | None:
        """The mismatch rate of the prompt, or None if it has no pair."""
        return self.misjudged / self.pairs if self.pairs else None


def misjudged(id_: str, pairs: Iterable[tuple[float, float]]) -> PromptMismatch:
    """Count the pairs of a prompt, each as (reward of the better answer, reward of the worse one)."""
    counted = [0.5 if better == worse else float(worse > better) for better, worse in pairs]
    return PromptMismatch(id=id_, pairs=len(counted), misjudged=math.fsum(counted))


def by_checker(id_: str, right: Sequence[float], wrong: Sequence[float]) -> PromptMismatch:
    """Count the pairs of a right and a wrong answer. The arguments are the rewards of all right and wrong samples."""
    return misjudged(id_, product(right, wrong))


def mismatch_rate(prompts: Sequence[PromptMismatch]) -> Interval | None:
    """Return the share of misjudged pairs over all prompts, or None without pairs.

    The pairs of one prompt depend on each other. So the interval takes prompts as the independent items, and `n` is the
    number of prompts with a pair. If all prompts have the same rate, it is that of `share_over_items`.
    """
    paired = [prompt for prompt in prompts if prompt.pairs]
    if not paired:
        return None
    rates = {prompt.misjudged / prompt.pairs for prompt in paired}
    if len(paired) > 1 and len(rates) == 1:
        # The t interval would have no width, as if two prompts without a mistake showed that there are none.
        return share_over_items(list(rates) * len(paired))
    found = ratio_interval([prompt.misjudged for prompt in paired], [float(prompt.pairs) for prompt in paired])
    # The t interval of a share can reach beyond what a share can be.
    low, high = (None if bound is None else min(max(bound, 0.0), 1.0) for bound in (found.low, found.high))
    return Interval(value=found.value, low=low, high=high, n=found.n)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Return Spearman's rank correlation of two lists, with the interval of Bonett and Wright (Psychometrika 65, 2000).

    Returns None for fewer than four items, or if one list does not vary.
    """
    from scipy.stats import spearmanr  # noqa: PLC0415 slow to import

    assert len(first) == len(second), (len(first), len(second))
    n = len(first)
    if n < LEAST_ITEMS or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return correlation_interval(float(spearmanr(first, second).statistic), n)


def correlation_interval(value: float, n: int) -> Interval:
    """Return Spearman's rank correlation of `n` items with the interval of Bonett and Wright.

    Fewer than four items have no bounds. A correlation of 1 reaches from the lower bound of the next lower one, which
    ranks without ties can have, to 1, because the interval is not defined at 1. -1 is its mirror image.
    """
    if n < LEAST_ITEMS:
        return Interval(value=value, low=None, high=None, n=n)
    # Rounding may leave a last digit below 1. Two neighbouring ranks that change places lower a correlation of 1 by
    # `step`. With very many items it is so small that 1 - step would be 1 again.
    perfect, step = abs(value) > 1 - 1e-12, max(12 / (n * (n**2 - 1)), 1e-12)
    inner = math.copysign(1 - step, value) if perfect else value
    reach = Z95 * math.sqrt((1 + inner**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(inner) + sign * reach) for sign in (-1, 1))
    if perfect:
        low, high = (low, 1.0) if value > 0 else (-1.0, high)
    return Interval(value=value, low=low, high=high, n=n)
