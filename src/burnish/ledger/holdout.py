"""What the report, the terminal and the cards say about the prompts that were held out."""

from __future__ import annotations

from burnish.ledger.notes import share
from burnish.ledger.summary import HoldoutSummary, Summary
from burnish.report.tables import Cell, Table
from burnish.report.text import percent, percent_range, plural, signed_points
from burnish.results import Metric


def holdout_words(summary: Summary) -> str | None:
    """Say how many held-out prompts the models answer right, and whether the difference is more than chance.

    Returns None if nothing was held out or the refinement is not finished.
    """
    held = summary.holdout
    if held is None:
        return None
    return (
        f"Of {plural(held.prompts, 'held-out prompt')}, the model answers {share(held.before)} right if it learns the "
        f"labels before, and {share(held.after)} if it learns {_which(held)}: a difference of "
        f"{_points(held.difference)}. {_verdict(held)}{_outdated(summary, held)}"
    )


def _which(held: HoldoutSummary) -> str:
    """Say which labels the model of `after` learned."""
    if not held.reverted:
        return "the labels after the last round"
    return f"the labels after {plural(held.reverted, 'row')} {'was' if held.reverted == 1 else 'were'} taken back"


def _verdict(held: HoldoutSummary) -> str:
    """Say whether the interval of the difference excludes 0."""
    low, high = held.difference.ci95 or (0.0, 0.0)
    if low > 0:
        return "This is more than chance: the model became better."
    if high < 0:
        return "This is more than chance: the model became worse."
    return "The interval includes 0, so these prompts do not show whether the model became better or worse."


def _outdated(summary: Summary, held: HoldoutSummary) -> str:
    """Say that the figure does not belong to the present labels, if rows were taken back since."""
    if summary.model is None or (summary.model.current and summary.model.fingerprint == held.model):
        return ""
    return (
        " Rows were taken back since then, so this is not the model of the present labels. Run the same `burnish "
        "refine` again to measure it."
    )


def _points(difference: Metric) -> str:
    """Return a difference in percentage points with its interval."""
    assert difference.value is not None, difference
    assert difference.ci95 is not None, difference
    low, high = map(signed_points, difference.ci95)
    return f"{signed_points(difference.value)} points ({low} to {high})"


def holdout_table(summary: Summary) -> Table | None:
    """Return the accuracy on held-out prompts before and after, or None if nothing was measured."""
    held = summary.holdout
    if held is None:
        return None
    assert held.difference.value is not None, held
    assert held.difference.ci95 is not None, held
    interval = " to ".join(map(signed_points, held.difference.ci95))
    row = (
        Cell(f"{held.prompts:,}"),
        _cell(held.before),
        _cell(held.after),
        Cell(f"{signed_points(held.difference.value)} points", interval),
        Cell(f"{held.gained:,}"),
        Cell(f"{held.lost:,}"),
    )
    header = ("prompts", "right before", "right after", "difference", "right only after", "right only before")
    return Table(title="Held-out prompts", header=header, rows=(row,))


def _cell(metric: Metric) -> Cell:
    """Return a share with its interval."""
    assert metric.value is not None, metric
    return Cell(percent(metric.value), percent_range(metric.ci95) if metric.ci95 else "")
