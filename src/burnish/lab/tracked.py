"""The metrics of an experiment's rounds, for the programs of `execution.report_to`."""

from __future__ import annotations

from burnish.backends.tracking import TrackedRounds
from burnish.config import Config
from burnish.results import Results


def tracked_rounds(config: Config, results: Results) -> list[TrackedRounds]:
    """Return the metrics and counts of each round, by method and seed. A metric without a value is left out."""
    rounds: dict[tuple[str, str, int], dict[int, dict[str, float]]] = {}
    for run in results.runs:
        values = {name: metric.value for name, metric in run.metrics.items() if metric.value is not None}
        values |= {f"counts/{name}": float(count) for name, count in run.counts.items()}
        rounds.setdefault((run.method, run.kind, run.seed), {})[run.round] = values
    # The variants of a sweep have one name, and so one project.
    variant = f"{config.variant} " if config.variant else ""
    named = {"experiment": config.name, "variant": config.variant}
    return [
        TrackedRounds(
            name=f"{variant}{method} seed {seed}",
            settings={**named, "method": method, "kind": kind, "seed": seed},
            metrics=metrics,
        )
        for (method, kind, seed), metrics in rounds.items()
    ]
