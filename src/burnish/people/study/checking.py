"""How people did in the questions whose right answer is known: screening pairs, checks and gold pairs."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from burnish.people.study import reading
from burnish.people.study.answering import winner
from burnish.people.study.intake import found_words
from burnish.people.study.model import AnswerRow, ItemRole


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownResult:
    """Whether an answer was right whose right answer is known."""

    by: str
    item: str
    role: ItemRole
    right: bool


def known_results(db: sqlite3.Connection) -> Iterator[KnownResult]:
    """Yield the results of screening pairs, in all tries, of checks and of gold pairs, also of those that are void."""
    for one in reading.answers(db):
        right = is_right(one)
        if right is not None:
            yield KnownResult(by=one.by, item=one.item, role=one.role, right=right)


def is_right(one: AnswerRow) -> bool | None:
    """Say whether an answer is right, or None if the right answer is not known.

    A pair is right if the expected side was preferred. A check counts as right if the answer has one of the expected
    words. This helps the person who judges the check, and decides nothing.
    """
    match one.role:
        case ItemRole.SCREENING | ItemRole.GOLD:
            assert one.value is not None, one
            assert one.shown is not None, one
            return winner(one.value, one.shown) == one.expected
        case ItemRole.CHECK:
            words = found_words(one.expected, one.text)
            return any(words.values()) if words else None
        case ItemRole.WORK:
            return None


@dataclass(frozen=True, slots=True)
class RightCount:
    """How many answers with a known right answer were right, of how many."""

    right: int
    judged: int

    def __str__(self) -> str:
        """Write it as "2 of 3"."""
        return f"{self.right} of {self.judged}"


class KnownCounts:
    """The results of all people: of the checks, which are also the screening pairs, and of the gold pairs."""

    def __init__(self, results: Iterable[KnownResult]) -> None:
        self._results = tuple(results)

    def checks(self) -> dict[str, RightCount]:
        """Return {person: how many screening pairs or checks were right}."""
        return self._counted(lambda one: one.role is not ItemRole.GOLD, lambda one: one.by)

    def each_check(self) -> dict[str, RightCount]:
        """Return {screening pair or check: how many answers were right}."""
        return self._counted(lambda one: one.role is not ItemRole.GOLD, lambda one: one.item)

    def gold(self) -> dict[str, RightCount]:
        """Return {person: how many gold pairs were right}."""
        return self._counted(lambda one: one.role is ItemRole.GOLD, lambda one: one.by)

    def gold_pairs(self) -> dict[str, RightCount]:
        """Return {gold pair: how many people were right}."""
        return self._counted(lambda one: one.role is ItemRole.GOLD, lambda one: one.item)

    def _counted(
        self, counts: Callable[[KnownResult], bool], key: Callable[[KnownResult], str]
    ) -> dict[str, RightCount]:
        found: defaultdict[str, list[bool]] = defaultdict(list)
        for one in self._results:
            if counts(one):
                found[key(one)].append(one.right)
        # check-2 before check-10
        ranked = sorted(found.items(), key=lambda one: (len(one[0]), one[0]))
        return {name: RightCount(right=sum(results), judged=len(results)) for name, results in ranked}


def known_counts(db: sqlite3.Connection) -> KnownCounts:
    """Return how all people did in the questions whose right answer is known."""
    return KnownCounts(known_results(db))


def total(counts: Iterable[RightCount]) -> RightCount | None:
    """Return the sum of several counts, or None if there are none."""
    found = list(counts)
    return RightCount(sum(one.right for one in found), sum(one.judged for one in found)) if found else None
