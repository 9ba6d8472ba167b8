"""Temperature scaling: values by hand, its bounds, and that it never changes who wins or in which order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms.calibration import (
    COLDEST,
    HOTTEST,
    LEAST,
    binned,
    calibrated,
    calibrated_elsewhere,
    fitted_temperature,
)
from burnish.algorithms.comparisons import from_difference, sigmoid
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import Acceptance, select
from burnish.types import Reason


@pytest.mark.parametrize("size", [0.02, 1.0, 300.0])
@pytest.mark.parametrize(("right", "wrong"), [(20, 4), (24, 0), (13, 11)])
def test_an_annotator_that_is_always_as_sure_gets_its_share_of_right_judgements(
    size: float, right: int, wrong: int
) -> None:
    temperature = fitted_temperature([size] * right + [-size] * wrong)
    assert temperature is not None
    # (k + 1) / (N + 2): being right 24 times of 24 does not prove that one is always right.
    assert sigmoid(size / temperature) == pytest.approx((right + 1) / (right + wrong + 2))


def test_too_few_pairs_give_no_temperature() -> None:
    assert fitted_temperature([1.0] * (LEAST - 1)) is None
    assert calibrated_elsewhere([1.0] * (LEAST - 1)) is None
    assert fitted_temperature([1.0] * LEAST) is not None


def test_the_temperature_has_bounds() -> None:
    assert fitted_temperature([-3.0] * 24) == HOTTEST  # always wrong
    assert fitted_temperature([3.0] * 12 + [-3.0] * 12) == HOTTEST  # a coin
    assert fitted_temperature([1e-7] * 24) == COLDEST
    assert calibrated(sigmoid(3.0), HOTTEST) == pytest.approx(0.5, abs=1e-4)


def test_an_annotator_that_says_what_is_true_keeps_its_probabilities() -> None:
    # Of 1,000 pairs each, 750 and 900 are right where it says so.
    logits = [math.log(3) * side for side in [1] * 750 + [-1] * 250] + [
        math.log(9) * side for side in [1] * 900 + [-1] * 100
    ]
    assert fitted_temperature(logits) == pytest.approx(1.0, abs=0.01)
    assert fitted_temperature([3 * logit for logit in logits]) == pytest.approx(3.0, abs=0.03)


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(COLDEST, HOTTEST))
def test_a_temperature_changes_neither_the_winner_nor_the_order(one: float, other: float, temperature: float) -> None:
    judged = [from_difference("c", logit, "j") for logit in (one, other)]
    before = [preference.p_b for preference in judged if preference.p_b is not None]
    after = [calibrated(p, temperature, preference.logit) for p, preference in zip(before, judged, strict=True)]
    assert (before[0] < before[1]) <= (after[0] <= after[1])
    assert all((p > 0.5) <= (q >= 0.5) and (p < 0.5) <= (q <= 0.5) for p, q in zip(before, after, strict=True))


def test_a_gate_is_compared_with_the_calibrated_probability_and_sees_above_saturation() -> None:
    # With T = 100, a logit of 200 is P = 0.881 and one of 300 is P = 0.953. Both are 1.0 as the annotator says it.
    candidates = [
        Candidate(example_id=f"e{nats}", screened=None, verdict=one.verdict, p_b=one.p_b, logit=one.logit)
        for nats in (200, 300)
        for one in [from_difference("c", float(nats), "j")]
    ]
    accepted, below = Reason.ACCEPTED, Reason.BELOW_GATE
    assert select(candidates, 1.0, 2, rule=Acceptance(gate=0.9, temperature=100.0)) == [below, accepted]
    assert select(candidates, 1.0, 2, rule=Acceptance(gate=0.9)) == [accepted, accepted]
    assert select(candidates, 1.0, 2, rule=Acceptance(gate=0.5, temperature=HOTTEST)) == [accepted, accepted]


def test_each_pair_is_scaled_by_a_temperature_of_other_pairs() -> None:
    # The one wrong pair is in a part of its own: the temperature for it is that of ten right pairs.
    scaled = calibrated_elsewhere([1.0] * 10 + [-1.0])
    assert scaled is not None
    assert scaled[-1] == pytest.approx(1 - 11 / 12)
    assert scaled[0] == pytest.approx(10 / 12)


def test_judgements_are_counted_by_how_sure_they_are() -> None:
    counted = binned([(0.5, True), (0.54, False), (0.55, True), (1.0, True), (0.96, True), (0.95, False)])
    assert [(one.n, one.right) for one in counted] == [(2, 1), (1, 1), *[(0, 0)] * 7, (3, 2)]
    assert [one.mean_p for one in counted] == [pytest.approx(0.52), 0.55, *[None] * 7, pytest.approx(0.97)]
