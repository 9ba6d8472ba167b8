"""What a refinement's self-test says of the annotator's confidence, and what that means for the gate."""

from __future__ import annotations

from burnish.algorithms.calibration import HOTTEST, for_gate
from burnish.algorithms.comparisons import logit_of, sigmoid
from burnish.config import GatedMethod
from burnish.ledger.summary import Summary
from burnish.report.reliability import ReliabilityView, view_of
from burnish.report.text import percent, plural

GIVEN, SCALED = "as the annotator says", "after scaling"


def reliability(summary: Summary) -> ReliabilityView | None:
    """Return the reliability diagram of the self-test, or None if it was not measured."""
    found = None if summary.selftest is None else summary.selftest.calibration
    if found is None:
        return None
    scaled = {} if found.scaled is None else {SCALED: found.scaled}
    return view_of("Reliability on planted pairs", {GIVEN: found.given, **scaled})


def calibration_words(summary: Summary) -> list[str]:
    """Return sentences about the temperature and the gate."""
    found = None if summary.selftest is None else summary.selftest.calibration
    if found is None:
        return []
    if found.temperature is None:
        return [f"{plural(found.given.n, 'planted pair')} had a winner. These are too few for a temperature."]
    lines = [f"The temperature is {found.temperature:.3g}. {_sureness(found.temperature)}"]
    method = summary.config.method
    gate = method.gate if isinstance(method, GatedMethod) else 0.5
    if 0.5 < gate < 1 and summary.config.selftest.calibrate:
        least = (for_gate(found.temperature) or 1.0) * logit_of(gate)
        lines.append(
            f"The gate of {percent(gate)} lets a proposal pass if the annotator says at least "
            f"{percent(sigmoid(least))} (a logit of {least:.3g} nats)."
        )
    elif gate > 0.5:
        lines.append(f"The gate of {percent(gate)} was compared with what the annotator says.")
    return lines


def _sureness(temperature: float) -> str:
    """Say what a temperature means."""
    if temperature >= HOTTEST:
        return "The annotator preferred the corrupted answer so often that what it says is worth nothing."
    if temperature > 1:
        return "On these pairs the annotator is too sure."
    return "On these pairs the annotator is not sure enough. No gate is loosened for that: proposals may be harder."
