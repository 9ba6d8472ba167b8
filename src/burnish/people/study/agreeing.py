"""How much the people of a study agree, by the same computation as `burnish agreement`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from burnish.algorithms.agreement import Agreement, PairAgreement, agreement, cohen
from burnish.algorithms.label_table import GivenLabel, label_table
from burnish.algorithms.per_worker import WorkerSummary, by_worker
from burnish.config.study import StudyKind
from burnish.errors import DataError
from burnish.people.agreement_words import agreement_words
from burnish.people.study import reading
from burnish.people.study.checking import known_results
from burnish.people.study.export import choice_of, counting
from burnish.people.study.model import ItemRole
from burnish.people.study.written import StudyWriting, study_writing

ORDER = ("A", "tie", "B")
"""The choices on a pair from one end of the scale to the other, for the ordinal alpha."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyAgreement:
    """The agreement of all people, of each two of them, and of each of them with the others."""

    all: Agreement
    pairs: tuple[PairAgreement, ...]
    people: tuple[WorkerSummary, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the object of `burnish agreement --json`, and `people` with what is known of each person."""
        return {**self.all.as_json(), "people": [one.as_json() for one in self.people]}

    def lines(self) -> list[str]:
        """Return the lines that `burnish study agreement` prints."""
        return list(agreement_words(self.all, self.pairs, self.people))


def measured(db: sqlite3.Connection) -> StudyAgreement | StudyWriting:
    """Return how much people agree, or for a study of demonstrations, how they wrote.

    Raises DataError and ConfigError as `study_agreement` and `study_writing` do.
    """
    if reading.rules_of(db).kind is StudyKind.DEMONSTRATIONS:
        return study_writing(db)
    return study_agreement(db)


def study_agreement(db: sqlite3.Connection) -> StudyAgreement:
    """Compute how much the people of a study of comparisons agree. Only answers that count are used.

    Raises DataError if fewer than two people have answered, and ConfigError if the package krippendorff is not
    installed.
    """
    given = list(_given(db))
    if len({one.worker for one in given}) < 2:
        raise DataError("agreement needs comparisons of two people or more; wait for more answers")
    table = label_table(given, ORDER)
    known = list(known_results(db))
    checks = ((one.by, one.right) for one in known if one.role is not ItemRole.GOLD)
    gold = ((one.by, one.right) for one in known if one.role is ItemRole.GOLD)
    return StudyAgreement(all=agreement(table), pairs=tuple(cohen(table)), people=tuple(by_worker(given, checks, gold)))


def _given(db: sqlite3.Connection) -> Iterator[GivenLabel]:
    """Yield the choices that count, with the time they took and the side they were on."""
    for one in counting(db):
        if one.value is None or one.shown is None:
            continue
        yield GivenLabel(
            item=one.item,
            worker=one.by,
            label=choice_of(one.value, one.shown),
            seconds=one.seconds,
            # A negative value means the answer that was shown first.
            chose_first=one.value < 0 if one.value else None,
        )
