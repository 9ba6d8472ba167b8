"""What a self-test says of an annotator's confidence: by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import pytest

from burnish.algorithms.comparisons import combined, from_difference
from burnish.selftest.asking import selftest
from burnish.selftest.calibrating import calibration_of
from burnish.selftest.labelled import bundled_rows
from burnish.selftest.planted import CORRUPTIONS, plant
from burnish.types import Comparison, Order, Preference

PLANTED = plant(bundled_rows(), 0)
"""24 corrupted pairs and others."""


class Labels:
    """Prefers the label by a logit, or by P = 0.5 without one."""

    fingerprint, order_free = "labels", True

    def __init__(self, logit: float | None) -> None:
        self.logit = logit

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        label_is_a = {one.comparison.id: one.label_is_a for one in PLANTED if one.planting in CORRUPTIONS}
        for comparison in comparisons:
            if self.logit is None or comparison.id not in label_is_a:
                yield [combined(comparison.id, (Order.AB,), (0.5,), "labels")]
            else:
                sign = -1 if label_is_a[comparison.id] else 1
                yield [from_difference(comparison.id, sign * self.logit, "labels")]


def test_how_often_the_annotator_is_right_by_how_sure_it_is() -> None:
    # Right by P = 0.9 in 12 pairs, and wrong by P = 0.6 in 12 others.
    found = calibration_of([math.log(9)] * 12 + [-math.log(1.5)] * 12)
    assert {place: (one.n, one.right, one.mean_p) for place, one in enumerate(found.given.bins) if one.n} == {
        2: (12, 0, pytest.approx(0.6)),
        8: (12, 12, pytest.approx(0.9)),
    }
    assert found.given.error == pytest.approx((0.6 + 0.1) / 2)
    # The best 1 / T makes 2.197 (25/26 - sigmoid(2.197 / T)) = 0.405 (25/26 - sigmoid(-0.405 / T)): both are 0.2207.
    assert found.temperature == pytest.approx(1.205, abs=0.001)
    assert found.scaled is not None
    assert (found.scaled.n, sum(one.right for one in found.scaled.bins)) == (24, 12)


def test_the_logits_of_saturated_judgements_are_fitted_on_both_sides() -> None:
    report = selftest(Labels(200.0), PLANTED)
    assert report.calibration is not None
    assert report.calibration.temperature == pytest.approx(200 / math.log(25))
    assert [(one.n, one.right) for one in report.calibration.given.bins if one.n] == [(24, 24)]
    lines = [line.replace("\u00a0", " ") for line in report.words()]
    assert "temperature       62.1" in lines
    assert any(line.startswith("calibration       off by 0.0 points, ") for line in lines)
    assert lines[-2:] == ["how sure it was  how often it was right", "0.95 to 1.00     24 of 24 (100.0 %)"]
    wrong = selftest(Labels(-200.0), PLANTED)
    assert wrong.calibration is not None
    assert [(one.n, one.right) for one in wrong.calibration.given.bins if one.n] == [(24, 0)]


def test_ties_have_no_part_in_it() -> None:
    report = selftest(Labels(None), PLANTED)
    assert report.calibration is not None
    assert (report.calibration.given.n, report.calibration.temperature, report.calibration.scaled) == (0, None, None)
    assert "temperature       none: 0 corrupted pairs with a winner, 10 are needed" in report.words()
