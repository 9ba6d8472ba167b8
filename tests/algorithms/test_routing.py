"""Routing: who is asked and why, within a budget; and what the control says about the annotator that is asked first."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms.comparisons import combined
from burnish.algorithms.routing import (
    JudgeErrors,
    Route,
    RouteReason,
    RouteRule,
    doubt,
    judge_errors,
    numbers,
    routed,
)
from burnish.stats import stratified_share, wilson
from burnish.types import Order, Preference

BOTH = (Order.AB, Order.BA)


def judged(id_: str, p_ab: float | None, p_ba: float | None) -> Preference:
    """Return a preference from P(b is better) in both orders."""
    return combined(id_, BOTH, (p_ab, None if p_ba is None else 1 - p_ba), "judge")


def said(id_: str, p_b: float | None) -> Preference:
    return combined(id_, (Order.AB,), (p_b,), "people")


@pytest.mark.parametrize(
    ("p_ab", "p_ba", "why"),
    [
        (0.9, 0.8, None),
        (0.1, 0.2, None),
        (0.75, 0.75, None),
        (0.25, 0.25, None),
        (0.9, 0.58, RouteReason.LOW_CONFIDENCE),
        (0.3, 0.3, RouteReason.LOW_CONFIDENCE),
        (1.0, 0.5, RouteReason.LOW_CONFIDENCE),
        (0.5, 0.5, RouteReason.LOW_CONFIDENCE),
        (1.0, 0.49, RouteReason.ORDERS_DISAGREE),
        (0.6, 0.4, RouteReason.ORDERS_DISAGREE),
        (None, 0.9, RouteReason.ABSTAINED),
        (None, None, RouteReason.ABSTAINED),
    ],
)
def test_where_a_judge_is_not_sure(p_ab: float | None, p_ba: float | None, why: RouteReason | None) -> None:
    assert doubt(judged("c", p_ab, p_ba), 0.75) is why


def test_a_tie_is_never_sure() -> None:
    assert doubt(judged("c", 0.5, 0.5), 0.5) is RouteReason.LOW_CONFIDENCE
    assert doubt(said("c", 0.5), 0.5) is RouteReason.LOW_CONFIDENCE
    assert doubt(said("c", 0.51), 0.5) is None


@pytest.mark.parametrize(
    ("unsure", "sure", "control", "budget", "asked"),
    [
        (10, 90, 0.1, None, (10, 9)),
        (10, 91, 0.1, None, (10, 10)),  # rounded up
        (0, 1, 0.1, None, (0, 1)),
        (10, 90, 0.0, None, (10, 0)),
        (10, 90, 1.0, None, (10, 90)),
        (10, 90, 0.1, 19, (10, 9)),
        (10, 90, 0.1, 10, (5, 5)),
        (40, 100, 0.1, 10, (8, 2)),
        (100, 10, 0.1, 3, (2, 1)),
        (0, 0, 0.1, 3, (0, 0)),
        (3, 100, 0.0, 2, (2, 0)),
    ],
)
def test_how_many_are_asked(unsure: int, sure: int, control: float, budget: int | None, asked: tuple[int, int]) -> None:
    assert numbers(unsure, sure, RouteRule(sure=0.75, control=control, budget=budget)) == asked


@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from([0.0, 0.1, 0.33, 1.0]),
    st.one_of(st.none(), st.integers(1, 90)),
)
def test_the_budget_is_never_exceeded_nor_wasted(unsure: int, sure: int, control: float, budget: int | None) -> None:
    rule = RouteRule(sure=0.75, control=control, budget=budget)
    of_unsure, of_sure = numbers(unsure, sure, rule)
    assert 0 <= of_unsure <= unsure
    assert 0 <= of_sure <= sure
    wanted = sum(numbers(unsure, sure, RouteRule(sure=0.75, control=control)))
    assert of_unsure + of_sure == (wanted if budget is None else min(wanted, budget))


def pairs(unsure: int, sure: int) -> list[Preference]:
    return [judged(f"u{n}", 0.9, 0.1) for n in range(unsure)] + [judged(f"s{n}", 0.9, 0.9) for n in range(sure)]


def test_routes_know_the_probability_of_being_asked() -> None:
    preferences = pairs(40, 100)
    routes = routed(preferences, RouteRule(sure=0.75, control=0.1, budget=10), 0)
    assert [route.comparison_id for route in routes] == [preference.comparison_id for preference in preferences]
    assert {(route.sure, route.p_asked) for route in routes} == {(False, 8 / 40), (True, 2 / 100)}
    count = {why: sum(route.why is why for route in routes) for why in RouteReason}
    assert count == {
        RouteReason.ORDERS_DISAGREE: 8,
        RouteReason.OVER_BUDGET: 32,
        RouteReason.CONTROL: 2,
        RouteReason.SURE: 98,
        RouteReason.ABSTAINED: 0,
        RouteReason.LOW_CONFIDENCE: 0,
    }
    assert all(route.asked == (route.why in {RouteReason.ORDERS_DISAGREE, RouteReason.CONTROL}) for route in routes)


def test_the_draw_depends_on_seed_and_id_alone() -> None:
    preferences, rule = pairs(20, 60), RouteRule(sure=0.75, control=0.2, budget=20)
    asked = {route.comparison_id for route in routed(preferences, rule, 0) if route.asked}
    mixed = random.Random(0).sample(preferences, len(preferences))
    assert {route.comparison_id for route in routed(mixed, rule, 0) if route.asked} == asked
    assert {route.comparison_id for route in routed(preferences, rule, 1) if route.asked} != asked


def route(id_: str, sure: bool, p_asked: float) -> Route:
    why = RouteReason.CONTROL if sure else RouteReason.ORDERS_DISAGREE
    return Route(comparison_id=id_, why=why, sure=sure, p_asked=p_asked)


def test_errors_are_weighted_by_hand() -> None:
    asked = [(route(f"s{n}", True, 0.1), judged(f"s{n}", 0.9, 0.9), said(f"s{n}", float(n > 0))) for n in range(10)]
    asked += [(route(f"u{n}", False, 0.5), judged(f"u{n}", 0.9, 0.3), said(f"u{n}", float(n > 1))) for n in range(5)]
    asked += [(route("t", True, 0.1), judged("t", 0.9, 0.9), said("t", 0.5))]
    asked += [(route("v", False, 0.5), judged("v", None, 0.9), said("v", 1.0))]
    found = judge_errors(asked)
    assert found.sure == wilson(1, 10)
    # 1 of 10 control pairs is wrong, each standing for 10 pairs; 2 of 5 others, each standing for 2.
    assert found.every is not None
    assert found.every.value == pytest.approx((10 * 1 + 2 * 2) / (10 * 10 + 2 * 5))
    assert found.every.n == 15
    assert found.undecided == 2
    assert judge_errors([]) == JudgeErrors(sure=None, every=None, undecided=0)


def test_the_weights_remove_the_bias_of_asking_where_the_judge_is_not_sure() -> None:
    """The judge is wrong on 10 % of the sure pairs and on half of the others; 20 % of the pairs are not sure."""
    draw, estimates, plain = random.Random(0), list[float](), list[float]()
    inside = 0
    for seed in range(40):
        preferences = pairs(60, 240)
        truth = {
            one.comparison_id: draw.random() >= (0.5 if one.comparison_id[0] == "u" else 0.1) for one in preferences
        }
        routes = routed(preferences, RouteRule(sure=0.75, control=0.25), seed)
        # The mean of the two orders prefers b here: 0.5 would be a tie.
        first = {one.comparison_id: judged(one.comparison_id, 0.9, 0.9) for one in preferences}
        asked = [
            (one, first[one.comparison_id], said(one.comparison_id, float(truth[one.comparison_id])))
            for one in routes
            if one.asked
        ]
        found = judge_errors(asked).every
        assert found is not None
        estimates.append(found.value)
        low, high = found.ci95 or (0.0, 0.0)
        inside += low <= 0.18 <= high
        plain.append(sum(not truth[one.comparison_id] for one, _, _ in asked) / len(asked))
    assert sum(estimates) / 40 == pytest.approx(0.2 * 0.5 + 0.8 * 0.1, abs=0.015)
    assert sum(plain) / 40 > 0.27
    assert inside >= 36


def test_a_share_of_one_stratum_is_wilsons() -> None:
    one = stratified_share([(7.0, 3, 20)])
    assert (one.value, one.low, one.high, one.n) == pytest.approx((0.15, wilson(3, 20).low, wilson(3, 20).high, 20))
    two = stratified_share([(90.0, 0, 30), (10.0, 10, 10)])
    assert two.value == pytest.approx(0.1)
    assert two.low is not None
    assert two.high is not None
    assert 0 < two.low < 0.1 < two.high < 0.1 + 0.9 * (wilson(0, 30).high or 0) + 0.01


@pytest.mark.parametrize("strata", [[], [(0.0, 1, 2)], [(1.0, 0, 0)]])
def test_no_strata_give_no_share(strata: list[tuple[float, int, int]]) -> None:
    with pytest.raises(ValueError, match="give no"):
        stratified_share(strata)
