"""What a finished refinement says in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.ledger.folder import REPORT
from burnish.ledger.summary import reference_doubt
from burnish.refinery.refining import FinishedRefinement
from burnish.report.text import percent, percent_range, plural
from burnish.results import Metric
from burnish.types import Reason


def closing(finished: FinishedRefinement) -> Iterator[str]:
    """Yield lines: what each round changed, and where everything is."""
    summary, out = finished.summary, finished.out
    if summary.given_accuracy is not None:
        yield f"right labels before: {_share(summary.given_accuracy)}"
    if doubt := reference_doubt(summary):
        yield f"warning: {doubt}"
    for one in summary.rounds:
        accepted = one.counts.get(Reason.ACCEPTED, 0)
        line = f"round {one.round}: {plural(one.compared, 'comparison')}, {plural(accepted, 'label')} changed"
        if one.label_accuracy is not None:
            line += f", right labels {_share(one.label_accuracy)}"
        if one.harm is not None:
            line += f"; harmed at most {percent(one.harm.bound)} of {plural(one.harm.changes, 'change')}"
            line += "" if one.harm.accepted else ", above what is allowed: nothing was accepted"
        yield line
    yield f"dataset: {out / summary.data.file}"
    yield from (f"also as: {out / name}" for name in summary.data.also)
    if summary.model is not None:
        yield f"model: {out / summary.model.folder}"
    yield f"report: {out / REPORT}"


def _share(metric: Metric) -> str:
    if metric.value is None:
        return "unknown"
    return percent(metric.value) + (f" ({percent_range(metric.ci95)})" if metric.ci95 else "")
