"""The metrics of a refinement's rounds, for the programs of `execution.report_to`."""

from __future__ import annotations

from burnish.backends.tracking import TrackedRounds
from burnish.ledger.summary import RoundSummary, Summary


def tracked_rounds(summary: Summary) -> list[TrackedRounds]:
    """Return the metrics and counts of each round. A metric without a value is left out."""
    config = summary.config
    settings = {"experiment": config.name, "method": config.method.kind, "seed": config.seed}
    metrics = {round_.round: _metrics(round_) for round_ in summary.rounds}
    return [TrackedRounds(name=config.method.kind, settings=settings, metrics=metrics)] if metrics else []


def _metrics(round_: RoundSummary) -> dict[str, float]:
    """Return what a round measured, and how many rows have each reason."""
    measured = {
        "replaced": round_.replaced,
        "label_accuracy": round_.label_accuracy,
        "annotator_accuracy": round_.annotator_accuracy,
        "accepted_accuracy": round_.accepted_accuracy,
    }
    values = {name: one.value for name, one in measured.items() if one is not None and one.value is not None}
    counts = {"compared": round_.compared, **round_.counts}
    return values | {f"counts/{name}": float(count) for name, count in counts.items()}
