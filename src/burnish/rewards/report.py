"""What a reward model is worth on pairs whose better answer is known: as JSON, as lines, and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from burnish import __version__
from burnish.algorithms.calibration import binned
from burnish.algorithms.rewards import (
    LENGTHS,
    RewardedPair,
    RewardPoint,
    accuracy_by,
    accuracy_of,
    length_correlation,
    mean_reward,
    stated_confidence,
)
from burnish.report.drawing import Axis, Curve, Mark, curves
from burnish.report.facts import Fact
from burnish.report.page import environment
from burnish.report.reliability import reliability_lines, view_of
from burnish.report.tables import Cell, Table
from burnish.report.text import NONE, percent, percent_range, plural, terminal
from burnish.results import Metric, Natural, Record, Reliability
from burnish.store.files import pretty, write_atomic

RESULTS_FILE, REPORT_FILE = "reward.json", "report.html"
"""The files beside a reward model: the results as JSON, and as a page."""
WORDS = {
    "tie": "ties",
    "abstained": "without a verdict",
    "equal": "two equal answers",
    "bad_row": "rows that cannot be used",
    "taken_back": "taken back by you",
    "trained_on": "of prompts that it was trained on",
    "too_long": "too long for the model",
}
"""What each reason for leaving a pair out is called where people read it."""


class RewardCurvePoint(Record):
    """The state of the training: means over the steps since the last point."""

    step: Natural
    """Optimiser steps done."""
    loss: float
    """The loss."""
    accuracy: float
    """Share of the pairs in which the chosen answer had the higher reward."""
    margin: float
    """Reward of the chosen answer minus that of the rejected one."""
    mean: float
    """Mean reward of all answers."""


class RewardReport(Record):
    """What a reward model is worth."""

    model: str
    """The reward model, as it was named."""
    pairs: str
    """The file or folder with the pairs."""
    trained: Natural | None
    """How many pairs it was trained on; null if it was only tested."""
    tested: Natural
    """How many pairs it was tested on."""
    left_out: dict[str, Natural]
    """How many pairs were left out of both, by reason."""
    without_reward: Natural
    """How many tested pairs have no reward, because an answer does not fit into the model."""
    prompts: Natural | None = None
    """How many prompts the pairs with rewards have; null in the report of an earlier version."""
    accuracy: Metric
    """Share of the tested pairs in which the better answer has the higher reward. Equal rewards count as half."""
    by_length: dict[str, Metric]
    """The accuracy by which answer is longer, in tokens."""
    by_source: dict[str, Metric]
    """The accuracy by where the pairs come from. It is empty if the pairs do not say."""
    ties: Natural
    """How many tested pairs have two equal rewards."""
    length_correlation: float | None
    """Rank correlation, over pairs in both orders, of the difference in reward with the difference in length. 1 means
    that the longer answer always has the higher reward. It is null if nothing varies."""
    mean_reward: Metric
    """Mean reward of the tested answers. It is near 0 if the rewards were centred."""
    reliability: Reliability
    """How often the preferred answer is the better one, by P = sigmoid(difference in reward)."""
    curve: tuple[RewardCurvePoint, ...] = ()
    """The training curve; empty if the model was only tested."""

    @property
    def of_lengths(self) -> list[tuple[str, Metric]]:
        """The accuracies by length, in the order in which they are shown."""
        return [(name, self.by_length[name]) for name in LENGTHS if name in self.by_length]

    def words(self) -> Iterator[str]:
        """Yield the report as lines for a terminal."""
        yield f"reward model {terminal(self.model)}"
        if self.trained is not None:
            yield f"trained on {plural(self.trained, 'pair')}, tested on {self.tested:,} of other prompts"
        else:
            yield f"tested on {plural(self.tested, 'pair')}"
        for why, number in self.left_out.items():
            yield f"left out: {number:,} {WORDS.get(why, why)}"
        if self.without_reward:
            yield f"without a reward: {plural(self.without_reward, 'pair')} (an answer does not fit into the model)"
        rows = [("accuracy", self.accuracy), *((f"  {name}", one) for name, one in self.of_lengths)]
        rows += [(f"  {terminal(name)}", one) for name, one in self.by_source.items()]
        width = max(len(name) for name, _ in rows)
        for name, metric in rows:
            yield f"{name:<{width}}  {share_words(metric)}"
        if self.ties:
            yield f"equal rewards: {plural(self.ties, 'pair')}, each counted as half right"
        if self.length_correlation is not None:
            yield f"correlation of reward with length: {self.length_correlation:.2f}"
        yield f"mean reward: {mean_words(self.mean_reward)}"
        if self.reliability.n:
            yield from ("", *reliability_lines(self.reliability))


def report_on(
    model: str,
    source: str,
    pairs: Sequence[RewardedPair],
    counts: Mapping[str, int],
    missing: int,
    trained: tuple[int, Sequence[RewardPoint]] | None = None,
) -> RewardReport:
    """Return the report on tested pairs. `counts` are the pairs that were left out, and `missing` those without a
    reward. `trained` is the number of pairs that the model was trained on, and the training curve."""
    names = {pair.source for pair in pairs}
    by_source = accuracy_by(pairs, lambda pair: pair.source or "unnamed") if names - {""} else {}
    return RewardReport(
        model=model,
        pairs=source,
        trained=None if trained is None else trained[0],
        tested=len(pairs) + missing,
        left_out=dict(counts),
        without_reward=missing,
        prompts=len({pair.group for pair in pairs}),
        accuracy=Metric.of(accuracy_of(pairs)),
        by_length={name: Metric.of(one) for name, one in accuracy_by(pairs, lambda pair: pair.length).items()},
        by_source={name: Metric.of(one) for name, one in by_source.items()},
        ties=sum(pair.margin == 0 for pair in pairs),
        length_correlation=length_correlation(pairs),
        mean_reward=Metric.of(mean_reward(pairs)),
        reliability=Reliability.of(binned(stated_confidence(pairs))),
        curve=() if trained is None else tuple(_point(point) for point in trained[1]),
    )


def _point(point: RewardPoint) -> RewardCurvePoint:
    return RewardCurvePoint(
        step=point.step, loss=point.loss, accuracy=point.accuracy, margin=point.margin, mean=point.mean
    )


def share_words(metric: Metric) -> str:
    """Return a share with its interval and count."""
    if metric.value is None or metric.ci95 is None:
        return "not measured"
    return f"{percent(metric.value)} (95 % interval {percent_range(metric.ci95)}, n {metric.n:,})"


def mean_words(metric: Metric) -> str:
    """Return a mean with its interval."""
    if metric.value is None:
        return NONE
    bounds = "" if metric.ci95 is None else f" ({metric.ci95[0]:.3f} to {metric.ci95[1]:.3f})"
    return f"{metric.value:.3f}{bounds}"


def write_report(report: RewardReport, folder: Path) -> Path:
    """Write the report as JSON and as a page into a folder, and return the path of the page."""
    write_atomic(folder / RESULTS_FILE, pretty(report.model_dump(mode="json")))
    write_atomic(folder / REPORT_FILE, render(report).encode("utf-8", errors="backslashreplace"))
    return folder / REPORT_FILE


def render(report: RewardReport) -> str:
    """Return the page as HTML. Every string in it is escaped, because models and files may be called anything."""
    return (
        environment()
        .get_template("reward.html.j2")
        .render(
            name=report.model,
            facts=_facts(report),
            accuracy=_accuracy_table(report),
            reliability=view_of("Reliability of the reward model", {"reward model": report.reliability}),
            curve=_curve(report),
            burnish_version=__version__,
        )
    )


def _facts(report: RewardReport) -> list[Fact]:
    left = [f"{number:,} {WORDS.get(why, why)}" for why, number in report.left_out.items()]
    correlation = NONE if report.length_correlation is None else f"{report.length_correlation:.2f}"
    return [
        Fact("Pairs", report.pairs),
        *([] if report.trained is None else [Fact("Trained on", plural(report.trained, "pair"))]),
        Fact("Tested on", plural(report.tested, "pair")),
        *([Fact("Left out", ", ".join(left))] if left else []),
        *([Fact("Without a reward", plural(report.without_reward, "pair"))] if report.without_reward else []),
        Fact("Equal rewards", plural(report.ties, "pair")),
        Fact("Correlation of reward with length", correlation),
        Fact("Mean reward", mean_words(report.mean_reward)),
    ]


def _accuracy_table(report: RewardReport) -> Table:
    rows = [("all", report.accuracy), *report.of_lengths, *report.by_source.items()]
    return Table(title="Accuracy", header=("pairs", "accuracy"), rows=tuple(_cells(name, one) for name, one in rows))


def _cells(name: str, metric: Metric) -> tuple[Cell, Cell]:
    if metric.value is None or metric.ci95 is None:
        return Cell(name), Cell(NONE)
    return Cell(name), Cell(percent(metric.value), f"{percent_range(metric.ci95)}; n {metric.n:,}")


def _curve(report: RewardReport) -> Markup | None:
    """Draw the share of pairs that were right in training. Returns None without a training curve of two points."""
    if len(report.curve) < 2:
        return None
    marks = tuple(Mark(x=float(point.step), y=100 * point.accuracy) for point in report.curve)
    drawing = curves(
        "training",
        "Accuracy in training",
        Axis(label="step", whole=True),
        Axis(label="pairs in a batch that are right (%)"),
        [Curve(label="training", marks=marks)],
    )
    # Markup is safe here: the drawing is our own.
    return Markup(drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1))  # noqa: S704
