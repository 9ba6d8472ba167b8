"""What the report and the terminal say about a route: who decided the pairs, and how often the first one was wrong."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.ledger.notes import share
from burnish.ledger.summary import RoundSummary, Summary
from burnish.report.tables import Cell, Table
from burnish.report.text import percent, percent_range, plural
from burnish.results import Metric


def routing_words(round_: RoundSummary) -> Iterator[str]:
    """Yield lines that say who decided the pairs of a round. There are none if its annotator is no route."""
    routing = round_.routing
    if routing is None:
        return
    counts = [f"{count:,} {who}" for who, count in routing.decided.items()]
    yield f"  who decided: {', '.join(counts) or 'nothing was compared'}"
    if routing.wrong_when_sure is None:
        yield "  the control has no pair on which both annotators name a winner, so nothing is known of the first one"
        return
    yield (
        f"  where the first annotator was sure, the second one preferred the other answer in "
        f"{share(routing.wrong_when_sure)} of {plural(routing.wrong_when_sure.n, 'control pair')}"
    )


def routing_table(summary: Summary) -> Table | None:
    """Return who decided the pairs of each round, or None if the annotator is no route."""
    rounds = [(one.round, one.routing) for one in summary.rounds if one.routing is not None]
    if not rounds:
        return None
    deciders = sorted({who for _, routing in rounds for who in routing.decided})
    header = ("round", *deciders, "wrong when sure", "wrong on all pairs", "undecided")
    rows = tuple(
        (
            Cell(str(number)),
            *(Cell(f"{routing.decided.get(who, 0):,}") for who in deciders),
            _cell(routing.wrong_when_sure),
            _cell(routing.wrong),
            Cell(f"{routing.undecided:,}"),
        )
        for number, routing in rounds
    )
    return Table(title="Who decided", header=header, rows=rows)


def _cell(metric: Metric | None) -> Cell:
    """Return a share with its interval and the number of pairs."""
    if metric is None or metric.value is None:
        return Cell("")
    bounds = f"{percent_range(metric.ci95)}, " if metric.ci95 else ""
    return Cell(percent(metric.value), f"{bounds}n = {metric.n:,}")
