"""How figures are drawn: looks, lines with intervals, bars, and SVG for a page. Equal input gives equal bytes."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the **kwargs of its drawing functions without a type.

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burnish.config import MethodRole
from burnish.report.series import Method, Point
from burnish.report.text import visible
from burnish.results import Bounds

# matplotlib is imported inside the functions that draw, because importing it takes half a second.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# 5 in are 360 pt, so that on a phone 360 px wide a point is about a pixel and 11 pt text stays readable.
SIZE = (5.0, 3.9)
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, FAINT = "#24292f", "#d8dde3"


@dataclass(frozen=True, slots=True)
class Look:
    """Colour, marker and dashes. Any two methods differ in all three, so a print without colour can be read."""

    colour: str
    marker: str
    dashes: str | tuple[int, tuple[int, ...]]


# Colours after Okabe and Ito: people with any common form of colour blindness can tell them apart.
LOOKS = {
    MethodRole.WEAK: Look("#6b7280", "v", (0, (1, 2))),
    MethodRole.SFT: Look("#1f2328", "s", (0, (6, 3))),
    MethodRole.ILR: Look("#0072b2", "o", "solid"),
    MethodRole.DPO: Look("#aa4499", "^", (0, (5, 1))),
    MethodRole.NAIVE: Look("#d55e00", "X", (0, (4, 2))),
    MethodRole.CEILING: Look("#007a59", "D", (0, (8, 2, 1, 2))),
}
MORE = (
    Look("#56b4a0", "p", (0, (4, 1, 1, 1))),
    Look("#b07d00", "P", (0, (3, 1, 1, 1))),
    Look("#3a9fd6", "<", (0, (2, 1))),
    Look("#882255", ">", (0, (7, 1, 1, 1, 1, 1))),
    Look("#44aa99", "h", (0, (1, 1))),
)
"""Looks for methods without a role, and for a second method of a role."""
_FIRST = (MethodRole.ILR, MethodRole.DPO, MethodRole.NAIVE, MethodRole.CEILING, MethodRole.SFT)
ALL_LOOKS = (*(LOOKS[role] for role in _FIRST), *MORE)
"""Looks for curves that are not methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
# A drawing is text already: nothing after this needs matplotlib.
class Drawing:
    """A finished figure. `name` is the stem of its file name, and `points` are all points that it shows."""

    name: str
    title: str
    svg: str
    points: tuple[Point, ...]


def looks_of(all_methods: Sequence[Method]) -> dict[str, Look]:
    """Give each method a look.

    The first method of a role gets the look of that role. The others get the remaining looks in turn.
    """
    # A method keeps its look in all figures of a page, because looks are given to all methods at once.
    looks: dict[str, Look] = {}
    unused = dict(LOOKS)
    extra = 0
    for method in all_methods:
        if method.role in unused:
            looks[method.name] = unused.pop(method.role)
        else:
            looks[method.name] = MORE[extra % len(MORE)]
            extra += 1
    return looks


def label_of(method: Method) -> str:
    """Return a method's name, cut to the space in a legend."""
    return cut(method.label, 28)


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters, with control characters made visible."""
    text = visible(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def draw_line(axes: Axes, points: Sequence[Point], shift: float, label: str, look: Look) -> None:
    """Draw a metric over the rounds, in percent, with its intervals."""
    axes.errorbar(
        [point.round + shift for point in points],
        [100 * point.value for point in points],
        yerr=errors(points),
        label=label,
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        linewidth=2,
        markersize=7,
        elinewidth=1.3,
        capsize=3.5,
        zorder=3,
    )


def draw_level(axes: Axes, value: float, label: str, look: Look) -> None:
    """Draw one value, in percent, as a horizontal line across all rounds."""
    axes.axhline(100 * value, label=label, color=look.colour, linestyle=look.dashes, linewidth=1.5, zorder=1.5)


def errors(points: Sequence[Point]) -> list[list[float]]:
    """Return the distances from the value to the interval's ends, in percentage points; 0 where there is none."""
    # max(0.0, ...): a rounded value may lie just outside its interval, and matplotlib refuses negative lengths.
    ends = [(point.value, point.ci95 or (point.value, point.value)) for point in points]
    return [[100 * max(0.0, v - ci[0]) for v, ci in ends], [100 * max(0.0, ci[1] - v) for v, ci in ends]]


