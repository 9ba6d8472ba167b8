"""The report's tables as plain cells, and their output for the terminal, for Markdown and (by the template) HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from burnish.report.series import Method, Point, by_wins, curve, effects_of, methods
from burnish.report.text import NONE, duration, percent, percent_range, signed_points, terminal
from burnish.results import Confidence, Results, StageTiming, Timings
from burnish.types import Effect, Reason

if TYPE_CHECKING:
    from rich.table import Table as RichTable

# The short names of columns keep the table narrow enough for a terminal.
SHARES = {
    "test_accuracy": "test accuracy",
    "label_accuracy": "label accuracy",
    "annotator_accuracy": "annotator accuracy",
    "accepted_accuracy": "of what it accepted",
    "wrong_when_sure": "first annotator wrong when sure",
    "wrong": "first annotator wrong",
    "replaced": "labels replaced",
    "removed": "rows left out",
    "win_rate": "win rate against SFT",
    "reference_win_rate": "win rate against references",
    "reference_lc_win_rate": "the same at equal length",
    "reference_win_rate_general": "win rate, general",
    "reference_lc_win_rate_general": "at equal length, general",
    "reference_win_rate_safety": "win rate, safety",
    "reference_lc_win_rate_safety": "at equal length, safety",
    "executed": "queries that run",
    "refusal_rate": "unsafe prompts refused",
    "over_refusal_rate": "safe prompts refused",
}
"""The metrics that are shares of 1, in the order of their columns, with their names for people."""

OF_INSTRUCTIONS = {
    "test_accuracy": "refuses exactly where it should",
    "label_accuracy": "labels that do so",
    "annotator_accuracy": "annotator prefers such answers",
}
"""What the accuracies are called where answers are not simply right or wrong."""

REASONS = {
    Reason.AGREED: "same answer",
    Reason.INVALID: "no valid answer",
    Reason.NOT_COMPARED: "not compared",
    Reason.REJECTED: "rejected",
    Reason.TIE: "tie",
    Reason.ORDERS_DISAGREE: "orders disagree",
    Reason.ABSTAINED: "abstained",
    Reason.BELOW_GATE: "not sure enough",
    Reason.DISTRUSTED: "distrusted",
    Reason.OVER_CAP: "over the cap",
    Reason.STOPPED: "stopped",
    Reason.OVER_RISK: "over the risk",
    Reason.ACCEPTED: "accepted",
    Reason.REVERTED: "reverted",
    Reason.REMOVED: "removed",
}
"""What each reason is called in tables."""


EFFECTS = {
    Effect.WRONG_TO_RIGHT: "wrong to right",
    Effect.RIGHT_TO_WRONG: "right to wrong",
    Effect.WRONG_TO_WRONG: "wrong to another wrong one",
    Effect.RIGHT_TO_RIGHT: "right to another right one",
}
"""What each effect of a change is called in tables and figures."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a cell, and a detail such as an interval, which is shown in smaller type."""

    text: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.detail})" if self.detail else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table. The first `names` columns hold words, and the other columns hold numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    names: int = 1


def summary_table(results: Results) -> Table:
    """Return a row for each method and round: the mean of each metric over seeds, with its 95 % interval."""
    metrics = _metrics(results)
    curves = {
        (method.name, metric): {point.round: point for point in curve(results, method.name, metric)}
        for method in methods(results)
        for metric in metrics
    }
    rows = [
        (Cell(method.label), Cell(str(number)), *(_measured(curves[method.name, m].get(number), m) for m in metrics))
        for method in methods(results)
        for number in _rounds(results, method)
    ]
    header = ("method", "round", *(metric_name(metric, results) for metric in metrics))
    return Table(title="Results", header=header, rows=tuple(rows))


def _metrics(results: Results) -> list[str]:
    """Return the metrics of the results: the known ones in their order, then the others by name."""
    names = {name for run in results.runs for name in run.metrics}
    # A metric that a task from outside adds comes last and under its own name.
    return [name for name in SHARES if name in names] + sorted(names - set(SHARES))


def metric_name(metric: str, results: Results | None = None) -> str:
    """Return a metric's name for people.

    Where only a judge knows what is good, right and wrong mean less, so accuracies have other names.
    """
    if results is not None and by_wins(results) and metric in OF_INSTRUCTIONS:
        return OF_INSTRUCTIONS[metric]
    return SHARES.get(metric, metric.replace("_", " "))


