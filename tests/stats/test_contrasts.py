"""Differences with their tests: by formulas written in another way, by hand, and as properties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from burnish.stats import (
    ByCounts,
    ByT,
    InEachWorld,
    NoisePart,
    mean_interval,
    over_seeds,
    over_worlds,
    p_alike,
    p_differs,
    p_no_gain,
    paired_difference,
    paired_interval,
    share_interval,
    share_over_items,
    shares_interval,
)

FOUR_COUNTS = st.tuples(*[st.integers(0, 60)] * 4).filter(any)


def square_and_add(both: int, lost: int, won: int, neither: int, level: float) -> tuple[float, float]:
    """Newcombe's method 10 in the notation of his paper: a pair (r, s, t, u), and scipy's Wilson intervals.

    His difference is the first share minus the second one, so lost and won change places.
    """
    r, s, t, u = both, won, lost, neither
    n = r + s + t + u
    ends = [scipy_stats.binomtest(k, n).proportion_ci(confidence_level=level, method="wilson") for k in (r + s, r + t)]
    (low_1, high_1), (low_2, high_2) = ((float(end.low), float(end.high)) for end in ends)
    product = (r + s) * (t + u) * (r + t) * (s + u)
    top = r * u - s * t
    top = max(top - n / 2, 0) if top > 0 else top
    phi = top / math.sqrt(product) if product else 0.0
    p1, p2 = (r + s) / n, (r + t) / n
    down = (p1 - low_1) ** 2 - 2 * phi * (p1 - low_1) * (high_2 - p2) + (high_2 - p2) ** 2
    up = (high_1 - p1) ** 2 - 2 * phi * (high_1 - p1) * (p2 - low_2) + (p2 - low_2) ** 2
    return p1 - p2 - math.sqrt(max(down, 0)), p1 - p2 + math.sqrt(max(up, 0))


def test_the_worked_example_of_altman() -> None:
    # Altman, Machin, Bryant and Gardner (2000), Statistics with Confidence, table 6.2: 14, 5, 0, 22.
    assert square_and_add(14, 0, 5, 22, 0.95) == (pytest.approx(0.011, abs=5e-4), pytest.approx(0.226, abs=5e-4))


@pytest.mark.slow
@given(FOUR_COUNTS, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_bounds_of_counts_are_newcombes_at_every_level(counts: tuple[int, int, int, int], level: float) -> None:
    both, lost, won, neither = counts
    found = ByCounts(both=both, first_only=lost, second_only=won, neither=neither)
    assert found.value == pytest.approx((won - lost) / sum(counts))
    assert found.bounds(level) == pytest.approx(square_and_add(*counts, level), abs=1e-9)


@given(FOUR_COUNTS)
def test_newcombes_interval_holds_its_value_and_turns_round(counts: tuple[int, int, int, int]) -> None:
    both, lost, won, neither = counts
    found, turned = paired_difference(*counts), paired_difference(both, won, lost, neither)
    assert found.low is not None
    assert found.high is not None
    assert -1 - 1e-9 <= found.low <= found.value <= found.high <= 1 + 1e-9
    assert found.high - found.low > 0  # never "0.0 (0.0 to 0.0)"
    assert turned.ci95 == (pytest.approx(-found.high), pytest.approx(-found.low))


@pytest.mark.slow
@given(FOUR_COUNTS, st.floats(-0.4, 0.4))
def test_the_p_value_of_counts_is_the_level_at_which_a_bound_arrives(
    counts: tuple[int, int, int, int], x: float
) -> None:
    found = ByCounts(both=counts[0], first_only=counts[1], second_only=counts[2], neither=counts[3])
    p = found.p_at_most(x)
    assert found.p_at_least(x) == pytest.approx(1 - p, abs=1e-9)
    if 1e-6 < p < 0.49:
        assert found.bounds(1 - 2 * p)[0] == pytest.approx(x, abs=1e-6)
    if 0.51 < p < 1 - 1e-6:
        assert found.bounds(2 * p - 1)[1] == pytest.approx(x, abs=1e-6)


def by_t(value: float, error: float, df: float = math.inf) -> ByT:
    return ByT(value=value, parts=(NoisePart(error, df),))


def test_a_t_test_by_hand() -> None:
    # 2.0 = 2.7764 standard errors with 4 degrees of freedom: the 97.5 % point.
    found = by_t(2.0, 2.0 / 2.7764451, 4)
    assert found.bounds() == (pytest.approx(0.0, abs=1e-6), pytest.approx(4.0, abs=1e-6))
    assert (found.p_at_most(0.0), found.p_at_least(0.0)) == (pytest.approx(0.025), pytest.approx(0.975))
    assert p_differs(found) == pytest.approx(0.05)


@pytest.mark.slow
@given(st.floats(-3, 3), st.integers(1, 30))
def test_one_part_is_students_t_test(x: float, df: int) -> None:
    assert by_t(0.5, 0.7, df).p_at_most(x) == pytest.approx(scipy_stats.t.sf((0.5 - x) / 0.7, df), abs=1e-9)


def test_reaches_of_several_parts_are_squared_and_added() -> None:
    found = ByT(value=1.0, parts=(NoisePart(0.1, 2), NoisePart(0.2, math.inf)))
    # t(2 df, 97.5 %) = 4.3027: 0.4303; 1.96 * 0.2 = 0.3920; together 0.5820
    assert found.bounds() == (pytest.approx(0.4180, abs=1e-4), pytest.approx(1.5820, abs=1e-4))
    assert found.p_at_most(0.418) == pytest.approx(0.025, abs=1e-4)
    assert found.error == pytest.approx(math.sqrt(0.05))


def test_alike_needs_both_tests_and_a_margin() -> None:
    exact = by_t(0.01, 0.01)
    # (0.03 - 0.01) / 0.01 = 2 and (0.01 + 0.03) / 0.01 = 4 standard errors from the margins.
    assert p_alike(exact, 0.03) == pytest.approx(scipy_stats.norm.sf(2))
    assert p_no_gain(exact, 0.03) == pytest.approx(scipy_stats.norm.sf(2))
    harmful = by_t(-0.2, 0.01)
    assert p_no_gain(harmful, 0.03) < 1e-9
    assert p_alike(harmful, 0.03) > 0.999
    vague = by_t(0.0, 0.1)
    assert p_differs(vague) == pytest.approx(1.0)
    assert p_alike(vague, 0.03) > 0.3  # what cannot be told apart is not shown to be alike
    for margin in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="must be above 0"):
            p_alike(exact, margin)


def test_seeds_and_prompts_by_hand() -> None:
    a, b = [[1, 1, 1, 0], [1, 1, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 1]]
    # a - b is 1 1 1 0 and 1 1 0 -1: seed means .75 and .25, prompt means 1, 1, .5 and -.5, mean .5.
    # MS seeds = 4 * 2 * .0625 / 1 = .5; MS prompts = 2 * (.25 + .25 + 0 + 1) / 3 = 1; MS rest = 8 * .0625 / 3 = 1/6.
    # Over 8 values: seeds .0625, prompts add 5/48.
    found = over_seeds(a, b)
    assert isinstance(found, ByT)
    assert found.value == 0.5
    seeds, prompts = found.parts
    assert (seeds.error, seeds.df) == (pytest.approx(0.25), 1)
    assert (prompts.error, prompts.df) == (pytest.approx(math.sqrt(5 / 48)), 3)


TABLES = st.integers(2, 4).flatmap(
    lambda n: st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n), min_size=2, max_size=5)
)


@pytest.mark.slow
@given(TABLES)
def test_an_interval_is_at_least_as_wide_as_that_over_seeds(differences: list[list[int]]) -> None:
    rows = np.array(differences)
    found = over_seeds(np.maximum(rows, 0), np.maximum(-rows, 0))
    low, high = found.bounds()
    alone = mean_interval([float(row.mean()) for row in rows])
    # Equal seeds have no interval of their own.
    if alone.low is not None and alone.high is not None:
        assert high - low >= alone.high - alone.low - 1e-9
    assert high - low > 0
    if isinstance(found, ByT):
        assert found.value == pytest.approx(rows.mean())


def test_one_seed_is_newcombes_over_prompts() -> None:
    a, b = [[1, 1, 0, 1, 0, 1]], [[1, 0, 0, 1, 1, 0]]
    # Both right: prompts 0 and 3; only a: 1 and 5; only b: 4; neither: 2.
    assert over_seeds(a, b) == ByCounts(both=2, first_only=1, second_only=2, neither=1)
    assert paired_interval(a, b).ci95 == pytest.approx(paired_difference(2, 1, 2, 1).ci95)


def test_halves_that_are_both_rounded_up_are_no_more_than_all_prompts() -> None:
    """One seed, two orders of rows. Both: 3.5 prompts, only b: 3.5 of 7."""
    a, b = [[1, 1, 1, 0.5, 0, 0, 0]], [[1, 1, 1, 1, 1, 1, 1]]
    assert over_seeds(a, b) == ByCounts(both=4, first_only=3, second_only=0, neither=0)
    assert paired_interval(a, b).value == -0.5


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_answers_leave_room_for_what_other_prompts_would_show(seeds: int) -> None:
    right = [[1.0] * 60 + [0.0] * 40] * seeds
    low, high = over_seeds(right, right).bounds()
    assert (low, high) == pytest.approx(paired_difference(60, 0, 0, 40).ci95)
    assert low < 0 < high
    assert paired_interval(right, right).ci95 == (low, high)
    assert paired_interval(right, right).value == 0.0


def test_means_over_row_orders_are_taken_as_they_are() -> None:
    a, b = [[1.0, 0.5, 0.0, 1.0], [1.0, 1.0, 0.5, 0.0]], [[0.5, 0.5, 0.0, 1.0], [0.0, 1.0, 0.5, 0.0]]
    assert over_seeds(a, b).value == pytest.approx(1.5 / 8)
    assert paired_interval(a, b).value == pytest.approx(1.5 / 8)
    one = over_seeds(a[:1], b[:1])
    assert isinstance(one, ByCounts)
    assert (one.both + one.first_only + one.second_only + one.neither) == 4


NO_TABLES: list[tuple[Any, Any]] = [
    ([], []),
    ([[]], [[]]),
    ([[0, 1]], [[0]]),
    ([0, 1], [0, 1]),
    ([[0, 2]], [[0, 0]]),
    ([[math.nan]], [[0]]),
]


@pytest.mark.parametrize(("a", "b"), NO_TABLES)
def test_what_is_no_table_of_shares_is_refused(a: Any, b: Any) -> None:
    with pytest.raises(ValueError, match="seeds x prompts"):
        over_seeds(a, b)


def test_with_few_worlds_a_difference_must_show_in_each() -> None:
    clear, vague = by_t(0.1, 0.01), by_t(0.02, 0.02)
    found = over_worlds([clear, vague])
    assert isinstance(found, InEachWorld)
    assert found.value == pytest.approx(0.06)
    assert found.bounds() == (vague.bounds()[0], clear.bounds()[1])
    assert found.p_at_most(0.0) == vague.p_at_most(0.0)
    assert found.p_at_least(0.05) == clear.p_at_least(0.05)
    assert p_alike(found, 0.05) > 0.9  # one world is far outside the margin
    assert over_worlds([clear]) == clear
    with pytest.raises(ValueError, match="no world"):
        over_worlds([])


def test_with_more_worlds_it_is_a_t_interval_over_them() -> None:
    worlds = [by_t(value, 1e-3, 9) for value in (0.01, 0.03, 0.05, 0.07)]
    found = over_worlds(worlds)
    # mean .04, variance .002 / 3, error sqrt(.002 / 12) = .0129
    assert isinstance(found, ByT)
    assert (found.value, found.error) == (pytest.approx(0.04), pytest.approx(0.01291, abs=1e-5))
    assert [part.df for part in found.parts] == [3]
    same = over_worlds(worlds[:1] * 4)
    assert isinstance(same, InEachWorld)  # no spread at all is no proof that there is none
    assert isinstance(over_worlds(worlds, independent=False), InEachWorld)


def test_shares_stay_between_nothing_and_everything() -> None:
    assert share_interval([0.99, 1.0, 0.98]).high == 1.0
    assert share_interval([0.0, 0.02]).low == 0.0
    assert share_interval([0.5]).ci95 is None
    inside = share_interval([0.4, 0.5, 0.6])
    assert inside.ci95 == (pytest.approx(0.2516, abs=1e-4), pytest.approx(0.7484, abs=1e-4))


def test_a_share_over_items_has_a_width() -> None:
    # Wilson's for 1 of 2 and for 2 of 2: z^2 / (2 + z^2) = .6576.
    assert share_over_items([0.0, 1.0]).ci95 == (pytest.approx(0.0945, abs=1e-4), pytest.approx(0.9055, abs=1e-4))
    assert share_over_items([1.0, 1.0]).ci95 == (pytest.approx(1 - 0.6576, abs=1e-4), 1.0)
    # So many other items may be 0 or 1 instead of .5.
    equal = share_over_items([0.5, 0.5])
    assert equal.ci95 == (pytest.approx(0.5 * (1 - 0.6576), abs=1e-4), pytest.approx(0.5 + 0.5 * 0.6576, abs=1e-4))
    assert share_over_items([0.4, 0.5, 0.6]) == share_interval([0.4, 0.5, 0.6])
    with pytest.raises(ValueError, match="no mean"):
        share_over_items([])


def test_several_trainings_on_the_same_prompts_are_no_more_prompts() -> None:
    # 6.5 of 10: the lower bound is that of 6 of 10, the upper one that of 7 of 10 (Wilson).
    found = shares_interval([0.6, 0.7], 10)
    assert (found.value, found.n) == (pytest.approx(0.65), 10)
    assert found.ci95 == (pytest.approx(0.3127, abs=1e-4), pytest.approx(0.8922, abs=1e-4))
    with pytest.raises(ValueError, match="no shares"):
        shares_interval([], 10)


@pytest.mark.parametrize("values", [[0.1, 0.1], [0.1 + 0.2, 0.3, 0.15 * 2], [0.0, 0.0, 0.0]])
def test_equal_values_have_no_interval(values: list[float]) -> None:
    """One without width would say that chance plays no part. Rounding is no spread either."""
    for found in (mean_interval(values), share_interval(values)):
        assert (found.value, found.ci95, found.n) == (pytest.approx(values[0]), None, len(values))
    assert mean_interval([*values, values[0] + 1e-6]).ci95 is not None
