"""The operations of a person at work: the next question, a draft, an answer, feedback."""

from __future__ import annotations

import sqlite3

from burnish.config.study import ComparisonStudy, DemonstrationStudy, StudySettings
from burnish.errors import DataError
from burnish.people.study.model import AssignmentState, AttemptState, ItemRole, NoSuchQuestion, SentReply, ShownQuestion
from burnish.people.study.sittings import another_try, attempt_of, end, has_run_out, is_under_way, note_event, sweep
from burnish.types import Order

LONGEST = 20_000
"""The most characters of an answer, a note or feedback."""
_OPEN = """SELECT assignment.*, item.role, item.prompt, item.a, item.b, draft.text AS draft FROM assignment
    JOIN item ON item.id = assignment.item LEFT JOIN draft ON draft.assignment = assignment.id
    WHERE assignment.attempt = ? AND assignment.state IN ('planned', 'shown') ORDER BY assignment.position LIMIT 1"""


def next_question(db: sqlite3.Connection, session: str, now: float) -> ShownQuestion | None:
    """Return the open question of a person, and note when it was first shown. None: the sitting has none.

    Raises NoSuchQuestion if there is no such session.
    """
    attempt = attempt_of(db, session)
    if not is_under_way(attempt):
        return None
    if has_run_out(attempt, now):
        sweep(db, now)
        return None
    row = db.execute(_OPEN, (attempt["id"],)).fetchone()
    assert row is not None, attempt["state"]  # a sitting under way has an open question; otherwise it has ended
    first_shown = row["first_shown"]
    if row["state"] == AssignmentState.PLANNED:
        first_shown = now
        db.execute("UPDATE assignment SET state = 'shown', first_shown = ? WHERE id = ?", (now, row["id"]))
        state = AttemptState.SCREENING if row["role"] == ItemRole.SCREENING else AttemptState.WORKING
        if attempt["state"] != state:
            db.execute("UPDATE attempt SET state = ? WHERE id = ?", (state, attempt["id"]))
    return _question(db, row, attempt["deadline"] - now, now - first_shown)


def _question(db: sqlite3.Connection, row: sqlite3.Row, left: float, elapsed: float) -> ShownQuestion:
    role = ItemRole(row["role"])
    number, of = db.execute(
        "SELECT count(*) FILTER (WHERE position <= ?), count(*) FROM assignment JOIN item ON item.id = item "
        "WHERE attempt = ? AND trial = ? AND (role = 'screening') = ?",
        (row["position"], row["attempt"], row["trial"], role is ItemRole.SCREENING),
    ).fetchone()
    first, second = (row["b"], row["a"]) if row["shown"] == Order.BA else (row["a"], row["b"])
    return ShownQuestion(
        token=row["token"],
        role=role,
        prompt=row["prompt"],
        first=first,
        second=second,
        draft=row["draft"] or "",
        number=number,
        of=of,
        again=row["trial"] > 1,
        elapsed=max(0.0, elapsed),
        seconds_left=max(0.0, left),
    )


def _assignment(db: sqlite3.Connection, session: str, token: str) -> tuple[sqlite3.Row, sqlite3.Row]:
    """Return the sitting and the question that a token names. Raises NoSuchQuestion if it is not this person's."""
    attempt = attempt_of(db, session)
    row = db.execute(
        "SELECT assignment.*, item.role FROM assignment JOIN item ON item.id = assignment.item "
        "WHERE token = ? AND attempt = ? AND assignment.first_shown IS NOT NULL",
        (token, attempt["id"]),
    ).fetchone()
    if row is None:
        raise NoSuchQuestion("there is no such question in this session")
    return attempt, row


def save_draft(db: sqlite3.Connection, session: str, token: str, text: str, now: float) -> None:
    """Keep a text that is not yet sent. After the answer, nothing changes. Raises NoSuchQuestion for another person's
    question, and DataError for a text that is too long."""
    _, row = _assignment(db, session, token)
    _check_length(text)
    # The draft of a question whose time ran out is kept, too: it is all that the person wrote.
    if row["state"] in (AssignmentState.SHOWN, AssignmentState.RELEASED):
        db.execute("INSERT OR REPLACE INTO draft VALUES (?, ?, ?)", (row["id"], text, now))


