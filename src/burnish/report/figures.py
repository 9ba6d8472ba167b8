"""The paper's figures, drawn from the results as SVG. The same results give the same bytes."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the **kwargs of its drawing functions without a type.

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.report.series import Method, Point, Role, curve, methods, with_role
from burnish.report.text import visible
from burnish.results import Results, read_results
from burnish.store import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# 5 in are 360 pt, so that on a phone 360 px wide a point is about a pixel and 11 pt text stays readable.
_SIZE = (5.0, 3.9)
_FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_INK, _FAINT = "#24292f", "#d8dde3"


@dataclass(frozen=True, slots=True)
class Look:
    """Colour, marker and dashes: any two methods differ in all three."""

    colour: str
    marker: str
    dashes: str | tuple[int, tuple[int, ...]]


# Okabe and Ito's colours, which people with any common colour blindness tell apart.
_LOOKS = {
    Role.WEAK: Look("#6b7280", "v", (0, (1, 2))),
    Role.SFT: Look("#1f2328", "s", (0, (6, 3))),
    Role.ILR: Look("#0072b2", "o", "solid"),
    Role.NAIVE: Look("#d55e00", "X", (0, (4, 2))),
    Role.CEILING: Look("#007a59", "D", (0, (8, 2, 1, 2))),
}
_MORE = (
    Look("#aa4499", "^", (0, (5, 1))),
    Look("#b07d00", "P", (0, (3, 1, 1, 1))),
    Look("#3a9fd6", "<", (0, (2, 1))),
    Look("#882255", ">", (0, (7, 1, 1, 1, 1, 1))),
    Look("#44aa99", "h", (0, (1, 1))),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A finished figure: `name` is its file's stem, `points` is all that it shows."""

    name: str
    title: str
    svg: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What a figure over rounds shows: lines for `lines`, levels for `levels` (their last value of `level_metric`)."""

    name: str
    title: str
    y_label: str
    metric: str
    lines: tuple[Method, ...]
    levels: tuple[Method, ...] = ()
    level_metric: str = "test_accuracy"
    chance: float | None = None


def draw_figures(results: Results) -> list[Drawing]:
    """Draw each figure for which there are results, in the order of the report."""
    drawings = [_bars(results)]
    drawings += [_over_rounds(results, plot) for plot in _plots(results)]
    return [drawing for drawing in drawings if drawing is not None]


def write_figures(directory: Path) -> list[Path]:
    """Write the figures of a results folder as files into its `figures/`; returns their paths."""
    folder = directory / "figures"
    paths: list[Path] = []
    for drawing in draw_figures(read_results(directory)):
        path = folder / f"{drawing.name}.svg"
        write_atomic(path, drawing.svg.encode())
        paths.append(path)
    return paths


def _plots(results: Results) -> list[Plot]:
    """The figures over rounds: the paper's 4, 9 and 5, then the annotator."""
    moving = tuple(method for method in methods(results) if method.last_round > 0)
    fed = tuple(method for method in moving if method.role != Role.NAIVE)
    levels = with_role(results, Role.WEAK, Role.SFT, Role.CEILING)
    naive = with_role(results, Role.NAIVE)
    plots = [
        Plot(
            name="test-accuracy",
            title="Test accuracy over the rounds",
            y_label="test accuracy (%)",
            metric="test_accuracy",
            lines=fed,
            levels=levels,
        ),
        Plot(
            name="without-feedback",
            title="Refinement with and without feedback",
            y_label="test accuracy (%)",
            metric="test_accuracy",
            lines=(*with_role(results, Role.ILR), *naive),
            levels=with_role(results, Role.SFT),
        ),
        Plot(
            name="label-accuracy",
            title="Accuracy of the training labels",
            y_label="label accuracy (%)",
            metric="label_accuracy",
            lines=moving,
            levels=with_role(results, Role.CEILING),
        ),
        Plot(
            name="annotator-accuracy",
            title="Accuracy of the annotator",
            y_label="annotator accuracy (%)",
            metric="annotator_accuracy",
            lines=moving,
            chance=0.5,
        ),
    ]
    return [plot for plot in plots if plot.name != "without-feedback" or naive]


def _over_rounds(results: Results, plot: Plot) -> Drawing | None:
    curves = [(method, curve(results, method.name, plot.metric)) for method in plot.lines]
    curves = [(method, points) for method, points in curves if points]
    if not curves:
        return None
    levels = [(method, curve(results, method.name, plot.level_metric)) for method in plot.levels]
    levels = [(method, points[-1]) for method, points in levels if points]
    looks = _looks(methods(results))

    def paint(axes: Axes) -> None:
        for method, level in levels:
            _level(axes, level.value, _level_label(method, plot), looks[method.name])
        if plot.chance is not None:
            _level(axes, plot.chance, "chance", _LOOKS[Role.WEAK])
        for place, (method, points) in enumerate(curves):
            # Side by side by 5 % of a round, so that intervals do not hide each other.
            _line(axes, points, 0.05 * (place - (len(curves) - 1) / 2), _label(method), looks[method.name])
        rounds = sorted({point.round for _, points in curves for point in points})
        axes.set_xticks(rounds)
        axes.set_xlim(rounds[0] - 0.25, rounds[-1] + 0.25)
        axes.set_xlabel("round (0 = before refinement)" if rounds[0] == 0 else "round")
        axes.set_ylabel(plot.y_label)

    shown = tuple(point for _, points in curves for point in points)
    return Drawing(name=plot.name, title=plot.title, svg=_svg(plot.name, plot.title, paint, legend=True), points=shown)


