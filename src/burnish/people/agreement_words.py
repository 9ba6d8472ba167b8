"""What `burnish agreement` and `burnish study agreement` print for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from burnish.algorithms.agreement import NO_ORDER, Agreement, Coefficient, PairAgreement
from burnish.algorithms.per_worker import WorkerSummary
from burnish.report.text import MINUS, percent, percent_range, plural, terminal

_SHOWN = 10
"""How many labels are listed, and how many workers of whom nothing but their labels is known."""
NONE = "–"
"""What stands in a table where nothing is known."""
_HINT = " (--ordinal gives one)"


def agreement_words(
    found: Agreement, pairs: Sequence[PairAgreement], workers: Sequence[WorkerSummary]
) -> Iterator[str]:
    """Yield the lines: the counts, each figure with its interval, the pairs of workers, and each worker."""
    yield (
        f"{plural(found.labels, 'label')} by {plural(found.workers, 'worker')} on {plural(found.items, 'item')}; "
        f"{found.compared:,} of them have two labels or more"
    )
    yield _categories(found)
    for name, figure in (
        ("Krippendorff's alpha, nominal", found.krippendorff_nominal),
        ("Krippendorff's alpha, ordinal", found.krippendorff_ordinal),
        ("Fleiss' kappa", found.fleiss_kappa),
        ("Gwet's AC1", found.gwet_ac1),
    ):
        yield f"{name:30} {coefficient_words(figure)}"
    yield f"{'unanimous items':30} {'undefined' if found.unanimous is None else percent(found.unanimous)}"
    yield from _pairs(pairs)
    yield from _workers(workers)


def coefficient_words(figure: Coefficient) -> str:
    """Return a figure with its interval, or why it is undefined."""
    if figure.value is None:
        return f"undefined: {figure.why}{_HINT if figure.why == NO_ORDER else ''}"
    if figure.ci95 is None:
        return _number(figure.value) + (f" ({figure.why})" if figure.why else "")
    low, high = figure.ci95
    return f"{_number(figure.value)} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", MINUS)


def _categories(found: Agreement) -> str:
    ranked = sorted(found.categories.items(), key=lambda one: -one[1])
    shares = [f"{terminal(label)} {percent(count / found.labels)}" for label, count in ranked[:_SHOWN]]
    more = f", and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    return f"labels: {', '.join(shares)}{more}"


def _pairs(pairs: Sequence[PairAgreement]) -> Iterator[str]:
    """Yield a line on the pairs of workers whose kappa is defined."""
    known = [(pair.kappa.value, pair) for pair in pairs if pair.kappa.value is not None]
    if not known:
        return
    values = [value for value, _ in known]
    lowest, pair = min(known, key=lambda one: one[0])
    who = f"{terminal(pair.worker)} and {terminal(pair.other)}, {plural(pair.items, 'item')}"
    middle = f"median {_number(statistics.median(values))}, lowest {_number(lowest)} ({who})"
    yield f"Cohen's kappa of {plural(len(known), 'pair')} of workers: {middle}"


def _workers(workers: Sequence[WorkerSummary]) -> Iterator[str]:
    """Yield a line for each worker, those with whom others agree least first."""
    if any(one.median_seconds is not None or one.chose_first is not None or one.checked for one in workers):
        yield from _table(workers)
        return
    ranked = sorted((one for one in workers if one.agrees is not None), key=_by_agreement)
    if ranked:
        yield "how often the other labels of an item are the same as this worker's, lowest first:"
    for one in ranked[:_SHOWN]:
        yield f"  {terminal(one.worker):20} {_others(one)}"
    if len(ranked) > _SHOWN:
        yield f"  and {plural(len(ranked) - _SHOWN, 'more worker')}"


def _table(workers: Sequence[WorkerSummary]) -> Iterator[str]:
    """Yield a table of all workers with everything that is known of them."""
    yield "each worker, those with whom others agree least first"
    yield "(others agree: how often the other labels of an item are the same as this worker's;"
    yield "first side: how often the answer that was shown first was preferred, without ties):"
    # Most studies have no gold items, and then a column of dashes would only make the table wider.
    with_gold = any(one.gold_checked for one in workers)
    gold = ("gold right",) if with_gold else ()
    rows = [("worker", "labels", "others agree", "median seconds", "checks right", *gold, "first side")]
    rows += [_cells(one, with_gold) for one in sorted(workers, key=_by_agreement)]
    yield from in_columns(rows)


def in_columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield a line for each row of a table, with columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(one: WorkerSummary, with_gold: bool) -> tuple[str, ...]:
    gold = (right_words(one.gold_passed, one.gold_checked),) if with_gold else ()
    return (
        terminal(one.worker),
        f"{one.labels:,}",
        _others(one),
        NONE if one.median_seconds is None else f"{one.median_seconds:.1f}",
        right_words(one.passed, one.checked),
        *gold,
        _side(one),
    )


def right_words(passed: int, checked: int) -> str:
    """Write how many checks were right."""
    return f"{passed} of {checked}" if checked else NONE


def _others(one: WorkerSummary) -> str:
    return NONE if one.agrees is None else f"{percent(one.agrees)} of {one.pairs:,}"


def _side(one: WorkerSummary) -> str:
    if one.chose_first is None:
        return NONE
    bounds = one.chose_first.ci95
    interval = "" if bounds is None else f" ({percent_range(bounds)})"
    lean = ", leans to a side" if one.leans else ""
    return f"{percent(one.chose_first.value)}{interval} of {one.chose_first.n:,}{lean}"


def _by_agreement(one: WorkerSummary) -> tuple[bool, float, str]:
    return one.agrees is None, one.agrees or 0.0, one.worker
