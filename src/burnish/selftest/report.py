"""The results of a self-test, as models to store and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from burnish.algorithms.calibration import LEAST
from burnish.report.reliability import reliability_lines
from burnish.report.text import percent, percent_range, plural, signed_points, terminal
from burnish.results import Metric, Natural, Record, Reliability
from burnish.selftest.planted import Planting


# A share of ties says little without its count, because 0 % of 3 pairs is not the same as 0 % of 300.
class Tally(Metric):
    """A share together with its count."""

    count: Natural
    """How many of the n items."""


class LabelledReport(Record):
    """How an annotator judges pairs whose better side is known."""

    annotator: str
    """Fingerprint of the annotator."""
    pairs: Natural
    """How many pairs it was shown."""
    accuracy: Metric
    """Share of right verdicts among the verdicts A and B, with Wilson's interval. Ties and abstentions are counted
    separately."""
    by_subset: dict[str, Metric]
    """The accuracy on each subset that the file names."""
    ties: Tally
    """Ties among the pairs with a verdict."""
    abstained: Tally
    """Pairs without a verdict."""
    position_lean: Metric | None
    """As in SelftestReport."""
    flip_rate: Metric | None
    """As in SelftestReport, but over all pairs."""

    def words(self) -> list[str]:
        """Return the report as lines for a terminal."""
        return [
            f"{plural(self.pairs, 'labelled pair')}, annotator {_known_as(self.annotator)}",
            *_aligned(
                ("accuracy", _share(self.accuracy)),
                # Names of subsets come from the user's file, so escape codes are removed.
                *((f"  {terminal(name)}", _share(metric)) for name, metric in self.by_subset.items()),
                ("ties", _share(self.ties)),
                ("abstained", _share(self.abstained)),
                *_order_lines(self.position_lean, self.flip_rate),
            ),
        ]


class Calibration(Record):
    """What the corrupted pairs say of the annotator's confidence. Pairs with a verdict for one side count."""

    temperature: float | None
    """The temperature T that makes P = sigmoid(logit / T) fit best, from 0.0001 to 100000. Above 1 the annotator is too
    sure, below 1 not sure enough. It is null for fewer than 10 pairs."""
    given: Reliability
    """How often the annotator was right, by the P that it gave."""
    scaled: Reliability | None
    """The same by P after temperature scaling, each pair with a temperature that was fitted on other pairs. It is null
    without a temperature."""

    def words(self) -> list[tuple[str, str]]:
        """Return name and text of each line for a terminal."""
        error = _error(self.given)
        if self.temperature is None:
            fitted = f"none: {plural(self.given.n, 'corrupted pair')} with a winner, {LEAST} are needed"
        else:
            fitted = f"{self.temperature:.3g}"
            error += "" if self.scaled is None else f", {_error(self.scaled)} after temperature scaling"
        return [("temperature", fitted), ("calibration", f"off by {error}" if self.given.n else error)]


class SelftestReport(Record):
    """How an annotator judges planted pairs."""

    annotator: str
    """Fingerprint of the annotator."""
    pairs: Natural
    """How many planted pairs it was shown."""
    accuracy: Metric
    """Mean over the pairs of a label and a corrupted copy: 1 if the label is preferred, 0.5 for a tie, 0 if the copy is
    preferred. Abstentions are left out. The interval is Wilson's. If the sum has half a point, the bounds are those of
    the whole counts below and above."""
    by_planting: dict[Planting, Metric]
    """The accuracy on each kind of corruption that was planted."""
    ties: Tally
    """Ties among the corrupted pairs with a verdict."""
    abstained: Tally
    """Planted pairs of all kinds without a verdict."""
    position_lean: Metric | None
    """Share of judgements that prefer the answer shown first, minus 0.5. The mean is taken over the two orders of a
    pair and then over pairs. It uses corrupted pairs and labels against themselves. It is null if the order cannot
    matter to the annotator."""
    flip_rate: Metric | None
    """Share of the corrupted pairs, judged in both orders, whose two orders name different winners. It is null if the
    order cannot matter to the annotator."""
    length_lean: Metric
    """Mean probability that the longer of two equally good answers is preferred, minus 0.5."""
    self_consistency: Metric
    """Share of pairs with the same verdict when they are asked again. Pairs with an abstention are left out."""
    labelled: LabelledReport | None = None
    """The report on labelled pairs, if there were some."""
    calibration: Calibration | None = None
    """What the corrupted pairs say of the annotator's confidence. It is null in folders of earlier versions."""

    def words(self) -> list[str]:
        """Return the report as lines for a terminal."""
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
                *(() if self.calibration is None else self.calibration.words()),
            ),
        ]
        if self.calibration is not None and self.calibration.given.n:
            lines += ["", *reliability_lines(self.calibration.given)]
        return lines if self.labelled is None else [*lines, "", *self.labelled.words()]


def _error(reliability: Reliability) -> str:
    """Return the expected calibration error in percentage points."""
    return "not measured" if reliability.error is None else f"{100 * reliability.error:.1f} points"


def _known_as(fingerprint: str) -> str:
    """Return the name of the annotator. If it is a fingerprint (64 hex digits), the first 8 digits are enough."""
    # A fingerprint of 64 digits is a SHA-256 in hex. Other annotators have a name that people gave them.
    return fingerprint[:8] if len(fingerprint) == 64 else terminal(fingerprint)


def _aligned(*lines: tuple[str, str]) -> list[str]:
    """Return lines whose second parts begin in the same column."""
    # Columns are aligned with spaces, because the lines go to a terminal with a fixed-width font.
    width = max(len(name) for name, _ in lines)
    return [f"{name:<{width}}  {text}" for name, text in lines]


def _order_lines(position_lean: Metric | None, flip_rate: Metric | None) -> list[tuple[str, str]]:
    """Return the lines about the order of the answers."""
    # None is not 0. It means that nothing was measured, because the order cannot matter to the annotator.
    if position_lean is None or flip_rate is None:
        return [("position lean", "none: the order of the answers cannot matter")]
    return [("position lean", _lean(position_lean)), ("flip rate", _share(flip_rate))]


def _share(metric: Metric) -> str:
    """Return a share with its interval and count."""
    return _words(metric, percent, percent_range)


def _lean(metric: Metric) -> str:
    """Return a lean in percentage points with its interval and count."""
    return _words(
        metric,
        lambda value: f"{signed_points(value)} points",
        lambda ci95: f"{signed_points(ci95[0])} to {signed_points(ci95[1])}",
    )


def _words(
    metric: Metric, value_words: Callable[[float], str], interval_words: Callable[[tuple[float, float]], str]
) -> str:
    """Return a metric as text. The two functions write a value and an interval."""
    if metric.value is None:
        return "not measured"
    bounds = "" if metric.ci95 is None else f"95 % interval {interval_words(metric.ci95)}, "
    return f"{value_words(metric.value)} ({bounds}n {metric.n:,})"
