"""Intervals against formulas and values worked by hand."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.stats import (
    Interval,
    mean_interval,
    paired_difference,
    ratio_interval,
    wilson,
    win_rate,
)
from burnish.types import Verdict

Z = 1.959963984540054  # the 97.5 % point of the normal distribution


@pytest.mark.slow
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_wilsons_formula(drawn: tuple[int, int]):
    successes, n = drawn
    p = successes / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    interval = wilson(successes, n)
    assert interval.value == p
    assert interval.ci95 == (pytest.approx(middle - reach, abs=1e-9), pytest.approx(middle + reach, abs=1e-9))


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_proportion(successes: int, n: int):
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, n)


@pytest.mark.parametrize(
    ("counts", "value", "low", "high"),
    [
        # Newcombe (1998) subtracts the second share from the first one, so the first two are turned round here.
        ((36, 2, 12, 0), 0.2, 0.0569, 0.3404),
        ((36, 12, 2, 0), -0.2, -0.3404, -0.0569),
        # No item is decided otherwise. phi = (20 * 20 - 20) / 400 = 0.95; both Wilson reaches are 0.1480, so the bounds
        # are 0.1480 * sqrt(2 - 2 * 0.95) away.
        ((20, 0, 0, 20), 0.0, -0.0468, 0.0468),
        # All or none right: no correlation, so the reaches are added in squares. Wilson's bound of 0 of 10 is 0.2775.
        ((0, 10, 0, 0), -1.0, -1.0, -0.6075),
    ],
)
def test_paired_difference_is_newcombes_method_10(
    counts: tuple[int, int, int, int], value: float, low: float, high: float
) -> None:
    found = paired_difference(*counts)
    assert (found.value, found.n) == (pytest.approx(value), sum(counts))
    assert found.ci95 == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (3, -1, 2, 4)])
def test_paired_difference_refuses_what_counts_nothing(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="give no difference"):
        paired_difference(*counts)


def test_mean_of_five_seeds():
    # 1..5: mean 3, variance 2.5, standard error sqrt(.5) = .7071; t(4 df, 97.5 %) = 2.7764; reach 1.9632
    interval = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.value == 3.0
    assert interval.n == 5
    assert interval.ci95 == (pytest.approx(1.0368, abs=1e-4), pytest.approx(4.9632, abs=1e-4))


def test_one_value_has_no_interval():
    assert mean_interval([0.25]) == Interval(value=0.25, low=None, high=None, n=1)
    assert mean_interval([0.25]).ci95 is None


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_mean_refuses_nothing_and_nan(values: list[float]):
    with pytest.raises(ValueError, match="no mean"):
        mean_interval(values)


def test_a_ratio_of_sums_and_its_interval_by_hand():
    # 4 + 2 + 3 = 9 nats over 2 + 1 + 3 = 6 tokens: 1.5. Residuals a - 1.5 b: 1, .5, -1.5; over the mean of 2 tokens:
    # .5, .25, -.75. Their variance (.25 + .0625 + .5625) / 2 = .4375, standard error sqrt(.4375 / 3) = .3819;
    # t(2 df, 97.5 %) = 4.3027; reach 1.6431
    interval = ratio_interval([4.0, 2.0, 3.0], [2, 1, 3])
    assert (interval.value, interval.n) == (1.5, 3)
    assert interval.ci95 == (pytest.approx(-0.1431, abs=1e-4), pytest.approx(3.1431, abs=1e-4))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=10), st.integers(1, 9))
def test_a_ratio_to_equal_denominators_is_the_mean(values: list[float], denominator: int):
    one, mean = ratio_interval(values, [denominator] * len(values)), mean_interval(values)
    assert one.value == pytest.approx(mean.value / denominator, abs=1e-9)
    if len(values) == 1:
        assert one.ci95 is mean.ci95 is None
    # Values that are equal except for rounding have no interval.
    if max(values) - min(values) > 1e-6:
        assert one.ci95 is not None
        assert mean.ci95 is not None
    if one.ci95 and mean.ci95:
        assert one.ci95 == pytest.approx([bound / denominator for bound in mean.ci95], abs=1e-6)


@pytest.mark.parametrize(
    ("numerators", "denominators"), [([], []), ([1.0], []), ([1.0, 2.0], [1]), ([1.0], [0]), ([1.0, 1.0], [3, -1])]
)
def test_what_is_no_ratio_is_refused(numerators: list[float], denominators: list[float]):
    with pytest.raises(ValueError, match="no ratio"):
        ratio_interval(numerators, denominators)


def test_win_rate_counts_ties_as_half_and_leaves_abstentions_out():
    verdicts = [Verdict.B] * 5 + [Verdict.A] * 2 + [Verdict.TIE] * 3 + [Verdict.ABSTAIN] * 4
    interval = win_rate(verdicts)
    assert interval is not None
    assert interval.value == pytest.approx(0.65)
    assert interval.n == 10
    assert interval.ci95 == (wilson(6, 10).low, wilson(7, 10).high)


def test_win_rate_of_nothing_decided_is_none():
    assert win_rate([Verdict.ABSTAIN]) is None


def test_importing_burnish_stats_is_light():
    code = "import sys, burnish.stats; sys.exit(bool({'numpy', 'scipy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
