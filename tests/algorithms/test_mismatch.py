"""The mismatch rate and rank correlations, by hand."""

from __future__ import annotations

import pytest

from burnish.algorithms.mismatch import (
    by_checker,
    correlation_interval,
    misjudged,
    mismatch_rate,
    rank_correlation,
)


def test_every_pair_of_a_right_and_a_wrong_sample_counts() -> None:
    # Right: 2 and 0. Wrong: 1, 0 and 0. Over 2 nothing is preferred; over 0 one is, and two are equal.
    found = by_checker("a", [2, 0], [1, 0, 0])
    assert (found.pairs, found.misjudged) == (6, 0 + 1 + 0.5 + 0.5)
    assert found.rate == pytest.approx(1 / 3)
    assert by_checker("a", [], [1.0]).rate is None
    assert by_checker("a", [1.0], []).rate is None


def test_the_rate_is_over_pairs_and_its_interval_over_prompts() -> None:
    prompts = [misjudged("a", [(1, 0), (0, 1)]), misjudged("b", [(1, 0)]), misjudged("c", []), misjudged("d", [(0, 0)])]
    found = mismatch_rate(prompts)
    assert found is not None
    assert (found.value, found.n) == (1.5 / 4, 3)
    assert found.ci95 is not None
    assert 0 <= found.ci95[0] < found.value < found.ci95[1] <= 1
    one = mismatch_rate([misjudged("a", [(1, 0), (0, 1)])])
    assert one is not None
    assert (one.value, one.ci95) == (0.5, None)
    assert mismatch_rate([misjudged("c", [])]) is None


def test_prompts_of_one_rate_do_not_give_an_interval_without_width() -> None:
    # Wilson's upper bound for 0 of 2 is z^2 / (2 + z^2).
    none = mismatch_rate([misjudged("a", [(1, 0)]), misjudged("b", [(1, 0), (2, 0)])])
    assert none is not None
    assert (none.value, none.n, none.ci95) == (0.0, 2, (0.0, pytest.approx(0.6576, abs=1e-4)))
    equal = mismatch_rate([misjudged(str(n), [(0, 0)]) for n in range(4)])
    assert equal is not None
    # Wilson's upper bound for 0 of 4 is z^2 / (4 + z^2) = .4899. So many other prompts may have the rate 0 or 1.
    assert (equal.value, equal.ci95) == (0.5, (pytest.approx(0.2551, abs=1e-4), pytest.approx(0.7449, abs=1e-4)))


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None
    assert rank_correlation([1, 2, 3, 4], [5, 5, 5, 5]) is None
    perfect = rank_correlation([1, 2, 3, 4], [1, 8, 27, 64])
    assert perfect is not None
    # The next lower correlation of four ranks is .8, and tanh(atanh(.8) - 1.96 sqrt(1.32)) is -.819.
    assert (perfect.value, perfect.n) == (pytest.approx(1.0), 4)
    assert perfect.ci95 == (pytest.approx(-0.8188, abs=1e-3), 1.0)
    found = rank_correlation([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5])
    assert found is not None
    # 1 - 6 * 6 / (6 * 35), and tanh(atanh(r) - 1.96 sqrt((1 + r^2 / 2) / 3)).
    assert found.value == pytest.approx(0.828571, abs=1e-6)
    assert found.low == pytest.approx(-0.125, abs=5e-3)


def test_the_interval_of_a_rank_correlation() -> None:
    # tanh(atanh(.5) +- 1.96 sqrt(1.125 / 17)).
    found = correlation_interval(0.5, 20)
    assert found.ci95 == (pytest.approx(0.0452, abs=1e-3), pytest.approx(0.7829, abs=1e-3))
    assert correlation_interval(0.5, 3).ci95 is None
    # Of ten ranks, the next value below 1 is 1 - 12 / 990.
    assert correlation_interval(1.0, 1_000_000).ci95 == pytest.approx((1.0, 1.0))
    up, down = correlation_interval(1.0, 10), correlation_interval(-1.0, 10)
    assert up.low is not None
    assert up.ci95 == (pytest.approx(0.9283, abs=1e-3), 1.0)
    assert down.ci95 == (-1.0, -up.low)
