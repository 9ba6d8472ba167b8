"""The arithmetic of rewards: scales, sums, cut answers, and the points of the training curve."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms.reinforcement import RewardScale, Shaping, is_flat, point_of, scale_of
from burnish.types import Completion


def answer(id_: str = "p", finished: bool = True, tokens: int = 4, text: str = "7") -> Completion:
    return Completion(id=id_, sample=0, text=text, finished=finished, tokens=tokens)


PLAIN = Shaping(weights=(1.0,), scales=(RewardScale(),), clip=None, length_penalty=0.0, unfinished=-1.0)


def test_a_scale_has_the_mean_and_the_standard_deviation() -> None:
    scale = scale_of([1.0, 0.0, 0.0, 1.0])
    assert (scale.mean, scale.sd) == (0.5, 0.5)
    assert [scale.standardized(one) for one in (0.0, 1.0, 2.0)] == [-1.0, 1.0, 3.0]


def test_equal_rewards_say_nothing_about_the_scale() -> None:
    assert scale_of([0.1] * 7) == RewardScale(mean=pytest.approx(0.1), sd=1.0)  # pyright: ignore[reportArgumentType]
    assert scale_of([3.0]).standardized(5.0) == 2.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_standardised_rewards_have_mean_0_and_deviation_1_or_are_all_equal(rewards: list[float]) -> None:
    scale = scale_of(rewards)
    found = [scale.standardized(one) for one in rewards]
    assert math.fsum(found) / len(found) == pytest.approx(0, abs=1e-4)
    if scale.sd != 1.0:
        assert math.fsum(one**2 for one in found) / len(found) == pytest.approx(1, rel=1e-4)


def test_a_sum_weighs_standardised_rewards() -> None:
    shaping = Shaping(
        weights=(2.0, 0.5),
        scales=(RewardScale(mean=1.0, sd=2.0), RewardScale(mean=0.0, sd=0.1)),
        clip=None,
        length_penalty=0.0,
        unfinished=-1.0,
    )
    # 2 * (5 - 1) / 2 + 0.5 * 0.3 / 0.1
    assert shaping.shaped(answer(), [5.0, 0.3]) == pytest.approx(5.5)
    # A sum without a part would have another scale.
    assert shaping.shaped(answer(), [5.0, None]) is None


def test_a_reward_is_cut_before_long_answers_lose() -> None:
    shaping = Shaping(weights=(1.0,), scales=(RewardScale(),), clip=2.0, length_penalty=0.1, unfinished=-5.0)
    assert shaping.shaped(answer(tokens=4), [9.0]) == pytest.approx(2.0 - 0.4)
    assert shaping.shaped(answer(tokens=4), [-9.0]) == pytest.approx(-2.0 - 0.4)
    assert shaping.shaped(answer(finished=False, tokens=10), []) == pytest.approx(-2.0 - 1.0)


def test_a_cut_answer_has_the_reward_of_cut_answers() -> None:
    assert PLAIN.shaped(answer(finished=False), []) == -1.0
    assert PLAIN.shaped(answer(), [None]) is None


def test_a_point_counts_what_a_step_shows() -> None:
    answers = [answer("a"), answer("a", finished=False, tokens=8), answer("b"), answer("b"), answer("c"), answer("c")]
    point = point_of(3, answers, [1.0, -1.0, 2.0, 2.0, None, None], [True, False, True, True, False, False], 0.25)
    assert (point.step, point.reward, point.accuracy, point.kl) == (3, 1.0, 0.5, 0.25)
    assert point.length == pytest.approx(28 / 6)
    assert point.unfinished == pytest.approx(1 / 6)
    assert point.unscored == pytest.approx(2 / 6)
    # The answers to b have the same reward, and those to c have none.
    assert point.flat == pytest.approx(2 / 3)
    assert point_of(1, answers, [None] * 6, None, 0.0).reward is None


def test_flat_rewards_differ_by_rounding_at_most() -> None:
    assert is_flat([0.1 + 0.2, 0.3])
    assert is_flat([1.0, None])
    assert is_flat([])
    assert not is_flat([1.0, None, 1.1])
