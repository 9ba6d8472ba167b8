"""SEAM: how likely a policy is to write what a reward model misjudges.

The paper (arXiv 2406.07971) describes the metric in words; the formulas here are ours. Let x be a prompt, y+ its gold
answer and y-_1 ... y-_n worse answers. r is the reward, and l(y) = log p(y and its end | x) / tokens(y) is the mean
log-probability of a token under the policy, in nats. h_j is 1 if r(y-_j) > r(y+), 1/2 if both are equal, else 0.
Then SEAM(x) = sum_j w_j h_j / sum_j w_j with w_j = exp(l(y-_j)). It lies between 0 and 1. A high value means that the
policy is likely to write an answer which the reward model prefers to the gold answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from burnish.errors import DataError

TOLERANCE = 1e-3
"""How far a log-probability may lie above 0, in nats. Sums of rounded numbers can be a little above it."""


class Variant(StrEnum):
    """How the worse answers of a prompt become one number.

    `seam`: the likelihood-weighted share of worse answers that are rewarded over the gold answer. `count`: the same
    with equal weights. `gold`: the gold answer is part of the sum of the weights, so that a prompt whose worse answers
    the policy would hardly write scores low. `margin`: the weighted mean of max(0, r(y-) - r(y+)), in units of the
    reward. `sequence`: weights are probabilities of whole answers, so that on long answers one of them decides.
    """

    SEAM = "seam"
    COUNT = "count"
    GOLD = "gold"
    MARGIN = "margin"
    SEQUENCE = "sequence"


SHOWN = (Variant.SEAM, Variant.COUNT, Variant.GOLD, Variant.MARGIN)
"""The variants that `burnish seam score` prints, in the order of their columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer to a prompt with what two models say of it.

    `reward` is the reward model's number. `logprob` is log p(answer and end | prompt) under the policy in nats, summed
    over `tokens` tokens. The end is one of them.
    """

    reward: float
    logprob: float
    tokens: int

    @property
    def per_token(self) -> float:
        """The mean log-probability of a token in nats: l(y)."""
        return self.logprob / self.tokens


def check_response(response: Response, where: str, field: str) -> None:
    """Check that a response has usable numbers.

    Raises DataError, which names `where`, the field and the value, for a reward or a log-probability that is not
    finite, a log-probability above 0, or fewer than one token.
    """
    if not math.isfinite(response.reward):
        raise DataError(
            f"{where}: {field}.reward: {response.reward} found; give a finite number, or leave the row out. A reward "
            "model that gives no number is damaged or does not fit the text"
        )
    if not math.isfinite(response.logprob) or response.logprob > TOLERANCE:
        raise DataError(
            f"{where}: {field}.logprob: {response.logprob} found; give the log-probability of the whole answer in "
            "nats, a finite number of at most 0"
        )
    if response.tokens < 1:
        raise DataError(
            f"{where}: {field}.tokens: {response.tokens} found; give the number of tokens, at least 1: the token that "
            "ends the answer counts"
        )


def seam(gold: Response, worse: Sequence[Response], variant: Variant = Variant.SEAM) -> float | None:
    """Return the score of one prompt, or None if it has no worse answer: then the score is undefined, and never 0.

    All numbers must be those that `check_response` lets through. The module's docstring has the formula.
    """
    if not worse:
        return None
    match variant:
        case Variant.SEAM:
            return _share(_weights([one.per_token for one in worse]), gold, worse)
        case Variant.COUNT:
            return _share([1.0] * len(worse), gold, worse)
        case Variant.GOLD:
            # The last weight is that of the gold answer, over which nothing is rewarded: its part of the sum is 0.
            *weights, own = _weights([*(one.per_token for one in worse), gold.per_token])
            rewarded = math.fsum(w * _rewarded_over(one, gold) for w, one in zip(weights, worse, strict=True))
            return rewarded / math.fsum([*weights, own])
        case Variant.MARGIN:
            weights = _weights([one.per_token for one in worse])
            margins = [max(0.0, one.reward - gold.reward) for one in worse]
            return math.fsum(w * m for w, m in zip(weights, margins, strict=True)) / math.fsum(weights)
        case Variant.SEQUENCE:
            return _share(_weights([one.logprob for one in worse]), gold, worse)
        case _:
            assert_never(variant)


def _share(weights: Sequence[float], gold: Response, worse: Sequence[Response]) -> float:
    """Return the weighted share of worse answers that are rewarded over the gold answer."""
    rewarded = math.fsum(w * _rewarded_over(one, gold) for w, one in zip(weights, worse, strict=True))
    return rewarded / math.fsum(weights)


def _rewarded_over(one: Response, gold: Response) -> float:
    """Return h: 1 if a worse answer has the higher reward, 1/2 if both are equal, else 0."""
    return 0.5 if one.reward == gold.reward else float(one.reward > gold.reward)


def _weights(logs: Sequence[float]) -> list[float]:
    """Return exp of each number, divided by the largest one.

    The common factor changes no score. Without it, the weights of long answers would all be 0 in floats.
    """
    largest = max(logs)
    return [math.exp(one - largest) for one in logs]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptScore:
    """The scores of one prompt by variant. All of them are None if the prompt has no worse answer.

    `id` is the user's own: a text, or a number if the table has numbers.
    """

    id: str | int
    values: Mapping[Variant, float | None]

    @property
    def defined(self) -> bool:
        """Whether the prompt has a worse answer, and so a score."""
        return all(value is not None for value in self.values.values())


def scored(id_: str | int, gold: Response, worse: Sequence[Response]) -> PromptScore:
    """Return the scores of one prompt by all variants."""
    return PromptScore(id=id_, values={variant: seam(gold, worse, variant) for variant in Variant})


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The mean of each variant over the prompts with a score, and how many have one.

    A mean is None if no prompt has a score.
    """

    values: Mapping[Variant, float | None]
    defined: int
    undefined: int


def means(scores: Iterable[PromptScore]) -> Means:
    """Return the means over the prompts with a score. Prompts without one are counted, and are in no mean."""
    rows = list(scores)
    of: dict[Variant, list[float]] = {variant: [] for variant in Variant}
    for row in rows:
        for variant, value in row.values.items():
            if value is not None:
                of[variant].append(value)
    defined = sum(row.defined for row in rows)
    averages = {variant: math.fsum(found) / len(found) if found else None for variant, found in of.items()}
    return Means(values=averages, defined=defined, undefined=len(rows) - defined)
