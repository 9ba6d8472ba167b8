"""The paper's figures, drawn from the results as SVG. The same results give the same bytes."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the **kwargs of its drawing functions without a type.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.config import MethodRole
from burnish.report.drawing import (
    INK,
    LOOKS,
    Axis,
    Curve,
    Drawing,
    Mark,
    StackPart,
    curves,
    cut,
    draw_level,
    draw_line,
    errors,
    label_of,
    looks_of,
    scaled,
    stacked_bars,
    svg_of,
)
from burnish.report.policies import policy_training
from burnish.report.series import Method, by_wins, curve, effects_of, main_metric, methods, with_role
from burnish.report.tables import EFFECTS
from burnish.results import Results, read_results
from burnish.store.files import write_atomic
from burnish.types import Effect

if TYPE_CHECKING:
    from matplotlib.axes import Axes


JUDGED = {
    "reference_win_rate": "Win rate against references",
    "refusal_rate": "Unsafe prompts refused",
    "over_refusal_rate": "Safe prompts refused",
}
"""The metrics that are drawn for answers that are not simply right or wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What a figure over rounds shows.

    `lines` are drawn over the rounds. `levels` are horizontal lines: each is the last value of `level_metric`.
    """

    name: str
    title: str
    y_label: str
    metric: str
    lines: tuple[Method, ...]
    levels: tuple[Method, ...] = ()
    level_metric: str = "test_accuracy"
    chance: float | None = None


EFFECT_LOOKS = {
    Effect.WRONG_TO_RIGHT: ("#007a59", ""),
    Effect.RIGHT_TO_WRONG: ("#d55e00", "///"),
    Effect.WRONG_TO_WRONG: ("#e8a33d", "..."),
    Effect.RIGHT_TO_RIGHT: ("#9aa4af", "xx"),
}
"""The colour and the pattern of each effect of a change."""
MOST_BARS = 16
"""The most bars that one figure has room for."""


def draw_figures(results: Results) -> list[Drawing]:
    """Draw each figure for which there are results, in the order of the report."""
    drawings = [_bars(results)]
    drawings += [_over_rounds(results, plot) for plot in _plots(results)]
    drawings += [*changes(results), *overoptimisation(results), *preference_training(results)]
    drawings += policy_training(results)
    return [drawing for drawing in drawings if drawing is not None]


def write_figures(directory: Path, drawings: Sequence[Drawing] | None = None) -> list[Path]:
    """Write the figures of a results folder into its `figures/`, and return their paths.

    `drawings` are its figures, if they are drawn already: drawing takes seconds. Raises DataError if results.json
    cannot be read.
    """
    folder = directory / "figures"
    paths: list[Path] = []
    for drawing in draw_figures(read_results(directory)) if drawings is None else drawings:
        path = folder / f"{drawing.name}.svg"
        write_atomic(path, drawing.svg.encode())
        paths.append(path)
    return paths


def _plots(results: Results) -> list[Plot]:
    """Return the figures over rounds: figures 4, 9 and 5 of the paper, then the annotator."""
    # A method with only round 0 would be a single dot, so it is drawn as a level or not at all.
    moving = tuple(method for method in methods(results) if method.last_round > 0)
    fed = tuple(method for method in moving if method.role != MethodRole.NAIVE)
    levels = with_role(results, MethodRole.WEAK, MethodRole.SFT, MethodRole.CEILING)
    naive = with_role(results, MethodRole.NAIVE)
    plots = [
        Plot(
            name="test-accuracy",
            title="Refusing exactly where one should" if by_wins(results) else "Test accuracy over the rounds",
            y_label="test prompts (%)" if by_wins(results) else "test accuracy (%)",
            metric="test_accuracy",
            lines=fed,
            levels=levels,
        ),
        Plot(
            name="without-feedback",
            title="Refinement with and without feedback",
            y_label="test accuracy (%)",
            metric="test_accuracy",
            lines=(*with_role(results, MethodRole.ILR), *naive),
            levels=with_role(results, MethodRole.SFT),
        ),
        Plot(
            name="label-accuracy",
            title="Accuracy of the training labels",
            y_label="label accuracy (%)",
            metric="label_accuracy",
            # DPO leaves the labels as they are, so its line would be flat.
            lines=tuple(method for method in moving if method.role is not MethodRole.DPO),
            levels=with_role(results, MethodRole.CEILING),
        ),
        Plot(
            name="annotator-accuracy",
            title="Accuracy of the annotator",
            y_label="annotator accuracy (%)",
            metric="annotator_accuracy",
            lines=moving,
            # On a decisive pair exactly one side is right, so guessing is right half of the time.
            chance=0.5,
        ),
        *(_judged(metric, title, moving, levels) for metric, title in JUDGED.items()),
    ]
    # Without a naive method this figure would repeat the first one.
    return [plot for plot in plots if plot.name != "without-feedback" or naive]


def _judged(metric: str, title: str, lines: tuple[Method, ...], levels: tuple[Method, ...]) -> Plot:
    """Return a figure over rounds for a metric of judged answers."""
    return Plot(
        name=metric.replace("_", "-"),
        title=title,
        y_label=f"{title[0].lower()}{title[1:]} (%)",
        metric=metric,
        lines=lines,
        levels=levels,
        level_metric=metric,
    )


def over_rounds(results: Results, name: str, title: str, metric: str) -> Drawing | None:
    """Draw one metric of all methods that have rounds. Test accuracy has SFT and the ceiling as levels."""
    plot = Plot(
        name=name,
        title=title,
        y_label=f"{metric.replace('_', ' ')} (%)",
        metric=metric,
        lines=tuple(method for method in methods(results) if method.last_round > 0),
        levels=with_role(results, MethodRole.SFT, MethodRole.CEILING) if metric == "test_accuracy" else (),
    )
    return _over_rounds(results, plot)


def _over_rounds(results: Results, plot: Plot) -> Drawing | None:
    """Draw a figure over rounds, or return None if none of its lines was measured."""
    lines = [(method, curve(results, method.name, plot.metric)) for method in plot.lines]
    lines = [(method, points) for method, points in lines if points]
    if not lines:
        return None
    levels = [(method, curve(results, method.name, plot.level_metric)) for method in plot.levels]
    # A level is one number: the method's last value.
    levels = [(method, points[-1]) for method, points in levels if points]
    looks = looks_of(methods(results))

    def paint(axes: Axes) -> None:
        for method, level in levels:
            draw_level(axes, level.value, _level_label(method, plot), looks[method.name])
        if plot.chance is not None:
            draw_level(axes, plot.chance, "chance", LOOKS[MethodRole.WEAK])
        for place, (method, points) in enumerate(lines):
            # Shift the methods by 5 % of a round each, so that their intervals do not hide each other.
            draw_line(axes, points, 0.05 * (place - (len(lines) - 1) / 2), label_of(method), looks[method.name])
        rounds = sorted({point.round for _, points in lines for point in points})
        # Rounds are whole numbers; matplotlib would also put ticks between them.
        axes.set_xticks(rounds)
        axes.set_xlim(rounds[0] - 0.25, rounds[-1] + 0.25)
        axes.set_xlabel("round (0 = before refinement)" if rounds[0] == 0 else "round")
        axes.set_ylabel(plot.y_label)

    shown = tuple(point for _, points in lines for point in points)
    return Drawing(
        name=plot.name, title=plot.title, svg=svg_of(plot.name, plot.title, paint, legend=True), points=shown
    )


def _level_label(method: Method, plot: Plot) -> str:
    """Return the legend of a level. It names the metric if that is not the metric of the lines."""
    same = plot.metric == plot.level_metric
    return label_of(method) if same else f"test accuracy of {label_of(method)}"


def _bars(results: Results) -> Drawing | None:
    """Draw the paper's figure 2: the results of the supervisor, its student and the ceiling."""
    shown_methods = with_role(results, MethodRole.WEAK, MethodRole.SFT, MethodRole.CEILING)
    metric = main_metric(results)
    pairs = [(method, curve(results, method.name, metric)) for method in shown_methods]
    bars = [(method, points[-1]) for method, points in pairs if points]
    if not bars:
        return None
    looks = looks_of(methods(results))

    def paint(axes: Axes) -> None:
        for place, (method, point) in enumerate(bars):
            height = 100 * point.value
            axes.bar([place], [height], width=0.58, color=looks[method.name].colour, alpha=0.85, zorder=2)
            axes.errorbar([place], [height], yerr=errors([point]), fmt="none", ecolor=INK, capsize=5, zorder=3)
            # The number stands over the interval, where the bar's cap does not cross it.
            top = height if point.ci95 is None else 100 * point.ci95[1]
            axes.text(place, top + 2, f"{height:.1f}", ha="center", va="bottom", color=INK)
        axes.set_xticks(range(len(bars)), [_bar_label(method) for method, _ in bars])
        axes.set_xlim(-0.6, len(bars) - 0.4)
        # The space above 100 is for the number over a bar.
        axes.set_ylim(0, 108)
        axes.set_yticks(range(0, 101, 20))
        axes.set_ylabel("win rate against references (%)" if by_wins(results) else "test accuracy (%)")

    title = "Supervisor, student and ceiling"
    name = "supervisor-student-ceiling"
    svg = svg_of(name, title, paint, legend=False)
    return Drawing(name=name, title=title, svg=svg, points=tuple(point for _, point in bars))


