"""What a study's file says: numbers, people, and answers. Nothing here changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter

from burnish.config.study import StudySettings
from burnish.errors import DataError
from burnish.people.study.model import (
    AnswerRow,
    AssignmentState,
    AttemptState,
    ItemRole,
    ReviewVerdict,
    StudyCounts,
    StudyState,
)
from burnish.types import Order

_RULES: TypeAdapter[StudySettings] = TypeAdapter(StudySettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class SittingRow:
    """A sitting, as the administrator sees it.

    `first_side` is the share of the answers to pairs, without ties, that prefer the answer that was shown first.
    """

    public: str
    state: AttemptState
    arrived: float
    ended: float | None
    deadline: float | None
    answered: int
    planned: int
    late: int
    early: int
    median_seconds: float | None
    first_side: float | None
    suspicious: int
    verdict: ReviewVerdict | None
    reason: str
    feedback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """An item of work with its numbers."""

    name: str
    prompt: str
    wanted: int
    answered: int
    live: int
    shown_ab: int
    shown_ba: int


def rules_of(db: sqlite3.Connection) -> StudySettings:
    """Return the settings of a study. Raises DataError if the file holds no study."""
    row = db.execute("SELECT settings FROM study").fetchone()
    if row is None:
        raise DataError("the file holds no study; make one with `burnish study new`")
    return _RULES.validate_json(row[0])


def source_of(db: sqlite3.Connection) -> str:
    """Return the folder or file from which the items came."""
    return db.execute("SELECT source FROM study").fetchone()[0]


def counts(db: sqlite3.Connection, now: float) -> StudyCounts:
    """Return the numbers of a study."""
    per_item = db.execute(
        """SELECT wanted, count(assignment.id) FILTER (WHERE assignment.state = 'answered') AS valid,
        count(assignment.id) FILTER (WHERE assignment.state IN ('planned', 'shown')) AS live
        FROM item LEFT JOIN assignment ON assignment.item = item.id WHERE role = 'work' GROUP BY item.id"""
    ).fetchall()
    attempts = db.execute("SELECT state, count(*) FROM attempt GROUP BY state ORDER BY state").fetchall()
    seconds = [
        row[0]
        for row in db.execute(
            "SELECT seconds FROM answer JOIN assignment ON assignment.id = assignment JOIN item ON item.id = item "
            "WHERE role = 'work' ORDER BY seconds"
        )
    ]
    return StudyCounts(
        state=StudyState(db.execute("SELECT state FROM study").fetchone()[0]),
        items=len(per_item),
        wanted=sum(row["wanted"] for row in per_item),
        free=sum(max(0, row["wanted"] - row["valid"] - row["live"]) for row in per_item),
        live=sum(row["live"] for row in per_item),
        answered=sum(row["valid"] for row in per_item),
        extra=sum(max(0, row["valid"] - row["wanted"]) for row in per_item),
        attempts={row[0]: row[1] for row in attempts},
        median_seconds=seconds[len(seconds) // 2] if seconds else None,
        last_hour=db.execute(
            "SELECT count(*) FROM answer JOIN assignment ON assignment.id = assignment JOIN item ON item.id = item "
            "WHERE role = 'work' AND received > ?",
            (now - 3600,),
        ).fetchone()[0],
    )


def sittings(db: sqlite3.Connection, public: str | None = None) -> list[SittingRow]:
    """Return all sittings, or the one of a person, in the order of their arrival."""
    rows = db.execute(
        """SELECT attempt.id AS id, public, attempt.state AS state, arrived, ended, deadline,
        count(answer.id) AS answered, count(assignment.id) AS planned, coalesce(sum(late), 0) AS late,
        coalesce(sum(early), 0) AS early, avg(CASE WHEN value <> 0 THEN value < 0 END) AS first_side,
        (SELECT count(*) FROM event WHERE event.attempt = attempt.id AND kind = 'suspicious') AS suspicious,
        (SELECT verdict FROM review WHERE review.attempt = attempt.id ORDER BY id DESC LIMIT 1) AS verdict,
        (SELECT reason FROM review WHERE review.attempt = attempt.id ORDER BY id DESC LIMIT 1) AS reason,
        (SELECT text FROM feedback WHERE feedback.attempt = attempt.id) AS feedback
        FROM attempt JOIN participant ON participant.id = participant
        LEFT JOIN assignment ON assignment.attempt = attempt.id LEFT JOIN answer ON answer.assignment = assignment.id
        WHERE ? IS NULL OR public = ? GROUP BY attempt.id ORDER BY attempt.id""",
        (public, public),
    ).fetchall()
    return [
        SittingRow(
            public=row["public"],
            state=AttemptState(row["state"]),
            arrived=row["arrived"],
            ended=row["ended"],
            deadline=row["deadline"],
            answered=row["answered"],
            planned=row["planned"],
            late=row["late"],
            early=row["early"],
            median_seconds=_median_seconds(db, row["id"]),
            first_side=row["first_side"],
            suspicious=row["suspicious"],
            verdict=None if row["verdict"] is None else ReviewVerdict(row["verdict"]),
            reason=row["reason"] or "",
            feedback=row["feedback"] or "",
        )
        for row in rows
    ]


def _median_seconds(db: sqlite3.Connection, attempt: int) -> float | None:
    rows = db.execute(
        "SELECT seconds FROM answer JOIN assignment ON assignment.id = assignment WHERE attempt = ? ORDER BY seconds",
        (attempt,),
    ).fetchall()
    return rows[len(rows) // 2][0] if rows else None


def items(db: sqlite3.Connection) -> list[ItemRow]:
    """Return the items of work with their numbers."""
    rows = db.execute(
        """SELECT name, prompt, wanted, count(assignment.id) FILTER (WHERE assignment.state = 'answered') AS answered,
        count(assignment.id) FILTER (WHERE assignment.state IN ('planned', 'shown')) AS live,
        count(assignment.id) FILTER (WHERE shown = 'ab' AND assignment.state IN ('planned', 'shown', 'answered')) AS ab,
        count(assignment.id) FILTER (WHERE shown = 'ba' AND assignment.state IN ('planned', 'shown', 'answered')) AS ba
        FROM item LEFT JOIN assignment ON assignment.item = item.id WHERE role = 'work'
        GROUP BY item.id ORDER BY item.id"""
    ).fetchall()
    return [
        ItemRow(
            name=row["name"],
            prompt=row["prompt"],
            wanted=row["wanted"],
            answered=row["answered"],
            live=row["live"],
            shown_ab=row["ab"],
            shown_ba=row["ba"],
        )
        for row in rows
    ]


def answers(db: sqlite3.Connection, public: str | None = None) -> Iterator[AnswerRow]:
    """Yield all answers, or those of a person, also those that do not count: screening, checks and voided ones."""
    rows = db.execute(
        """SELECT item.name, item.role, item.example_id, item.prompt, item.a, item.b, item.expected, item.weight,
        item.why, public, shown, assignment.state,
        answer.text, value, note, seconds, late, early, trial
        FROM answer JOIN assignment ON assignment.id = answer.assignment JOIN item ON item.id = assignment.item
        JOIN attempt ON attempt.id = assignment.attempt JOIN participant ON participant.id = attempt.participant
        WHERE ? IS NULL OR public = ? ORDER BY attempt.id, assignment.position""",
        (public, public),
    )
    for row in rows:
        yield AnswerRow(
            item=row["name"],
            role=ItemRole(row["role"]),
            example_id=row["example_id"],
            prompt=row["prompt"],
            a=row["a"],
            b=row["b"],
            expected=row["expected"],
            by=row["public"],
            shown=None if row["shown"] is None else Order(row["shown"]),
            state=AssignmentState(row["state"]),
            text=row["text"],
            value=row["value"],
            note=row["note"],
            seconds=row["seconds"],
            late=bool(row["late"]),
            early=bool(row["early"]),
            trial=row["trial"],
            weight=row["weight"],
            why=row["why"],
        )