def answer(
    db: sqlite3.Connection, rules: StudySettings, session: str, token: str, reply: SentReply, now: float
) -> bool:
    """Keep an answer, and return whether it was the first one to its question. Only the first one counts.

    The answer to the question that was open when the time ran out is kept, too, flagged as late. Raises NoSuchQuestion
    for another person's question, and DataError for an answer that the study cannot take.
    """
    attempt, row = _assignment(db, session, token)
    if is_under_way(attempt) and has_run_out(attempt, now):
        sweep(db, now)
        attempt, row = _assignment(db, session, token)
    outlived = attempt["state"] == AttemptState.TIMED_OUT and row["state"] == AssignmentState.RELEASED
    if row["state"] != AssignmentState.SHOWN and not outlived:
        return False
    _check(rules, reply)
    seconds = max(0.0, now - row["first_shown"])
    late = seconds > rules.most_seconds or now > attempt["deadline"]
    db.execute(
        "INSERT INTO answer (assignment, value, text, note, received, seconds, late, early) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (row["id"], reply.value, reply.text, reply.note, now, seconds, late, seconds < rules.least_seconds),
    )
    db.execute("UPDATE assignment SET state = 'answered' WHERE id = ?", (row["id"],))
    db.execute("DELETE FROM draft WHERE assignment = ?", (row["id"],))
    # Both are for the reviewer alone: nobody is rejected by a program.
    if reply.pasted or reply.trapped:
        flags = {"assignment": row["id"], "pasted": reply.pasted, "trapped": reply.trapped}
        note_event(db, now, "suspicious", attempt["id"], flags)
    if not outlived:
        _go_on(db, rules, attempt["id"], row, now)
    return True


def _check(rules: StudySettings, reply: SentReply) -> None:
    """Raise DataError for an answer that does not fit the kind of study."""
    _check_length(reply.text)
    _check_length(reply.note)
    match rules:
        case DemonstrationStudy():
            if not reply.text.strip() or reply.value is not None:
                raise DataError("text: is empty; write an answer")
        case ComparisonStudy():
            if reply.value is None or abs(reply.value) > rules.most_value or reply.text:
                raise DataError(
                    f"value: {reply.value} is no point of the scale; choose one of its {rules.points} points"
                )


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise DataError(f"text: {len(text):,} characters found; at most {LONGEST:,} are kept")


def _go_on(db: sqlite3.Connection, rules: StudySettings, attempt: int, row: sqlite3.Row, now: float) -> None:
    """Judge the screening after its last pair, and finish the sitting after its last question."""
    role = ItemRole(row["role"])
    if role is ItemRole.SCREENING and _open_questions(db, attempt, ItemRole.SCREENING) == 0:
        assert isinstance(rules, ComparisonStudy)
        if _passed(db, attempt, row["trial"]):
            note_event(db, now, "screening_passed", attempt, {"trial": row["trial"]})
        elif row["trial"] < rules.screening_tries:
            note_event(db, now, "screening_failed", attempt, {"trial": row["trial"]})
            another_try(db, attempt, row["trial"] + 1)
        else:
            end(db, attempt, AttemptState.SCREENED_OUT, now)
            return
    if _open_questions(db, attempt) == 0:
        end(db, attempt, AttemptState.FINISHED, now)


def _open_questions(db: sqlite3.Connection, attempt: int, role: ItemRole | None = None) -> int:
    """Count the open questions of a sitting: all of them, or those of one role."""
    return db.execute(
        "SELECT count(*) FROM assignment JOIN item ON item.id = item WHERE attempt = ? "
        "AND state IN ('planned', 'shown') AND (? IS NULL OR role = ?)",
        (attempt, role, role),
    ).fetchone()[0]


def _passed(db: sqlite3.Connection, attempt: int, trial: int) -> bool:
    """Say whether every screening pair of a try has the expected winner, with any degree of confidence."""
    rows = db.execute(
        "SELECT value, shown, expected FROM answer JOIN assignment ON assignment.id = assignment "
        "JOIN item ON item.id = item WHERE attempt = ? AND trial = ? AND role = 'screening'",
        (attempt, trial),
    ).fetchall()
    return all(winner(row["value"], Order(row["shown"])) == row["expected"] for row in rows)


def winner(value: int, shown: Order) -> str:
    """Return the better side of a pair, "a" or "b" in its own order, or "" for alike. `value` is as it was shown."""
    if value == 0:
        return ""
    # A negative value means the answer that was shown first.
    return "a" if (value < 0) == (shown is Order.AB) else "b"


def give_feedback(db: sqlite3.Connection, session: str, text: str, now: float) -> None:
    """Keep what a person says about the study. The last text counts.

    Raises NoSuchQuestion if there is no such session, and DataError for a text that is too long.
    """
    attempt = attempt_of(db, session)
    _check_length(text)
    db.execute("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?)", (attempt["id"], text, now))
