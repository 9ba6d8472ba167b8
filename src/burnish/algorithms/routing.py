"""Who decides a pair: an annotator that is asked about all pairs, or a second one that is asked where it is not sure.

The pairs fall into two strata: those on which the first annotator is sure, and the others. In each stratum the second
annotator is asked about pairs that are drawn at random. So each pair has a known probability of being asked, and a
share among all pairs can be estimated from those that were asked, weighted by one over this probability.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.algorithms.caps import meant
from burnish.algorithms.comparisons import EVEN, orders_of, verdict_of
from burnish.algorithms.refinement import drawn
from burnish.stats import Interval, stratified_share
from burnish.types import Preference, Verdict


class RouteReason(StrEnum):
    """Why the one or the other annotator decides a pair.

    The second one decides if the first one's orders name different winners (`orders_disagree`), if it abstains
    (`abstained`), if its confidence is low or it names no winner (`low_confidence`), and in the `control`. The first
    one decides if it is `sure`, or if more pairs would have to be asked than are allowed (`over_budget`).
    """

    ORDERS_DISAGREE = "orders_disagree"
    ABSTAINED = "abstained"
    LOW_CONFIDENCE = "low_confidence"
    CONTROL = "control"
    SURE = "sure"
    OVER_BUDGET = "over_budget"


ASKED = frozenset({RouteReason.ORDERS_DISAGREE, RouteReason.ABSTAINED, RouteReason.LOW_CONFIDENCE, RouteReason.CONTROL})
"""The reasons for which the second annotator is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """When the second annotator is asked.

    The first one is sure if P(the answer that it prefers is better) is at least `sure`. `control` is the share of the
    sure pairs that are asked all the same. `budget` is the largest number of pairs that are asked, or None.
    """

    sure: float
    control: float
    budget: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who decides a pair (`why`), and the probability with which the pair was asked (`p_asked`).

    `sure` says to which stratum the pair belongs.
    """

    comparison_id: str
    why: RouteReason
    sure: bool
    p_asked: float

    @property
    def asked(self) -> bool:
        """Whether the second annotator is asked."""
        return self.why in ASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeErrors:
    """How often the first annotator was wrong by the second one's verdicts.

    `sure` is the share of wrong verdicts among the control pairs on which both name a winner, so an estimate for all
    pairs on which the first annotator is sure. `every` is the estimate for all pairs on which both would name a winner.
    Each is None if no such pair was asked. `undecided` counts the asked pairs on which one of them names no winner.
    """

    sure: Interval | None
    every: Interval | None
    undecided: int


def doubt(preference: Preference, sure: float) -> RouteReason | None:
    """Say why an annotator is not sure of a pair. Return None where it is sure."""
    if preference.p_b is None:
        return RouteReason.ABSTAINED
    verdicts = {verdict_of(p_b) for p_b in orders_of(preference)}
    if {Verdict.A, Verdict.B} <= verdicts:
        return RouteReason.ORDERS_DISAGREE
    # Of two orders, one may name no winner. Then the mean does, but the annotator is not sure of it.
    unsure = Verdict.TIE in verdicts or preference.verdict is Verdict.TIE
    # EVEN: both sides are rounded alike.
    low = abs(preference.p_b - 0.5) + 0.5 < sure - EVEN
    return RouteReason.LOW_CONFIDENCE if unsure or low else None


def routed(preferences: Sequence[Preference], rule: RouteRule, seed: int) -> list[Route]:
    """Say who decides each pair, in the order of the pairs.

    Pairs are drawn by a hash of `seed` and the id of the comparison, so the draw does not depend on their order.
    """
    doubts = [doubt(preference, rule.sure) for preference in preferences]
    ids = [preference.comparison_id for preference in preferences]
    unsure = [id_ for id_, why in zip(ids, doubts, strict=True) if why is not None]
    sure = [id_ for id_, why in zip(ids, doubts, strict=True) if why is None]
    of_unsure, of_sure = numbers(len(unsure), len(sure), rule)
    asked = drawn(unsure, of_unsure, seed, 0, "route") | drawn(sure, of_sure, seed, 0, "control")
    p_unsure, p_sure = (k / n if n else 0.0 for k, n in ((of_unsure, len(unsure)), (of_sure, len(sure))))
    return [
        Route(comparison_id=id_, why=_why(why, id_ in asked), sure=not why, p_asked=p_unsure if why else p_sure)
        for id_, why in zip(ids, doubts, strict=True)
    ]


def numbers(unsure: int, sure: int, rule: RouteRule) -> tuple[int, int]:
    """Return how many of the unsure pairs and how many of the sure pairs are asked.

    A control has at least one pair. If the budget is too small, both numbers are reduced by the same factor.
    """
    control = math.ceil(meant(rule.control) * sure)
    if rule.budget is None or unsure + control <= rule.budget:
        return unsure, control
    # In whole numbers, so that nothing is rounded. The control is rounded up, so that it does not vanish.
    of_sure = -(-rule.budget * control // (unsure + control))
    return rule.budget - of_sure, of_sure


def _why(doubted: RouteReason | None, asked: bool) -> RouteReason:
    if doubted is None:
        return RouteReason.CONTROL if asked else RouteReason.SURE
    return doubted if asked else RouteReason.OVER_BUDGET


def judge_errors(asked: Iterable[tuple[Route, Preference, Preference]]) -> JudgeErrors:
    """Estimate how often the first annotator is wrong, if the second one is right.

    `asked` has, for each pair that was asked, its route, the first annotator's preference and the second one's.
    """
    decided, wrong, weight, undecided = Counter[bool](), Counter[bool](), dict[bool, float](), 0
    winners = {Verdict.A, Verdict.B}
    for route, first, second in asked:
        if first.verdict not in winners or second.verdict not in winners:
            undecided += 1
            continue
        decided[route.sure] += 1
        wrong[route.sure] += first.verdict is not second.verdict
        weight[route.sure] = 1 / route.p_asked
    # A pair that was asked with the probability p stands for 1 / p pairs.
    strata = [(decided[sure] * weight[sure], wrong[sure], decided[sure]) for sure in sorted(decided)]
    return JudgeErrors(
        sure=stratified_share([(1.0, wrong[True], decided[True])]) if decided[True] else None,
        every=stratified_share(strata) if strata else None,
        undecided=undecided,
    )
