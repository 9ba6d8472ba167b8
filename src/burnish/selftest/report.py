"""What a self-test found of an annotator, as models to store and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from burnish.report.text import percent, percent_range, plural, signed_points, terminal
from burnish.results import Metric, Natural, Record
from burnish.selftest.planted import Planting


class Tally(Metric):
    """A share with the count behind it."""

    count: Natural
    """How many items of the n."""


class LabelledReport(Record):
    """How an annotator judges pairs whose better side is known."""

    annotator: str
    """The annotator's fingerprint."""
    pairs: Natural
    """How many pairs it was shown."""
    accuracy: Metric
    """Share of right verdicts among A and B (Wilson's interval); ties and abstentions stand apart."""
    by_subset: dict[str, Metric]
    """The accuracy on each subset that the file names."""
    ties: Tally
    """Ties among the pairs with a verdict."""
    abstained: Tally
    """Pairs without a verdict."""
    position_lean: Metric | None
    """As in SelftestReport."""
    flip_rate: Metric | None
    """As in SelftestReport, over all pairs."""

    def words(self) -> list[str]:
        """Return lines for a terminal."""
        return [
            f"{plural(self.pairs, 'labelled pair')}, annotator {_known_as(self.annotator)}",
            *_aligned(
                ("accuracy", _share(self.accuracy)),
                *((f"  {terminal(name)}", _share(metric)) for name, metric in self.by_subset.items()),
                ("ties", _share(self.ties)),
                ("abstained", _share(self.abstained)),
                *_order_lines(self.position_lean, self.flip_rate),
            ),
        ]


class SelftestReport(Record):
    """How an annotator judges planted pairs."""

    annotator: str
    """The annotator's fingerprint."""
    pairs: Natural
    """How many planted pairs it was shown."""
    accuracy: Metric
    """Mean over labels against corrupted copies: the label preferred 1, a tie 0.5, the copy preferred 0, abstentions
    left out. Wilson's interval; with half a point, its bounds are those of the counts below and above."""
    by_planting: dict[Planting, Metric]
    """The accuracy on each corruption that was planted."""
    ties: Tally
    """Ties among the corrupted pairs with a verdict."""
    abstained: Tally
    """Planted pairs of all kinds without a verdict."""
    position_lean: Metric | None
    """Share of judgements that prefer the first answer shown, minus 0.5: first the mean over the orders of a pair,
    then over pairs. From corrupted pairs and labels against themselves; null where order cannot matter."""
    flip_rate: Metric | None
    """Share of corrupted pairs, judged in both orders, whose orders name different winners; null where order cannot
    matter."""
    length_lean: Metric
    """Mean probability that the longer of two equally good answers is preferred, minus 0.5."""
    self_consistency: Metric
    """Share of pairs with the same verdict when asked again; pairs with an abstention are left out."""
    labelled: LabelledReport | None = None
    """The report on labelled pairs, where some were given."""

    def words(self) -> list[str]:
        """Return lines for a terminal."""
        lines = [
            f"{plural(self.pairs, 'planted pair')}, annotator {_known_as(self.annotator)}",
            *_aligned(
                ("accuracy", _share(self.accuracy)),
                *((f"  {name}", _share(metric)) for name, metric in self.by_planting.items()),
                ("ties", _share(self.ties)),
                ("abstained", _share(self.abstained)),
                *_order_lines(self.position_lean, self.flip_rate),
                ("length lean", _lean(self.length_lean)),
                ("self-consistency", _share(self.self_consistency)),
            ),
        ]
        return lines if self.labelled is None else [*lines, "", *self.labelled.words()]


def _known_as(fingerprint: str) -> str:
    """Write who judged; of a hash the first 8 digits tell enough."""
    return fingerprint[:8] if len(fingerprint) == 64 else terminal(fingerprint)


def _aligned(*lines: tuple[str, str]) -> list[str]:
    width = max(len(name) for name, _ in lines)
    return [f"{name:<{width}}  {text}" for name, text in lines]


def _order_lines(position_lean: Metric | None, flip_rate: Metric | None) -> list[tuple[str, str]]:
    if position_lean is None or flip_rate is None:
        return [("position lean", "none: the order of the answers cannot matter")]
    return [("position lean", _lean(position_lean)), ("flip rate", _share(flip_rate))]


def _share(metric: Metric) -> str:
    return _words(metric, percent, percent_range)


def _lean(metric: Metric) -> str:
    return _words(
        metric,
        lambda value: f"{signed_points(value)} points",
        lambda ci95: f"{signed_points(ci95[0])} to {signed_points(ci95[1])}",
    )


def _words(metric: Metric, one: Callable[[float], str], both: Callable[[tuple[float, float]], str]) -> str:
    if metric.value is None:
        return "nothing to measure it on"
    bounds = "" if metric.ci95 is None else f"95 % interval {both(metric.ci95)}, "
    return f"{one(metric.value)} ({bounds}n {metric.n:,})"