def svg_of(name: str, title: str, paint: Callable[[Axes], None], *, legend: bool) -> str:
    """Draw on a new figure and return its SVG. Texts stay texts, and all ids start with `name`."""
    import matplotlib  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: dict[Any, Any] = {
        # Without a salt matplotlib makes random ids, and equal results would give different bytes.
        "svg.hashsalt": name,
        # Write text as text and not as outlines: it can be selected and searched, and the file is smaller.
        "svg.fonttype": "none",
        "font.family": "DejaVu Sans",
        "font.size": 12,
        # A method's name may contain dollar signs, which matplotlib would read as a formula.
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style):
        # Figure and not pyplot: pyplot keeps global state and may look for a screen.
        figure = Figure(figsize=SIZE, layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        paint(axes)
        _frame(figure, axes, title, legend=legend)
        target = io.StringIO()
        # matplotlib writes the current date unless it is told not to.
        figure.savefig(target, format="svg", metadata={"Date": None})
    return _cleaned(target.getvalue(), name)


def _frame(figure: Figure, axes: Axes, title: str, *, legend: bool) -> None:
    """Draw the title, the axes and the legend."""
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#8b949e")
    axes.tick_params(colors=INK, length=3)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    if legend:
        handles, labels = axes.get_legend_handles_labels()
        # Two columns of long labels would be wider than the figure.
        columns = 1 if max(len(label) for label in labels) > 24 else 2
        # Round up.
        lines = -(-len(labels) // columns)
        # Three lines fit below the axes; each further one gets its own 0.24 in.
        figure.set_size_inches(SIZE[0], SIZE[1] + 0.24 * max(0, lines - 3))
        # "outside" makes the layout leave room for the legend, so that it never covers a line.
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, handlelength=2.6)


def _cleaned(svg: str, name: str) -> str:
    """Make the SVG fit into a page: no prolog, no metadata, ids of its own, and fonts of the reader's system.

    matplotlib computes the layout with its own DejaVu Sans. The fonts in FONTS are narrower, so texts do not overlap.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.S)
    # Ids must be unique on a page with several drawings; references to them change with them.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    # The page loads no font file, so the SVG names fonts that most systems have.
    return svg.replace("'DejaVu Sans'", FONTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point of a curve with the intervals of both coordinates, in the units of the axes."""

    x: float
    y: float
    x_ci: Bounds | None = None
    y_ci: Bounds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Marks that belong together. If `joined` is true, a line joins them."""

    label: str
    marks: tuple[Mark, ...]
    joined: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The label and the scale of an axis."""

    label: str
    log: bool = False
    whole: bool = False
    """Put ticks only at whole numbers."""


def curves(name: str, title: str, x: Axis, y: Axis, drawn: Sequence[Curve], *, zero: bool = False) -> Drawing:
    """Draw curves over any x. `zero` adds a line at the height at which nothing is gained."""

    def paint(axes: Axes) -> None:
        if zero:
            axes.axhline(0, color=INK, linewidth=1, zorder=1)
        # Repeat the looks if there are more curves than looks.
        for curve, look in zip(drawn, ALL_LOOKS * (len(drawn) // len(ALL_LOOKS) + 1), strict=False):
            _curve(axes, curve, look)
        if x.log:
            axes.set_xscale("log")
        if x.whole:
            from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 slow to import

            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(x.label)
        axes.set_ylabel(y.label)

    return Drawing(name=name, title=title, svg=svg_of(name, title, paint, legend=len(drawn) > 1), points=())


def _curve(axes: Axes, curve: Curve, look: Look) -> None:
    """Draw one curve with its intervals."""
    axes.errorbar(
        [mark.x for mark in curve.marks],
        [mark.y for mark in curve.marks],
        xerr=_reach([(mark.x, mark.x_ci) for mark in curve.marks]),
        yerr=_reach([(mark.y, mark.y_ci) for mark in curve.marks]),
        label=cut(curve.label, 40),
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes if curve.joined else "none",
        linewidth=2,
        markersize=7,
        elinewidth=1.2,
        capsize=3,
        zorder=3,
    )


def _reach(ends: Sequence[tuple[float, Bounds | None]]) -> list[list[float]] | None:
    """Return the distances down and up to the intervals' ends, or None if no mark has an interval."""
    if all(ci is None for _, ci in ends):
        return None
    # A mark without an interval gets one of no length, because matplotlib wants a length for each mark.
    with_ends = [(value, ci or (value, value)) for value, ci in ends]
    return [[max(0.0, v - ci[0]) for v, ci in with_ends], [max(0.0, ci[1] - v) for v, ci in with_ends]]


def grouped_bars(
    name: str, title: str, y_label: str, groups: Sequence[str], drawn: Sequence[tuple[str, Sequence[Point | None]]]
) -> Drawing:
    """Draw a bar for each series in each group, in percent, with intervals."""

    def paint(axes: Axes) -> None:
        # The bars of a group fill 0.8 of the space between two ticks, and the group is centred on its tick.
        width = 0.8 / len(drawn)
        for place, ((label, points), look) in enumerate(zip(drawn, ALL_LOOKS, strict=False)):
            measured = [(at, point) for at, point in enumerate(points) if point is not None]
            axes.bar(
                [at + width * (place - (len(drawn) - 1) / 2) for at, _ in measured],
                [100 * point.value for _, point in measured],
                width=0.9 * width,
                yerr=errors([point for _, point in measured]),
                label=cut(label, 40),
                color=look.colour,
                alpha=0.85,
                ecolor=INK,
                capsize=2.5,
                zorder=2,
            )
        axes.set_xticks(range(len(groups)), [cut(group, 40).replace(" ", "\n", 2) for group in groups])
        # A little above 100, so that a full bar and its cap are not cut.
        axes.set_ylim(0, 104)
        axes.set_ylabel(y_label)

    shown = tuple(point for _, points in drawn for point in points if point is not None)
    return Drawing(name=name, title=title, svg=svg_of(name, title, paint, legend=True), points=shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPart:
    """A part of stacked bars: its value in each bar. Its pattern tells it from the others in a print without colour."""

    label: str
    values: tuple[float, ...]
    colour: str
    pattern: str


def stacked_bars(name: str, title: str, x_label: str, bars: Sequence[str], parts: Sequence[StackPart]) -> Drawing:
    """Draw a horizontal bar for each name in `bars`, made of one part for each of `parts`."""

    def paint(axes: Axes) -> None:
        places = range(len(bars))
        starts = [0.0] * len(bars)
        for part in parts:
            axes.barh(
                places,
                part.values,
                left=starts,
                height=0.7,
                label=part.label,
                color=part.colour,
                hatch=part.pattern,
                edgecolor="white",
                linewidth=0.5,
            )
            starts = [start + value for start, value in zip(starts, part.values, strict=True)]
        axes.set_yticks(places, [cut(bar, 24) for bar in bars])
        # The first bar is at the top, as in a table.
        axes.invert_yaxis()
        axes.set_xlabel(x_label)

    return Drawing(name=name, title=title, svg=svg_of(name, title, paint, legend=True), points=())


def scaled(interval: Bounds | None, factor: float) -> Bounds | None:
    """Return an interval in the units of an axis."""
    return None if interval is None else (factor * interval[0], factor * interval[1])
