"""What is printed when a refinement is finished."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from burnish.ledger.folder import REPORT
from burnish.ledger.summary import reference_doubt
from burnish.models.location import TRY_IT
from burnish.refinery.refining import FinishedRefinement
from burnish.report.text import percent, percent_range, plural
from burnish.results import Metric
from burnish.types import Reason


def closing(finished: FinishedRefinement) -> Iterator[str]:
    """Yield lines that say what each round changed, and where everything is."""
    summary, out = finished.summary, finished.out
    if summary.given_accuracy is not None:
        yield f"right labels before: {_share(summary.given_accuracy)}"
    if doubt := reference_doubt(summary):
        yield f"warning: {doubt}"
    for round_ in summary.rounds:
        accepted = round_.counts.get(Reason.ACCEPTED, 0)
        line = f"round {round_.round}: {plural(round_.compared, 'comparison')}, {plural(accepted, 'label')} changed"
        if round_.label_accuracy is not None:
            line += f", right labels {_share(round_.label_accuracy)}"
        if round_.harm is not None:
            line += f"; harmed at most {percent(round_.harm.bound)} of {plural(round_.harm.changes, 'change')}"
            line += "" if round_.harm.accepted else ", more than is allowed: nothing was accepted"
        yield line
    yield f"dataset: {out / summary.data.file}"
    yield from (f"also as: {out / name}" for name in summary.data.also)
    if summary.model is not None:
        place = out / summary.model.folder
        yield f"model: {place}"
        if (place / TRY_IT).is_file():
            yield f"try it: {shlex.join(['python', str(place / TRY_IT), 'your question'])}"
    yield f"report: {out / REPORT}"


def _share(metric: Metric) -> str:
    """Return a share in percent with its interval, or `unknown`."""
    if metric.value is None:
        return "unknown"
    return percent(metric.value) + (f" ({percent_range(metric.ci95)})" if metric.ci95 else "")
