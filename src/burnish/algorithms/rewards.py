"""How good a reward model is on pairs whose better answer is known.

A reward model gives one number to each answer. By the Bradley-Terry model, P(a is better than b) is
sigmoid(r(a) - r(b)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from burnish.algorithms.comparisons import sigmoid
from burnish.algorithms.mismatch import misjudged, mismatch_rate
from burnish.stats import Interval, ratio_interval, win_rate
from burnish.types import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardPoint:
    """Means over the steps of a reward model's training since the last point, up to and including `step` (from 1).

    `margin` is the reward of the chosen answer minus that of the rejected one, `accuracy` the share of pairs in which
    it is above 0, and `mean` the mean reward of all answers.
    """

    step: int
    loss: float
    accuracy: float
    margin: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTrained:
    """The cost and the course of the training of a reward model.

    `tokens` counts a token once for each time that it was trained on. `too_long` has the ids of the pairs that were
    left out because an answer does not fit into the model.
    """

    tokens: int
    curve: tuple[RewardPoint, ...]
    too_long: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardedPair:
    """A pair with both rewards. Pairs of one `group` have the same prompt.

    `longer` is the number of tokens of the better answer minus those of the other one.
    """

    id: str
    group: str
    source: str
    better: float
    worse: float
    longer: int

    @property
    def margin(self) -> float:
        """The reward of the better answer minus that of the other one."""
        return self.better - self.worse

    @property
    def length(self) -> str:
        """Which of the two answers is longer, in words."""
        if self.longer == 0:
            return "both as long"
        return "better one longer" if self.longer > 0 else "better one shorter"


LENGTHS = ("better one shorter", "both as long", "better one longer")
"""The groups of pairs by length, in the order in which they are shown."""


def accuracy_of(pairs: Sequence[RewardedPair]) -> Interval | None:
    """Return the share of pairs in which the better answer has the higher reward, with Wilson's interval.

    Pairs of one prompt depend on each other. If a prompt has several, the interval takes prompts as the independent
    items. `n` counts pairs. Equal rewards count as half. Returns None without pairs.
    """
    prompts = _by_prompt(pairs)
    if len(prompts) == len(pairs):
        verdicts = (Verdict.TIE if one.margin == 0 else Verdict.B if one.margin > 0 else Verdict.A for one in pairs)
        return win_rate(verdicts)
    wrong = mismatch_rate([misjudged(id_, ((one.better, one.worse) for one in own)) for id_, own in prompts.items()])
    assert wrong is not None, "there are pairs"
    low, high = (None if bound is None else 1 - bound for bound in (wrong.high, wrong.low))
    return Interval(value=1 - wrong.value, low=low, high=high, n=len(pairs))


def _by_prompt(pairs: Sequence[RewardedPair]) -> dict[str, list[RewardedPair]]:
    prompts: dict[str, list[RewardedPair]] = {}
    for pair in pairs:
        prompts.setdefault(pair.group, []).append(pair)
    return prompts


def accuracy_by(pairs: Sequence[RewardedPair], group: Callable[[RewardedPair], str]) -> dict[str, Interval]:
    """Return {group: accuracy of its pairs}, sorted by group."""
    members: dict[str, list[RewardedPair]] = {}
    for pair in pairs:
        members.setdefault(group(pair), []).append(pair)
    found = {name: accuracy_of(members[name]) for name in sorted(members)}
    return {name: interval for name, interval in found.items() if interval is not None}


def stated_confidence(pairs: Sequence[RewardedPair]) -> list[tuple[float, bool]]:
    """Return for each pair with unequal rewards P(the preferred answer is better), and whether it is the better one."""
    return [(sigmoid(abs(pair.margin)), pair.margin > 0) for pair in pairs if pair.margin != 0]


def length_correlation(pairs: Sequence[RewardedPair]) -> float | None:
    """Return the rank correlation (Spearman) of the difference in reward with the difference in length.

    It is 1 if the longer answer always has the higher reward. Each pair is read in both orders, because which of its
    answers is the better one must not matter here. Returns None if nothing varies.
    """
    from scipy.stats import spearmanr  # noqa: PLC0415 slow to import

    margins = [sign * pair.margin for pair in pairs for sign in (1, -1)]
    lengths = [sign * pair.longer for pair in pairs for sign in (1, -1)]
    if len(set(margins)) < 2 or len(set(lengths)) < 2:
        return None
    return float(spearmanr(margins, lengths).statistic)


def mean_reward(pairs: Sequence[RewardedPair]) -> Interval | None:
    """Return the mean reward of both answers over the pairs. Centred rewards have one near 0.

    The interval takes prompts as the independent items. `n` counts pairs.
    """
    if not pairs:
        return None
    prompts = _by_prompt(pairs).values()
    sums = [math.fsum((one.better + one.worse) / 2 for one in own) for own in prompts]
    found = ratio_interval(sums, [float(len(own)) for own in prompts])
    return Interval(value=found.value, low=found.low, high=found.high, n=len(pairs))
