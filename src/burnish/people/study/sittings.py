"""The operations that begin and end a sitting. Each runs in one transaction, with the time as an argument."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import sqlite3
from collections.abc import Mapping, Sequence

from burnish.config.study import ComparisonStudy, DemonstrationStudy, StudySettings
from burnish.people.study.model import (
    ENDS,
    UNDER_WAY,
    Arrival,
    AttemptState,
    Closed,
    ItemRole,
    NoSuchQuestion,
    Standing,
    StudyState,
    Visitor,
)
from burnish.people.study.planning import OpenItem, Placed, at_random_places, planned
from burnish.types import Order, short_hash

GRACE = 60.0
"""Seconds after the time of a sitting in which answers still count. They are flagged as late."""
# An item needs no further answer for each answer that counts and for each question that a person may still answer.
_HELD = "('planned', 'shown', 'answered')"
_LEANING = f"""SELECT item.id AS item, item.wanted - count(assignment.id) AS free,
    coalesce(sum(CASE assignment.shown WHEN 'ab' THEN 1 WHEN 'ba' THEN -1 ELSE 0 END), 0) AS lean
    FROM item LEFT JOIN assignment ON assignment.item = item.id AND assignment.state IN {_HELD}"""  # noqa: S608 constants
_FREE = f"{_LEANING} WHERE item.role = 'work' GROUP BY item.id HAVING free > 0 ORDER BY item.id"
_GOLD = f"{_LEANING} WHERE item.role = 'gold' GROUP BY item.id ORDER BY item.id"


def hashed(session: str) -> str:
    """Return the form in which a session's secret is stored."""
    return hashlib.sha256(session.encode()).hexdigest()


def new_token() -> str:
    """Return a secret of 128 random bits, for an address or a cookie."""
    return secrets.token_urlsafe(16)


