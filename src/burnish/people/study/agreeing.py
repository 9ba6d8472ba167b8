"""How much the people of a study agree, by the same computation as `burnish agreement`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from burnish.algorithms.agreement import Agreement, PairAgreement, agreement, cohen
from burnish.algorithms.label_table import GivenLabel, label_table
from burnish.algorithms.per_worker import WorkerSummary, by_worker
from burnish.errors import DataError
from burnish.people.agreement_words import agreement_words
from burnish.people.study.export import labels_of

ORDER = ("A", "tie", "B")
"""The choices on a pair from one end of the scale to the other, for the ordinal alpha."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyAgreement:
    """The agreement of all people, of each two of them, and of each of them with the others."""

    all: Agreement
    pairs: tuple[PairAgreement, ...]
    people: tuple[WorkerSummary, ...]

    def lines(self) -> list[str]:
        """Return the lines that `burnish study agreement` prints."""
        return list(agreement_words(self.all, self.pairs, self.people))


def study_agreement(db: sqlite3.Connection) -> StudyAgreement:
    """Compute how much the people of a study of comparisons agree. Only answers that count are used.

    Raises DataError if fewer than two people have answered, also for demonstrations, which have no labels. Raises
    ConfigError if the package krippendorff is not installed.
    """
    given = [GivenLabel(item=one.item, worker=one.worker, label=one.label) for one in labels_of(db)]
    if len({one.worker for one in given}) < 2:
        raise DataError("agreement needs comparisons of two people or more; wait for more answers")
    table = label_table(given, ORDER)
    return StudyAgreement(all=agreement(table), pairs=tuple(cohen(table)), people=tuple(by_worker(given)))
