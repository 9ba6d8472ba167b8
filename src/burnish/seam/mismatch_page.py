"""The report of `burnish seam mismatch`: one page that needs no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from burnish import __version__
from burnish.report.drawing import Axis, Curve, Mark, curves
from burnish.report.facts import Fact
from burnish.report.page import environment
from burnish.report.tables import Cell, Table
from burnish.report.text import NONE, percent, percent_range
from burnish.results import Metric
from burnish.rewards.report import WORDS, share_words
from burnish.seam.mismatch_report import MismatchReport, PolicyMismatch


def render(report: MismatchReport, marks: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return the page as HTML. Every string in it is escaped.

    `marks` is {policy: (SEAM, mismatch) of each prompt with both}. It is empty without a table of scores.
    """
    correlated = [one for one in report.policies if one.correlation]
    return (
        environment()
        .get_template("mismatch.html.j2")
        .render(
            name=report.reward,
            facts=_facts(report),
            policies=_policies(report),
            correlations=_correlations(correlated) if correlated else None,
            figure=_scatter(marks),
            burnish_version=__version__,
        )
    )


def _facts(report: MismatchReport) -> list[Fact]:
    off_policy = report.off_policy_accuracy
    left = [f"{number:,} {WORDS.get(why, why)}" for why, number in report.off_policy_left_out.items()]
    return [
        Fact("Reward model", report.reward),
        Fact("Prompts", f"{report.prompts:,}"),
        *([Fact("Left out, seen in training", f"{report.trained_on:,}")] if report.trained_on else []),
        *([Fact("Left out, cannot be used", f"{report.bad_rows:,}")] if report.bad_rows else []),
        Fact("Who says which answer is better", report.truth),
        *([] if off_policy is None else [Fact("Accuracy on pairs of other models' answers", share_words(off_policy))]),
        *([Fact("Left out of these pairs", ", ".join(left))] if left else []),
    ]


def _policies(report: MismatchReport) -> Table:
    header = ("policy", "samples", "right", "unfinished", "left out", "pairs", "undecided", "mismatch")
    rows = tuple(
        (
            Cell(one.policy),
            Cell(f"{one.samples:,}"),
            Cell(NONE if one.right is None or one.right.value is None else percent(one.right.value)),
            Cell(f"{one.unfinished:,}"),
            Cell("; ".join(one.left_out()) or NONE),
            Cell(f"{one.pairs:,}"),
            Cell(f"{one.undecided:,}"),
            _rate(one.mismatch),
        )
        for one in report.policies
    )
    return Table(title="Mismatch", header=header, rows=rows)


def _rate(metric: Metric) -> Cell:
    if metric.value is None:
        return Cell(NONE)
    bounds = "" if metric.ci95 is None else f"{percent_range(metric.ci95)}; "
    return Cell(percent(metric.value), f"{bounds}{metric.n:,} prompts")


def _correlations(policies: Sequence[PolicyMismatch]) -> Table:
    names = list(policies[0].correlation)
    rows = tuple((Cell(one.policy), *(_correlation(one.correlation[name]) for name in names)) for one in policies)
    return Table(title="Correlations", header=("policy", *names), rows=rows)


def _correlation(metric: Metric) -> Cell:
    if metric.value is None:
        return Cell(NONE)
    bounds = "" if metric.ci95 is None else f"{metric.ci95[0]:.2f} to {metric.ci95[1]:.2f}; "
    return Cell(f"{metric.value:.2f}", f"{bounds}n {metric.n:,}")


def _scatter(marks: Mapping[str, Sequence[tuple[float, float]]]) -> Markup | None:
    """Draw the mismatch of prompts over their SEAM. Returns None if no prompt has both."""
    drawn = [
        Curve(label=name, marks=tuple(Mark(x=x, y=100 * y) for x, y in points), joined=False)
        for name, points in marks.items()
        if points
    ]
    if not drawn:
        return None
    drawing = curves(
        "mismatch", "Mismatch over SEAM", Axis(label="SEAM"), Axis(label="mismatch of the prompt (%)"), drawn
    )
    # Markup is safe here: the drawing is our own, and matplotlib escapes the names that it writes.
    return Markup(drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1))  # noqa: S704
