"""What is known of each worker: how fast, which side they prefer, how often others agree, how they did in checks.

None of these figures proves that somebody was careless. They say where it is worth to look.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from burnish.algorithms.label_table import GivenLabel
from burnish.stats import Interval, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSummary:
    """What is known of one worker.

    `agrees` is the share of the labels of other workers, on the same items, that are the same as this worker's, or None
    if nobody else labelled these items. `pairs` is the number of those labels. `median_seconds` is None if no time is
    known. `chose_first` is the share of the comparisons without a tie in which the worker preferred the answer that was
    shown first, with its Wilson interval, or None if there are none. `passed` of `checked` answers to check questions,
    and `gold_passed` of `gold_checked` answers to gold items were right: their right label is known. They are no part
    of `labels`.
    """

    worker: str
    labels: int
    agrees: float | None
    pairs: int
    median_seconds: float | None
    chose_first: Interval | None
    passed: int
    checked: int
    gold_passed: int
    gold_checked: int

    @property
    def leans(self) -> bool:
        """Whether the interval of `chose_first` leaves out one half, so that the worker seems to prefer a side."""
        bounds = None if self.chose_first is None else self.chose_first.ci95
        return bounds is not None and not bounds[0] <= 0.5 <= bounds[1]

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object. `chose_first` is {value, n, ci95} or null."""
        side = self.chose_first
        return {
            **dataclasses.asdict(self),
            "chose_first": None if side is None else {"value": side.value, "n": side.n, "ci95": side.ci95},
        }


def by_worker(
    given: Iterable[GivenLabel], checks: Iterable[tuple[str, bool]] = (), gold: Iterable[tuple[str, bool]] = ()
) -> list[WorkerSummary]:
    """Return what is known of each worker who gave a label, sorted by name. A worker must not label an item twice.

    `checks` has (worker, whether the answer was right) for each answer to a check question, and `gold` for each answer
    to a gold item, which is a check that looks like work.
    """
    rows = list(given)
    of_checks, of_gold = _by_name(checks), _by_name(gold)
    on_item: defaultdict[str, Counter[str]] = defaultdict(Counter)
    of_worker: defaultdict[str, list[GivenLabel]] = defaultdict(list)
    for one in rows:
        on_item[one.item][one.label] += 1
        of_worker[one.worker].append(one)
    return [
        _summary(worker, own, on_item, of_checks[worker], of_gold[worker]) for worker, own in sorted(of_worker.items())
    ]


def _by_name(results: Iterable[tuple[str, bool]]) -> defaultdict[str, list[bool]]:
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for worker, passed in results:
        found[worker].append(passed)
    return found


def _summary(
    worker: str, own: list[GivenLabel], on_item: dict[str, Counter[str]], checks: list[bool], gold: list[bool]
) -> WorkerSummary:
    # The worker's own label is among those on the item, so one is taken off.
    same = sum(on_item[one.item][one.label] - 1 for one in own)
    pairs = sum(on_item[one.item].total() - 1 for one in own)
    seconds = [one.seconds for one in own if one.seconds is not None]
    sides = [one.chose_first for one in own if one.chose_first is not None]
    return WorkerSummary(
        worker=worker,
        labels=len(own),
        agrees=same / pairs if pairs else None,
        pairs=pairs,
        median_seconds=statistics.median(seconds) if seconds else None,
        chose_first=wilson(sum(sides), len(sides)) if sides else None,
        passed=sum(checks),
        checked=len(checks),
        gold_passed=sum(gold),
        gold_checked=len(gold),
    )