def _bar_label(method: Method) -> str:
    """Return a label that fits a bar. A part in brackets gets a line of its own."""
    return "\n(".join(cut(part, 16) for part in method.label.split(" (", 1))


def changes(results: Results) -> list[Drawing]:
    """Draw what the changes of labels did, as a bar for each method and round. Counts are means over seeds."""
    rows = [
        (method, number, counts)
        for method in methods(results)
        for number, counts in effects_of(results, method).items()
        if any(counts.values())
    ][:MOST_BARS]
    if not rows:
        return []
    seeds = {method.name: len({run.seed for run in results.runs if run.method == method.name}) for method, *_ in rows}
    parts = [
        StackPart(
            label=EFFECTS[effect],
            values=tuple(counts[effect] / seeds[method.name] for method, _, counts in rows),
            colour=colour,
            pattern=pattern,
        )
        for effect, (colour, pattern) in EFFECT_LOOKS.items()
    ]
    bars = [f"{method.name}, round {number}" for method, number, _ in rows]
    return [stacked_bars("changes", "What the changes of labels did", "changed labels (mean over seeds)", bars, parts)]


def overoptimisation(results: Results) -> list[Drawing]:
    """Draw the annotator's win rate against the SFT model and the true accuracy, for each round."""
    drawn = [
        Curve(label=method.label, marks=tuple(_marks_of(results, method.name, "win_rate", "test_accuracy", 100.0)))
        for method in methods(results)
        if method.last_round > 0
    ]
    x, y = Axis(label="annotator's win rate against SFT (%)"), Axis(label="test accuracy (%)")
    if not any(drawn_curve.marks for drawn_curve in drawn):
        return []
    return [curves("overoptimisation", "What the annotator sees, what is true", x, y, drawn)]


