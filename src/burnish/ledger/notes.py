"""Lines about a refinement that the terminal, the report and the cards have in common."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.algorithms.stopping import LEAST_HELD, Evidence
from burnish.ledger.summary import RoundSummary, Summary
from burnish.report.text import percent, percent_range, plural
from burnish.results import Metric


def losses(summary: Summary) -> Iterator[str]:
    """Yield warnings if labels got worse, by the reference column or by an audit."""
    if summary.right_labels is not None:
        before, last = summary.right_labels
        # The last round still counts the changes that the user took back.
        now, when = (
            (last, "after the last round") if summary.present_accuracy is None else (summary.present_accuracy, "now")
        )
        if (now.value or 0) < (before.value or 0):
            yield (
                f"the labels got worse: {share(before)} were right before, and {share(now)} {when}; look at the "
                "changes, and take rounds back or use a better annotator"
            )
    for round_ in summary.rounds:
        harm = round_.harm
        if harm is not None and harm.harmed:
            yield (
                f"the audit of round {round_.round} found that {harm.harmed:,} of {harm.sampled:,} judged changes "
                "made the label worse"
            )


def ended_words(summary: Summary, round_: RoundSummary) -> Iterator[str]:
    """Say that a refinement with `rounds: auto` ended before this round changed labels, and why, if it did."""
    # Only the last round can be the one in which the refinement ended.
    if not summary.config.method.stops_itself or round_ is not summary.rounds[-1]:
        return
    preferred, held = round_.preferred or 0, round_.held or 0
    if Evidence(preferred=preferred, held=held).enough:
        return
    of = f"{held:,} of {plural(preferred, 'preferred proposal')} held, less than {percent(LEAST_HELD)}"
    why = of if preferred else "the annotator preferred no proposal"
    yield f"the refinement ended before round {round_.round} changed labels: {why}"


def taken_back(summary: Summary) -> str | None:
    """Say how many rows the user took back, and how many labels are right now. Returns None if none is taken back."""
    if not summary.reverted:
        return None
    were = "was" if summary.reverted == 1 else "were"
    line = (
        f"{plural(summary.reverted, 'row')} {were} taken back with `burnish revert`. The figures of the rounds still "
        "count the changes that were taken back."
    )
    if summary.present_accuracy is not None:
        return f"{line} Right labels now: {share(summary.present_accuracy)}."
    # A revert does not grade answers, so the share is unknown until the refinement is run again.
    return (
        line if summary.given_accuracy is None else f"{line} Run the same `burnish refine` again to measure the labels."
    )


def share(metric: Metric) -> str:
    """Return a share in percent with its interval, or `unknown`."""
    if metric.value is None:
        return "unknown"
    return percent(metric.value) + (f" ({percent_range(metric.ci95)})" if metric.ci95 else "")