def _rounds(results: Results, method: Method) -> list[int]:
    """Return the rounds of a method, rising."""
    return sorted({run.round for run in results.runs if run.method == method.name})


def _measured(point: Point | None, metric: str) -> Cell:
    """Return a cell with a value and its interval."""
    if point is None:
        return Cell(NONE)
    # An interval without width only says that all seeds agree, as when the cap is always full. It is not shown.
    interval = point.ci95 if point.ci95 is not None and point.ci95[0] < point.ci95[1] else None
    if metric in SHARES:
        # A t-interval of few seeds can be wider than all that a share can be.
        possible = interval and (max(interval[0], 0.0), min(interval[1], 1.0))
        return Cell(percent(point.value), percent_range(possible) if possible else "")
    return Cell(f"{point.value:.3g}", "" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}")


def paired_table(results: Results) -> Table:
    """Return the differences between methods, paired by seed and prompt."""
    labels = {method.name: method.label for method in methods(results)}
    rows: list[tuple[Cell, ...]] = []
    for row in results.paired:
        share = row.metric in SHARES
        # Shares differ in percentage points. Other metrics, such as KL, keep their own unit.
        write = signed_points if share else "{:+.3g}".format
        interval = "" if row.ci95 is None else f"{write(row.ci95[0])} to {write(row.ci95[1])}"
        # Without an interval nothing is known about the noise, so the difference counts as not clear.
        unclear = row.ci95 is None or row.ci95[0] <= 0 <= row.ci95[1]
        reading = "not clear" if unclear else "higher" if row.difference > 0 else "lower"
        rows.append(
            (
                Cell(f"{labels.get(row.a, row.a)}, round {row.a_round}"),
                Cell(f"{labels.get(row.b, row.b)}, round {row.b_round}"),
                Cell(metric_name(row.metric, results)),
                Cell(reading),
                Cell(write(row.difference) + (" points" if share else ""), interval),
                Cell(f"{row.seeds:,}"),
                Cell(f"{row.prompts:,}"),
            )
        )
    header = ("method", "against", "metric", "reading", "difference", "seeds", "prompts")
    return Table(title="Differences", header=header, rows=tuple(rows), names=4)


def reasons_table(results: Results) -> Table:
    """Return how often each reason occurred, for each method and round.

    Counts are summed over seeds, and each has its share of the rows.
    """
    sums: dict[tuple[str, int], Counter[Reason]] = {}
    for run in results.runs:
        for reason in Reason:
            if reason in run.counts:
                sums.setdefault((run.method, run.round), Counter())[reason] += run.counts[reason]
    # Leave out reasons that never occurred, so that the table fits on a page.
    present = [reason for reason in REASONS if any(counts[reason] for counts in sums.values())]
    labels = {method.name: method.label for method in methods(results)}
    rows = [
        (Cell(labels[name]), Cell(str(number)), *(_share(counts[r], counts.total()) for r in present))
        for name in labels
        for (owner, number), counts in sorted(sums.items())
        if owner == name
    ]
    return Table(title="Reasons", header=("method", "round", *(REASONS[r] for r in present)), rows=tuple(rows))


def effects_table(results: Results) -> Table | None:
    """Return what the changes of labels did, for each method and round, summed over seeds. None if none is known.

    Each count has its share of the changes of that round.
    """
    rows = [
        (Cell(method.label), Cell(str(number)), *effect_cells(counts))
        for method in methods(results)
        for number, counts in effects_of(results, method).items()
    ]
    return Table(title="Changes", header=("method", "round", *EFFECTS.values()), rows=tuple(rows)) if rows else None


def effect_cells(counts: Mapping[Effect, int]) -> tuple[Cell, ...]:
    """Return a cell for each effect of changes, with its share."""
    return tuple(_share(counts[effect], sum(counts.values())) for effect in EFFECTS)


def _share(count: int, total: int) -> Cell:
    """Return a cell with a count and its share."""
    return Cell(f"{count:,}", percent(count / total)) if count else Cell(NONE)


def confidence_table(results: Results, confidence: Sequence[Confidence]) -> Table | None:
    """Return how sure the annotator was, for each method and round, summed over seeds. Returns None if no line says."""
    sums: dict[tuple[str, int], list[Confidence]] = {}
    for line in confidence:
        sums.setdefault((line.method, line.round), []).append(line)
    labels = {method.name: method.label for method in methods(results)}
    rows = [
        (
            Cell(labels[name]),
            Cell(str(number)),
            *confidence_cells(_summed(line.judged for line in lines), _summed(line.accepted for line in lines)),
        )
        for name in labels
        for (owner, number), lines in sorted(sums.items())
        if owner == name
    ]
    if not rows:
        return None
    header = ("method", "round", *confidence_header(len(rows[0]) - 2))
    return Table(title="Confidence", header=header, rows=tuple(rows))