def _marks_of(results: Results, method: str, x: str, y: str, scale: float) -> list[Mark]:
    """Return a mark for each round in which both metrics were measured."""
    # A round counts only if both metrics were measured in it.
    xs = {point.round: point for point in curve(results, method, x)}
    return [
        Mark(
            x=scale * xs[point.round].value,
            y=100 * point.value,
            x_ci=scaled(xs[point.round].ci95, scale),
            y_ci=scaled(point.ci95, 100),
        )
        for point in curve(results, method, y)
        if point.round in xs
    ]


def preference_training(results: Results) -> list[Drawing]:
    """Draw the log-probabilities of chosen and rejected answers over a preference training.

    It is the training of round 1 in the first run that has one.
    """
    run = next((run for run in results.runs if run.curve and run.round == 1), None)
    if run is None:
        return []
    drawn = [
        Curve(label="chosen", marks=tuple(Mark(x=point.step, y=point.chosen_logp) for point in run.curve)),
        Curve(label="rejected", marks=tuple(Mark(x=point.step, y=point.rejected_logp) for point in run.curve)),
    ]
    title = f"{run.method}, round 1, seed {run.seed}: log-probabilities"
    return [curves("preference-training", title, Axis(label="step"), Axis(label="log p(answer | prompt), nats"), drawn)]
