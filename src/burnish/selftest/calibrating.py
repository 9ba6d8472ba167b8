"""The calibration of an annotator on pairs whose better side is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from burnish.algorithms.calibration import binned, calibrated_elsewhere, fitted_temperature
from burnish.algorithms.comparisons import sigmoid
from burnish.results import Reliability
from burnish.selftest.report import Calibration


def calibration_of(logits: Sequence[float]) -> Calibration:
    """Return the temperature and how often the annotator was right, by what it said.

    `logits` are the log-odds, in nats, that it gives to the better side of each pair. None of them is 0.
    """
    right = [logit > 0 for logit in logits]
    elsewhere = calibrated_elsewhere(logits)
    return Calibration(
        temperature=fitted_temperature(logits),
        given=_reliability(map(sigmoid, logits), right),
        scaled=None if elsewhere is None else _reliability(elsewhere, right),
    )


def _reliability(p_better: Iterable[float], right: Iterable[bool]) -> Reliability:
    """Count pairs by P(the preferred side is better)."""
    return Reliability.of(binned((max(p, 1.0 - p), one) for p, one in zip(p_better, right, strict=True)))
