"""What a reward model is worth on pairs, by hand."""

from __future__ import annotations

import itertools

import pytest

from burnish.algorithms.rewards import (
    RewardedPair,
    accuracy_by,
    accuracy_of,
    length_correlation,
    mean_reward,
    stated_confidence,
)

NUMBERS = itertools.count()


def pair(better: float, worse: float, longer: int = 0, source: str = "", group: str | None = None) -> RewardedPair:
    own = str(next(NUMBERS)) if group is None else group
    return RewardedPair(id="x", group=own, source=source, better=better, worse=worse, longer=longer)


PAIRS = [pair(2, 1, 3, "a"), pair(0, 1, -2, "a"), pair(1, 1, 0, "b"), pair(4, 0, 5, "b")]


def test_equal_rewards_are_half_right() -> None:
    found = accuracy_of(PAIRS)
    assert found is not None
    assert (found.value, found.n) == (2.5 / 4, 4)
    assert accuracy_of([]) is None


def test_pairs_of_one_prompt_are_no_independent_items() -> None:
    """Two prompts with ten equal pairs each say no more than two pairs."""
    twenty = [pair(float(right), 0.5, group=str(right)) for right in (0, 1) for _ in range(10)]
    found, mean = accuracy_of(twenty), mean_reward(twenty)
    assert found is not None
    assert mean is not None
    assert (found.value, found.n, found.ci95) == (0.5, 20, (0.0, 1.0))
    # The means of the two prompts are .25 and .75: .5 plus and minus 12.706 * .25.
    assert (mean.value, mean.n) == (0.5, 20)
    assert mean.ci95 == (pytest.approx(0.5 - 3.1765, abs=1e-3), pytest.approx(0.5 + 3.1765, abs=1e-3))
    # As many pairs of different prompts: Wilson's interval of 10 of 20.
    alone = accuracy_of([pair(float(right), 0.5) for right in (0, 1) for _ in range(10)])
    assert alone is not None
    assert alone.ci95 == (pytest.approx(0.2993, abs=1e-4), pytest.approx(0.7007, abs=1e-4))


def test_accuracy_by_source_and_by_length() -> None:
    by_source = accuracy_by(PAIRS, lambda one: one.source)
    assert {name: (one.value, one.n) for name, one in by_source.items()} == {"a": (0.5, 2), "b": (0.75, 2)}
    by_length = accuracy_by(PAIRS, lambda one: one.length)
    assert {name: one.value for name, one in by_length.items()} == {
        "better one longer": 1.0,
        "better one shorter": 0.0,
        "both as long": 0.5,
    }


def test_confidence_is_the_sigmoid_of_the_difference() -> None:
    assert stated_confidence(PAIRS) == [
        (pytest.approx(0.731058579), True),
        (pytest.approx(0.731058579), False),
        (pytest.approx(0.982013790), True),
    ]


def test_a_reward_that_is_the_length_correlates_with_it() -> None:
    assert length_correlation([pair(n, 0, n) for n in (1, -2, 3)]) == pytest.approx(1.0)
    assert length_correlation([pair(-n, 0, n) for n in (1, -2, 3)]) == pytest.approx(-1.0)
    # The longer answer is rewarded as often as the shorter one.
    assert length_correlation([pair(1, 0, 5), pair(1, 0, -5)]) == pytest.approx(0.0)
    assert length_correlation([pair(1, 0, 0), pair(2, 0, 0)]) is None
    assert length_correlation([]) is None


def test_the_mean_reward_is_over_all_answers() -> None:
    found = mean_reward(PAIRS)
    assert found is not None
    assert found.value == pytest.approx((1.5 + 0.5 + 1 + 2) / 4)
    assert mean_reward([]) is None