def note_event(
    db: sqlite3.Connection,
    now: float,
    kind: str,
    attempt: int | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Append an event. `detail` never holds an id of a platform."""
    db.execute(
        "INSERT INTO event (at, attempt, kind, detail) VALUES (?, ?, ?, ?)",
        (now, attempt, kind, json.dumps(detail or {}, sort_keys=True)),
    )


def arrive(db: sqlite3.Connection, visitor: Visitor, now: float) -> Arrival:
    """Open a sitting for a person, or a new session for the sitting that the person has. The old session ends."""
    sweep(db, now)
    study = db.execute("SELECT secret, state FROM study").fetchone()
    # A separator that no id contains keeps ("a", "bc") and ("ab", "c") apart.
    words = f"{visitor.platform}\0{visitor.id}".encode(errors="replace")
    key = hmac.new(study["secret"], words, hashlib.sha256).hexdigest()
    session = new_token()
    known = db.execute(
        "SELECT attempt.id FROM attempt JOIN participant ON participant.id = attempt.participant WHERE key = ?", (key,)
    ).fetchone()
    if known is not None:
        db.execute("UPDATE attempt SET session = ? WHERE id = ?", (hashed(session), known["id"]))
        note_event(db, now, "came_back", known["id"])
        return Arrival(session=session, refused=None)
    refused = nobody_new(db)
    if refused is not None:
        return Arrival(session=None, refused=refused)
    db.execute("UPDATE study SET frozen = ? WHERE frozen IS NULL", (now,))
    number = db.execute("SELECT count(*) + 1 FROM participant").fetchone()[0]
    person = db.execute("INSERT INTO participant (key, public) VALUES (?, ?)", (key, f"p{number:03d}")).lastrowid
    db.execute(
        "INSERT INTO identity VALUES (?, ?, ?, ?, ?)",
        (person, visitor.platform, visitor.id, visitor.study, visitor.session),
    )
    attempt = db.execute(
        "INSERT INTO attempt (participant, session, state, arrived) VALUES (?, ?, 'arrived', ?)",
        (person, hashed(session), now),
    ).lastrowid
    note_event(db, now, "arrived", attempt)
    return Arrival(session=session, refused=None)


def nobody_new(db: sqlite3.Connection) -> Closed | None:
    """Return why nobody new can begin now, or None if somebody can."""
    state = StudyState(db.execute("SELECT state FROM study").fetchone()[0])
    if state is not StudyState.OPEN:
        return Closed(state.value)
    return Closed.FULL if db.execute(f"{_FREE} LIMIT 1").fetchone() is None else None


def attempt_of(db: sqlite3.Connection, session: str) -> sqlite3.Row:
    """Return the sitting of a session. Raises NoSuchQuestion if there is none."""
    row = db.execute(
        "SELECT attempt.*, participant.public FROM attempt JOIN participant ON participant.id = attempt.participant "
        "WHERE session = ?",
        (hashed(session),),
    ).fetchone()
    if row is None:
        raise NoSuchQuestion("there is no such session; open the link of the study again")
    return row


def standing(db: sqlite3.Connection, session: str, now: float) -> Standing:
    """Return where a person is. Raises NoSuchQuestion if there is no such session."""
    row = attempt_of(db, session)
    left = None if row["deadline"] is None else max(0.0, row["deadline"] - now)
    return Standing(state=AttemptState(row["state"]), public=row["public"], code=row["code"], seconds_left=left)


def consent(db: sqlite3.Connection, rules: StudySettings, session: str, now: float) -> Closed | None:
    """Plan the whole sitting of a person who agrees to take part. Return None, or why there is no place.

    A second consent changes nothing. Raises NoSuchQuestion if there is no such session.
    """
    sweep(db, now)
    row = attempt_of(db, session)
    if row["state"] != AttemptState.ARRIVED:
        return None
    refused = nobody_new(db)
    if refused is not None:
        return refused
    generator = random.Random(short_hash("sitting", str(rules.seed), row["public"]))  # noqa: S311 a draw, no secret
    candidates = [OpenItem(item=one["item"], free=one["free"], lean=one["lean"]) for one in db.execute(_FREE)]
    work = planned(candidates, rules.per_sitting, generator)
    work = at_random_places(work, _known_among_work(db, rules, generator), generator)
    tries = rules.screening_tries if isinstance(rules, ComparisonStudy) else 0
    screening = _of_role(db, ItemRole.SCREENING) if tries else []
    if screening:
        add_assignments(db, row["id"], _sided(screening, generator), 0)
    # Later tries of the screening take the places between the first try and the work.
    add_assignments(db, row["id"], work, len(screening) * max(1, tries), sided=isinstance(rules, ComparisonStudy))
    db.execute(
        "UPDATE attempt SET state = 'consented', consented = ?, deadline = ? WHERE id = ?",
        (now, now + 60 * rules.minutes, row["id"]),
    )
    note_event(db, now, "consented", row["id"], {"items": len(work)})
    return None


def _known_among_work(db: sqlite3.Connection, rules: StudySettings, generator: random.Random) -> list[Placed]:
    """Return the questions with a known answer that stand among the work of a sitting: all checks, or gold pairs."""
    match rules:
        case DemonstrationStudy():
            return _sided(_of_role(db, ItemRole.CHECK), generator)
        case ComparisonStudy():
            # Every gold pair may be drawn for every person, so none of them is more urgent than another.
            pairs = [OpenItem(item=one["item"], free=1, lean=one["lean"]) for one in db.execute(_GOLD)]
            return planned(pairs, rules.gold, generator)


def _of_role(db: sqlite3.Connection, role: ItemRole) -> list[int]:
    return [row["id"] for row in db.execute("SELECT id FROM item WHERE role = ? ORDER BY id", (role,))]


def _sided(items: Sequence[int], generator: random.Random) -> list[Placed]:
    """Return items with orders that differ in number by at most 1."""
    return planned([OpenItem(item=item, free=1, lean=0) for item in items], len(items), generator)


def add_assignments(
    db: sqlite3.Connection, attempt: int, placed: Sequence[Placed], begin: int, *, trial: int = 1, sided: bool = True
) -> None:
    """Add questions to a sitting, from the position `begin` on. Without `sided` they have no order of sides."""
    db.executemany(
        "INSERT INTO assignment (attempt, item, trial, position, shown, token, state) "
        "VALUES (?, ?, ?, ?, ?, ?, 'planned')",
        [
            (attempt, one.item, trial, begin + number, str(one.shown) if sided else None, new_token())
            for number, one in enumerate(placed)
        ],
    )


def another_try(db: sqlite3.Connection, attempt: int, trial: int) -> None:
    """Add one more try of the screening. Each pair is shown in the other order than before."""
    earlier = db.execute(
        "SELECT item, position, shown FROM assignment JOIN item ON item.id = item WHERE attempt = ? AND trial = ? "
        "AND role = 'screening' ORDER BY position",
        (attempt, trial - 1),
    ).fetchall()
    placed = [
        Placed(item=row["item"], shown=Order.AB if row["shown"] == Order.BA else Order.BA) for row in reversed(earlier)
    ]
    add_assignments(db, attempt, placed, earlier[-1]["position"] + 1, trial=trial)


def end(db: sqlite3.Connection, attempt: int, state: AttemptState, now: float) -> None:
    """End a sitting. Its open questions go back to the other people in the same transaction."""
    code = {AttemptState.FINISHED: "complete", AttemptState.SCREENED_OUT: "screened_out"}.get(state, "partial")
    db.execute(
        "UPDATE assignment SET state = 'released' WHERE attempt = ? AND state IN ('planned', 'shown')", (attempt,)
    )
    db.execute("UPDATE attempt SET state = ?, ended = ?, code = ? WHERE id = ?", (state, now, code, attempt))
    note_event(db, now, state, attempt)


def sweep(db: sqlite3.Connection, now: float) -> int:
    """End the sittings whose time ran out more than a minute ago, and return how many there were."""
    late = db.execute(
        "SELECT id FROM attempt WHERE state IN ('consented', 'screening', 'working') AND deadline < ?", (now - GRACE,)
    ).fetchall()
    for row in late:
        end(db, row["id"], AttemptState.TIMED_OUT, now)
    return len(late)


def withdraw(db: sqlite3.Connection, session: str, now: float, *, erase: bool) -> None:
    """End a sitting because the person wants to stop. With `erase`, the answers are deleted, too.

    After the end of a sitting, only `erase` changes something. Raises NoSuchQuestion if there is no such session.
    """
    row = attempt_of(db, session)
    if AttemptState(row["state"]) not in ENDS:
        end(db, row["id"], AttemptState.WITHDRAWN, now)
    if erase:
        erase_answers(db, row["id"], now)


def erase_answers(db: sqlite3.Connection, attempt: int, now: float) -> None:
    """Delete all that a person wrote in a sitting. Other people are asked instead."""
    mine = "(SELECT id FROM assignment WHERE attempt = ?)"
    db.execute("UPDATE assignment SET state = 'voided' WHERE attempt = ? AND state = 'answered'", (attempt,))
    db.execute(f"DELETE FROM answer WHERE assignment IN {mine}", (attempt,))  # noqa: S608 a constant
    db.execute(f"DELETE FROM draft WHERE assignment IN {mine}", (attempt,))  # noqa: S608 a constant
    db.execute("DELETE FROM feedback WHERE attempt = ?", (attempt,))
    note_event(db, now, "erased", attempt)


def is_under_way(row: sqlite3.Row) -> bool:
    """Say whether a sitting holds items."""
    return AttemptState(row["state"]) in UNDER_WAY


def has_run_out(row: sqlite3.Row, now: float) -> bool:
    """Say whether the time of a sitting ran out more than a minute ago. `sweep` ends exactly these sittings."""
    return row["deadline"] < now - GRACE
