"""What can be said of a study of demonstrations: nobody writes the same answer twice, so there is no agreement.

Instead: how long people took, how much they wrote, and how they did in the checks.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.algorithms.lengths import words_of
from burnish.config.study import DemonstrationStudy, StudyKind
from burnish.errors import DataError
from burnish.people.agreement_words import NONE, in_columns, right_words
from burnish.people.study import reading
from burnish.people.study.checking import KnownCounts, RightCount, known_counts
from burnish.people.study.model import AnswerRow, AssignmentState, ItemRole
from burnish.report.text import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenNumbers:
    """The numbers of some answers. The medians are None if there are no answers. Lengths are in words."""

    answers: int
    median_seconds: float | None
    early: int
    late: int
    median_words: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSummary:
    """What is known of one person.

    The numbers are those of all answers to work, also of those that no longer count. `passed` of `checked` answers to
    checks have one of the expected words. `review` is the last verdict of the administrator, or "".
    """

    worker: str
    state: str
    written: WrittenNumbers
    passed: int
    checked: int
    review: str

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        found = dataclasses.asdict(self)
        return {"worker": found.pop("worker"), **found.pop("written"), **found}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyWriting:
    """The answers that count of all people, each check, and each person who answered something."""

    rules: DemonstrationStudy
    all: WrittenNumbers
    items: int
    checks: Mapping[str, RightCount]
    people: tuple[WriterSummary, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {
            "kind": str(StudyKind.DEMONSTRATIONS),
            **dataclasses.asdict(self.all),
            "items": self.items,
            "workers": len(self.people),
            "checks": {name: dataclasses.asdict(count) for name, count in self.checks.items()},
            "people": [one.as_json() for one in self.people],
        }

    def lines(self) -> list[str]:
        """Return the lines that `burnish study agreement` prints."""
        return list(_lines(self))


def study_writing(db: sqlite3.Connection) -> StudyWriting:
    """Return what can be said of a study of demonstrations. Raises DataError if nobody has answered a question."""
    rules = reading.rules_of(db)
    assert isinstance(rules, DemonstrationStudy), rules
    of_person: defaultdict[str, list[AnswerRow]] = defaultdict(list)
    for one in reading.answers(db):
        of_person[one.by].append(one)
    if not of_person:
        raise DataError("nobody has answered a question yet; wait for answers")
    work = [one for rows in of_person.values() for one in rows if one.role is ItemRole.WORK]
    count = [one for one in work if one.state is AssignmentState.ANSWERED]
    known = known_counts(db)
    return StudyWriting(
        rules=rules,
        all=_numbers(count),
        items=len({one.item for one in count}),
        checks=known.each_check(),
        people=tuple(_people(db, of_person, known)),
    )


def _people(
    db: sqlite3.Connection, of_person: Mapping[str, Sequence[AnswerRow]], known: KnownCounts
) -> Iterator[WriterSummary]:
    checks = known.checks()
    for sitting in reading.sittings(db):
        if sitting.public in of_person:
            found = checks.get(sitting.public, RightCount(right=0, judged=0))
            yield WriterSummary(
                worker=sitting.public,
                state=str(sitting.state),
                written=_numbers(one for one in of_person[sitting.public] if one.role is ItemRole.WORK),
                passed=found.right,
                checked=found.judged,
                review="" if sitting.verdict is None else str(sitting.verdict),
            )


def _numbers(answers: Iterable[AnswerRow]) -> WrittenNumbers:
    rows = list(answers)
    return WrittenNumbers(
        answers=len(rows),
        median_seconds=statistics.median(one.seconds for one in rows) if rows else None,
        early=sum(one.early for one in rows),
        late=sum(one.late for one in rows),
        median_words=statistics.median(words_of(one.text) for one in rows) if rows else None,
    )


def _lines(found: StudyWriting) -> Iterator[str]:
    rules, written = found.rules, found.all
    yield f"{'people':30} {len(found.people):,}"
    yield f"{'answers that count':30} {written.answers:,}, to {plural(found.items, 'prompt')}"
    yield f"{'median seconds':30} {_median(written.median_seconds)}"
    yield f"{f'early (under {rules.least_seconds:g} seconds)':30} {written.early:,}"
    yield f"{f'late (over {rules.most_seconds:g} seconds)':30} {written.late:,}"
    yield f"{'median words':30} {_median(written.median_words)}"
    for name, count in found.checks.items():
        yield f"{f'{name}, right':30} {count}"
    yield "each person, also with answers that no longer count"
    yield "(checks right: the answer has one of the expected words; read the answers before you judge them):"
    rows = [("person", "state", "answers", "median seconds", "early", "late", "median words", "checks right", "review")]
    yield from in_columns([*rows, *(_cells(one) for one in found.people)])


def _cells(one: WriterSummary) -> tuple[str, ...]:
    written = one.written
    return (
        *(one.worker, one.state.replace("_", " "), f"{written.answers:,}", _median(written.median_seconds)),
        *(f"{written.early:,}", f"{written.late:,}", _median(written.median_words)),
        *(right_words(one.passed, one.checked), one.review or NONE),
    )


def _median(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"
