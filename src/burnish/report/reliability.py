"""Reliability diagrams: how often an annotator is right when it says that it is so sure."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the **kwargs of its drawing functions without a type.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from burnish.report.drawing import ALL_LOOKS, INK, Drawing, Look, cut, svg_of
from burnish.report.series import methods
from burnish.report.tables import Cell, Table
from burnish.report.text import percent, percent_range
from burnish.results import Confidence, Metric, Reliability, ReliabilityBin, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "reliability"
MOST = 4
"""The most curves in one figure. More of them hide each other."""
_ROW = 6.5
"""The height of a row of counts, in percentage points of the axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityView:
    """A diagram with its numbers, for a page."""

    svg: Markup
    table: Table


def view_of(title: str, series: Mapping[str, Reliability]) -> ReliabilityView | None:
    """Return the diagram and the table of these curves. Returns None if there are no judgements."""
    drawing = reliability_drawing(title, series)
    if drawing is None:
        return None
    # Markup is safe here: the drawing is our own, and matplotlib escapes the names that it writes.
    svg = Markup(drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1))  # noqa: S704
    return ReliabilityView(svg=svg, table=reliability_table(series))


def by_method(results: Results, confidence: Sequence[Confidence]) -> dict[str, Reliability]:
    """Return {label: reliability} of the annotator in each method that asked it, over all seeds and rounds."""
    found: dict[str, Reliability] = {}
    for method in methods(results):
        parts = [row.reliability for row in confidence if row.method == method.name and row.reliability is not None]
        pooled = Reliability.pooled(parts)
        if pooled is not None and pooled.n:
            found[method.label] = pooled
    return found


def reliability_drawing(title: str, series: Mapping[str, Reliability]) -> Drawing | None:
    """Draw the share of right judgements over P(the preferred side is better), with Wilson's intervals.

    Below the curves are the numbers of judgements in the bins. Returns None if there are no judgements.
    """
    drawn = [(label, one) for label, one in series.items() if one.n][:MOST]
    if not drawn:
        return None

    def paint(axes: Axes) -> None:
        axes.plot([50, 100], [50, 100], label="perfectly calibrated", color=INK, linewidth=1, linestyle=(0, (1, 2)))
        for place, ((label, one), look) in enumerate(zip(drawn, ALL_LOOKS, strict=False)):
            _curve(axes, label, one, look, place - (len(drawn) - 1) / 2)
            _counts(axes, one, look, -_ROW * (place + 1.3))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xlim(49.5, 101)
        axes.set_ylim(-_ROW * (len(drawn) + 0.9), 104)
        axes.set_yticks(range(0, 101, 20))
        # Left of the axis, at the height of the first row of counts.
        place_of = axes.get_yaxis_transform()
        axes.text(-0.02, -_ROW * 1.4, "n", transform=place_of, ha="right", va="center", color=INK, fontsize=11)
        axes.set_xticks(range(50, 101, 10))
        axes.set_xlabel("P(the preferred answer is better) (%)")
        axes.set_ylabel("how often it is better (%)")

    return Drawing(name=NAME, title=title, svg=svg_of(NAME, title, paint, legend=True), points=())


def _curve(axes: Axes, label: str, reliability: Reliability, look: Look, shift: float) -> None:
    """Draw the bins that hold judgements, each at its mean P. Curves are shifted, so that intervals stay apart."""
    bins = [(one, _share(one)) for one in reliability.bins if one.n and one.mean_p is not None]
    values = [100 * (share.value or 0.0) for _, share in bins]
    ends = [share.ci95 or (0.0, 1.0) for _, share in bins]
    axes.errorbar(
        [100 * (one.mean_p or 0.0) + 0.25 * shift for one, _ in bins],
        values,
        # A rounded value may lie just outside its interval, and matplotlib refuses negative lengths.
        yerr=[
            [max(0.0, value - 100 * low) for value, (low, _) in zip(values, ends, strict=True)],
            [max(0.0, 100 * high - value) for value, (_, high) in zip(values, ends, strict=True)],
        ],
        label=cut(label, 40),
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        linewidth=1,
        markersize=6,
        elinewidth=1.2,
        capsize=3,
        zorder=3,
    )


def _counts(axes: Axes, reliability: Reliability, look: Look, height: float) -> None:
    """Write the number of judgements below the middle of each bin."""
    width = 50 / len(reliability.bins)
    for place, one in enumerate(reliability.bins):
        if one.n:
            middle = 50 + width * (place + 0.5)
            axes.text(middle, height, f"{one.n:,}", ha="center", va="center", color=look.colour, fontsize=9)


def reliability_table(series: Mapping[str, Reliability]) -> Table:
    """Return the same as a table, with a row for each bin that holds judgements, and the calibration error below."""
    bins = max(len(one.bins) for one in series.values())
    rows = [
        (Cell(_range(place, bins)), *(_cell(one.bins[place]) for one in series.values()))
        for place in range(bins)
        if any(one.bins[place].n for one in series.values())
    ]
    rows.append((Cell("expected calibration error"), *(_error(one) for one in series.values())))
    return Table(title="Reliability", header=("P(the preferred answer is better)", *series), rows=tuple(rows), names=1)


def reliability_lines(reliability: Reliability) -> list[str]:
    """Return the bins that hold judgements as lines for a terminal."""
    head = "how sure it was  how often it was right"
    lines = [
        f"{_range(place, len(reliability.bins)):<15}  {one.right:,} of {one.n:,} ({percent(one.right / one.n)})"
        for place, one in enumerate(reliability.bins)
        if one.n
    ]
    return [head, *lines]


def _share(one: ReliabilityBin) -> Metric:
    """Return the share of right judgements in a bin."""
    return Metric.share(one.right, one.n)


def _range(place: int, bins: int) -> str:
    """Return the ends of a bin."""
    width = 0.5 / bins
    return f"{0.5 + place * width:.2f} to {0.5 + (place + 1) * width:.2f}"


def _cell(one: ReliabilityBin) -> Cell:
    """Return the share of right judgements with its interval and the counts."""
    share = _share(one)
    if share.value is None or share.ci95 is None:
        return Cell("–")
    return Cell(percent(share.value), f"{one.right:,} of {one.n:,}; {percent_range(share.ci95)}")


def _error(one: Reliability) -> Cell:
    """Return the calibration error in percentage points."""
    return Cell("–" if one.error is None else f"{100 * one.error:.1f} points", f"n {one.n:,}")