def _level_label(method: Method, plot: Plot) -> str:
    same = plot.metric == plot.level_metric
    return _label(method) if same else f"test accuracy of {_label(method)}"


def _bars(results: Results) -> Drawing | None:
    """The paper's figure 2: what the supervisor, its student and the ceiling reach."""
    found = with_role(results, Role.WEAK, Role.SFT, Role.CEILING)
    pairs = [(method, curve(results, method.name, "test_accuracy")) for method in found]
    bars = [(method, points[-1]) for method, points in pairs if points]
    if not bars:
        return None
    looks = _looks(methods(results))

    def paint(axes: Axes) -> None:
        for place, (method, point) in enumerate(bars):
            height = 100 * point.value
            axes.bar([place], [height], width=0.58, color=looks[method.name].colour, alpha=0.85, zorder=2)
            axes.errorbar([place], [height], yerr=_errors([point]), fmt="none", ecolor=_INK, capsize=5, zorder=3)
            top = height if point.ci95 is None else 100 * point.ci95[1]
            axes.text(place, top + 2, f"{height:.1f}", ha="center", va="bottom", color=_INK)
        axes.set_xticks(range(len(bars)), [_bar_label(method) for method, _ in bars])
        axes.set_xlim(-0.6, len(bars) - 0.4)
        axes.set_ylim(0, 108)
        axes.set_yticks(range(0, 101, 20))
        axes.set_ylabel("test accuracy (%)")

    title = "Supervisor, student and ceiling"
    name = "supervisor-student-ceiling"
    svg = _svg(name, title, paint, legend=False)
    return Drawing(name=name, title=title, svg=svg, points=tuple(point for _, point in bars))


def _looks(all_methods: Sequence[Method]) -> dict[str, Look]:
    """Give each method its look: the first of a role has the role's, the others one of the rest in turn."""
    looks: dict[str, Look] = {}
    free = dict(_LOOKS)
    spare = 0
    for method in all_methods:
        if method.role in free:
            looks[method.name] = free.pop(method.role)
        else:
            looks[method.name] = _MORE[spare % len(_MORE)]
            spare += 1
    return looks


def _label(method: Method) -> str:
    return _cut(method.label, 28)


def _bar_label(method: Method) -> str:
    """Return a label for the width of a bar, what stands in brackets on a line of its own."""
    return "\n(".join(_cut(part, 16) for part in method.label.split(" (", 1))


def _cut(text: str, limit: int) -> str:
    text = visible(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _line(axes: Axes, points: Sequence[Point], shift: float, label: str, look: Look) -> None:
    axes.errorbar(
        [point.round + shift for point in points],
        [100 * point.value for point in points],
        yerr=_errors(points),
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


def _level(axes: Axes, value: float, label: str, look: Look) -> None:
    axes.axhline(100 * value, label=label, color=look.colour, linestyle=look.dashes, linewidth=1.5, zorder=1.5)


def _errors(points: Sequence[Point]) -> list[list[float]]:
    """Return distances from the value down and up to the interval's ends, in percentage points; 0 without one."""
    ends = [(point.value, point.ci95 or (point.value, point.value)) for point in points]
    return [[100 * max(0.0, v - ci[0]) for v, ci in ends], [100 * max(0.0, ci[1] - v) for v, ci in ends]]


def _svg(name: str, title: str, paint: Callable[[Axes], None], *, legend: bool) -> str:
    """Draw on a fresh figure and return its SVG, with text as text and ids that start with `name`."""
    import matplotlib  # noqa: PLC0415  half a second that only drawing should cost
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: dict[Any, Any] = {
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        "font.family": "DejaVu Sans",
        "font.size": 12,
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        paint(axes)
        _frame(figure, axes, title, legend=legend)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None})
    return _cleaned(target.getvalue(), name)


def _frame(figure: Figure, axes: Axes, title: str, *, legend: bool) -> None:
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=_INK, pad=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#8b949e")
    axes.tick_params(colors=_INK, length=3)
    axes.grid(axis="y", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    if legend:
        handles, labels = axes.get_legend_handles_labels()
        columns = 1 if max(len(label) for label in labels) > 24 else 2
        lines = -(-len(labels) // columns)
        # Three lines fit below the axes; each further one gets its own 0.24 in.
        figure.set_size_inches(_SIZE[0], _SIZE[1] + 0.24 * max(0, lines - 3))
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, handlelength=2.6)


def _cleaned(svg: str, name: str) -> str:
    """Make the SVG fit into a page: no prolog, no metadata, ids of its own, fonts of the reader's system.

    The layout is measured with matplotlib's own DejaVu Sans, wider than the fonts named here, so nothing overlaps.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return svg.replace("'DejaVu Sans'", _FONTS)