def _summed(counts: Iterable[Sequence[int]]) -> list[int]:
    """Add the counts of each bin."""
    return [sum(of_bin) for of_bin in zip(*counts, strict=True)]


def confidence_header(bins: int) -> tuple[str, ...]:
    """Return the names of the bins' columns. Confidence goes from 0 to 0.5, in bins of equal width."""
    return tuple(f"from {place * 0.5 / bins:.2f}" for place in range(bins))


def confidence_cells(judged: Sequence[int], accepted: Sequence[int]) -> tuple[Cell, ...]:
    """Return a cell for each bin: the comparisons that were judged, and those of them that were accepted."""
    return tuple(
        Cell(f"{count:,}", f"{kept:,} accepted" if kept else "") for count, kept in zip(judged, accepted, strict=True)
    )


def costs_table(timings: Timings) -> Table:
    """Return what each kind of stage cost in this run. Reused stages are counted, but cost nothing."""
    kinds: dict[str, list[StageTiming]] = {}
    for stage in timings.stages:
        kinds.setdefault(stage.name, []).append(stage)
    rows = [_cost(name, stages) for name, stages in kinds.items()]
    # A total of one row would only repeat it.
    if len(rows) > 1:
        rows.append(_cost("all", timings.stages))
    header = ("kind of stage", "run", "reused", "time", "rows", "tokens", "comparisons")
    return Table(title="Costs", header=header, rows=tuple(rows))


def _cost(name: str, stages: Iterable[StageTiming]) -> tuple[Cell, ...]:
    """Return the row of one kind of stage."""
    every = list(stages)
    # Only the stages that ran in this run have costs here.
    fresh = [stage for stage in every if not stage.reused]
    seconds = sum(stage.seconds for stage in fresh)
    sums = (sum(s.rows for s in fresh), sum(s.tokens for s in fresh), sum(s.comparisons for s in fresh))
    counts = (len(fresh), len(every) - len(fresh))
    return (
        Cell(name),
        *(Cell(f"{count:,}" if count else NONE) for count in counts),
        Cell(duration(seconds) if fresh else NONE),
        *(Cell(f"{total:,}" if total else NONE) for total in sums),
    )


def stages_table(timings: Timings) -> Table:
    """Return every stage in the order in which they ran."""
    rows = [
        (
            Cell(stage.name),
            Cell(stage.label),
            Cell(stage.fingerprint[:12]),
            Cell("reused" if stage.reused else duration(stage.seconds)),
            Cell(f"{stage.rows:,}"),
            Cell(f"{stage.tokens:,}" if stage.tokens else NONE),
        )
        for stage in timings.stages
    ]
    header = ("kind", "stage", "fingerprint", "time", "rows", "tokens")
    return Table(title="Stages", header=header, rows=tuple(rows), names=3)


def rich_table(table: Table) -> RichTable:
    """Return the table for a terminal. Markup and escape codes in its texts have no effect."""
    from rich.table import Table as RichTable  # noqa: PLC0415  only a terminal needs it
    from rich.text import Text  # noqa: PLC0415

    # No lines around cells, so that the table can be copied from the terminal as plain text.
    rich = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, name in enumerate(table.header):
        words = place < table.names
        # Text and not str: rich would read "[bold]" in a str as markup.
        # Numbers are aligned at the right, where their digits can be compared. fold shows a long text whole, on several
        # lines.
        rich.add_column(Text(terminal(name)), justify="left" if words else "right", overflow="fold")
    for row in table.rows:
        rich.add_row(*(Text(terminal(str(cell))) for cell in row))
    return rich


def markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, with its texts escaped."""
    aligned = ["---" if place < table.names else "--:" for place in range(len(table.header))]
    lines = [[_escaped(name) for name in table.header], aligned]
    lines += [[_escaped(str(cell)) for cell in row] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    """Escape the characters that Markdown would read as markup."""
    # Strangers' names may hold pipes and backticks, which would break the table.
    return "".join(f"\\{char}" if char in "\\`*_[]<>|" else char for char in terminal(text))
