"""The operations of the administrator: make a study, open and close it, judge sittings, forget a person."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

from burnish.config.study import ComparisonStudy, StudySettings
from burnish.errors import ConfigError, DataError
from burnish.people.study.model import (
    AttemptState,
    ItemRole,
    ReviewVerdict,
    StudyItem,
    StudyState,
)
from burnish.people.study.reading import rules_of
from burnish.people.study.sittings import end, erase_answers, is_under_way, note_event
from burnish.report.text import plural


def create(db: sqlite3.Connection, rules: StudySettings, items: Sequence[StudyItem], source: str, now: float) -> None:
    """Fill a new file. `source` says where the items come from.

    Raises DataError if there is no item of work, or if one has the name of a check question, and ConfigError if there
    are fewer gold pairs than a sitting has.
    """
    work = {item.name for item in items if item.role is ItemRole.WORK}
    if not work:
        raise DataError("there are no items for people to work on; name another source")
    taken = sorted(item.name for item in items if item.role is not ItemRole.WORK and item.name in work)
    if taken:
        raise DataError(f"{source}: the id {taken[0]!r} is that of a check question; give the row another id")
    _check_gold(rules, items)
    db.execute(
        "INSERT INTO study (id, kind, settings, secret, state, source, created) VALUES (1, ?, ?, ?, 'open', ?, ?)",
        (rules.kind, rules.model_dump_json(), secrets.token_bytes(32), source, now),
    )
    _add_items(db, rules, items)
    note_event(db, now, "created", detail={"items": len(items)})


def _check_gold(rules: StudySettings, items: Sequence[StudyItem]) -> None:
    """Raise ConfigError if there are fewer gold pairs than a sitting has."""
    there = sum(item.role is ItemRole.GOLD for item in items)
    if isinstance(rules, ComparisonStudy) and rules.gold > there:
        raise ConfigError(
            f"gold: {rules.gold} gold pairs stand in each sitting, but the questions have {plural(there, 'pair')} with "
            f"`role: gold`; add more to questions.yaml (`burnish study new --questions FILE`), or write gold: {there}"
        )


def _add_items(db: sqlite3.Connection, rules: StudySettings, items: Sequence[StudyItem]) -> None:
    db.executemany(
        "INSERT INTO item (name, role, prompt, a, b, a_source, b_source, example_id, expected, wanted, weight, why) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *(one.name, one.role, one.prompt, one.a, one.b, one.a_source, one.b_source, one.example_id),
                *(one.expected, rules.wanted if one.role is ItemRole.WORK else 0, one.weight, one.why),
            )
            for one in items
        ],
    )


def renew(db: sqlite3.Connection, rules: StudySettings, checks: Sequence[StudyItem], now: float) -> bool:
    """Take over edited settings and check questions, and return whether they changed anything.

    Raises DataError if they changed after the first person arrived, or if the kind of the study changed, and
    ConfigError if there are fewer gold pairs than a sitting has.
    """
    _check_gold(rules, checks)
    frozen = db.execute("SELECT frozen FROM study").fetchone()[0]
    known = db.execute(
        "SELECT name, role, prompt, a, b, expected FROM item WHERE role <> 'work' ORDER BY id"
    ).fetchall()
    same_checks = [tuple(one) for one in known] == [
        (one.name, str(one.role), one.prompt, one.a, one.b, one.expected) for one in checks
    ]
    if rules_of(db) == rules and same_checks:
        return False
    if frozen is not None:
        raise DataError(
            "the settings or the check questions were changed after the first person arrived; undo the change, or "
            "make a new study"
        )
    if rules_of(db).kind is not rules.kind:
        raise DataError(f"kind: is {rules.kind} now, but the items are for {rules_of(db).kind}; make a new study")
    db.execute("UPDATE study SET settings = ?", (rules.model_dump_json(),))
    db.execute("UPDATE item SET wanted = ? WHERE role = 'work'", (rules.wanted,))
    db.execute("DELETE FROM item WHERE role <> 'work'")
    _add_items(db, rules, checks)
    note_event(db, now, "settings_changed")
    return True


def set_state(db: sqlite3.Connection, state: StudyState, now: float) -> None:
    """Open, pause or close a study for new people. Raises DataError if it was closed before."""
    current = StudyState(db.execute("SELECT state FROM study").fetchone()[0])
    if current is StudyState.CLOSED and state is not StudyState.CLOSED:
        raise DataError("the study is closed for good; make a new one")
    if current is not state:
        db.execute("UPDATE study SET state = ?", (state,))
        note_event(db, now, state)


def review(
    db: sqlite3.Connection, rules: StudySettings, public: str, verdict: ReviewVerdict, reason: str, now: float
) -> None:
    """Accept or reject a sitting. The last word counts.

    If the study says so, the answers of a rejected person no longer count, and other people are asked. If the person
    is accepted later, those answers count again whose items have nobody else. Raises DataError if nobody has this
    name, or if the sitting goes on.
    """
    row = _sitting(db, public)
    if row["ended"] is None:
        raise DataError(f"{public}: the sitting has not ended; wait for its end")
    db.execute(
        "INSERT INTO review (attempt, verdict, reason, at) VALUES (?, ?, ?, ?)", (row["id"], verdict, reason, now)
    )
    note_event(db, now, verdict, row["id"])
    if not rules.void_rejected:
        return
    if verdict is ReviewVerdict.REJECT:
        db.execute("UPDATE assignment SET state = 'voided' WHERE attempt = ? AND state = 'answered'", (row["id"],))
    else:
        _restore(db, row["id"])


def _restore(db: sqlite3.Connection, attempt: int) -> None:
    """Let voided answers count again, as far as nobody else was asked instead."""
    db.execute(
        """UPDATE assignment SET state = 'answered' WHERE attempt = ? AND state = 'voided'
        AND EXISTS (SELECT 1 FROM answer WHERE answer.assignment = assignment.id)
        AND ((SELECT role FROM item WHERE item.id = assignment.item) <> 'work'
            OR (SELECT wanted FROM item WHERE item.id = assignment.item) > (SELECT count(*) FROM assignment AS other
                WHERE other.item = assignment.item AND other.state IN ('planned', 'shown', 'answered')))""",
        (attempt,),
    )


def extend(db: sqlite3.Connection, public: str, minutes: float, now: float) -> None:
    """Give a person more time. Raises DataError if nobody has this name, or if the sitting does not go on."""
    row = _sitting(db, public)
    if not is_under_way(row):
        raise DataError(f"{public}: the sitting does not go on; only a sitting that goes on can get more time")
    db.execute("UPDATE attempt SET deadline = deadline + ? WHERE id = ?", (60 * minutes, row["id"]))
    note_event(db, now, "extended", row["id"], {"minutes": minutes})


def forget(db: sqlite3.Connection, public: str, now: float, *, answers: bool) -> None:
    """Delete the platform's ids of a person, their feedback and drafts. With `answers`, what they wrote goes, too.

    Afterwards nothing says who the person was, so the same person could take part again. A sitting that goes on ends.
    Raises DataError if nobody has this name.
    """
    row = _sitting(db, public)
    if row["ended"] is None:
        end(db, row["id"], AttemptState.WITHDRAWN, now)
    person = row["participant"]
    db.execute("DELETE FROM identity WHERE participant = ?", (person,))
    # Whoever knows the secret and guesses an id could still find the person by the key.
    db.execute("UPDATE participant SET key = ? WHERE id = ?", (f"forgotten:{secrets.token_hex(16)}", person))
    db.execute("UPDATE attempt SET session = ? WHERE id = ?", (f"forgotten:{secrets.token_hex(16)}", row["id"]))
    db.execute("DELETE FROM feedback WHERE attempt = ?", (row["id"],))
    db.execute("DELETE FROM draft WHERE assignment IN (SELECT id FROM assignment WHERE attempt = ?)", (row["id"],))
    if answers:
        erase_answers(db, row["id"], now)
    note_event(db, now, "forgotten", row["id"])


def _sitting(db: sqlite3.Connection, public: str) -> sqlite3.Row:
    row = db.execute(
        "SELECT attempt.* FROM attempt JOIN participant ON participant.id = participant WHERE public = ?", (public,)
    ).fetchone()
    if row is None:
        raise DataError(f"{public!r:.100}: nobody has this name; `burnish study status` lists the names, such as p001")
    return row


INVARIANTS = {
    "a question is answered or voided if it has an answer": """SELECT id FROM assignment WHERE state NOT IN
        ('answered', 'voided') AND id IN (SELECT assignment FROM answer)""",
    "an answered question has an answer": """SELECT id FROM assignment WHERE state = 'answered'
        AND id NOT IN (SELECT assignment FROM answer)""",
    "an ended sitting holds nothing": """SELECT assignment.id FROM assignment JOIN attempt ON attempt.id = attempt
        WHERE assignment.state IN ('planned', 'shown')
        AND attempt.state NOT IN ('consented', 'screening', 'working')""",
    "a sitting under way has an open question": """SELECT id FROM attempt WHERE state IN ('consented', 'screening',
        'working') AND id NOT IN (SELECT attempt FROM assignment WHERE state IN ('planned', 'shown'))""",
    "a finished sitting answered everything": """SELECT assignment.id FROM assignment JOIN attempt ON attempt.id =
        attempt WHERE attempt.state = 'finished' AND assignment.state = 'released'""",
    "at most one question is open in front of a person": """SELECT attempt FROM assignment WHERE state = 'shown'
        GROUP BY attempt HAVING count(*) > 1""",
    "no item has more than it wants, except answers after the time": """SELECT item.id FROM item JOIN assignment
        ON assignment.item = item.id JOIN attempt ON attempt.id = attempt WHERE role = 'work' AND assignment.state IN
        ('planned', 'shown', 'answered') AND NOT (assignment.state = 'answered' AND attempt.state = 'timed_out')
        GROUP BY item.id HAVING count(*) > wanted""",
    "an end has a time and a code": """SELECT id FROM attempt WHERE (state IN ('finished', 'screened_out', 'timed_out',
        'withdrawn')) <> (ended IS NOT NULL) OR (ended IS NULL) <> (code IS NULL)""",
    "only comparisons have an order of sides": """SELECT assignment.id FROM assignment, study WHERE
        (kind = 'comparisons') <> (shown IS NOT NULL)""",
    "the orders of a sitting differ by at most 1": """SELECT attempt FROM assignment JOIN item ON item.id = item
        WHERE role IN ('work', 'gold') GROUP BY attempt, role
        HAVING abs(sum(shown = 'ab') - sum(shown = 'ba')) > 1""",
    "screened out means no work was shown": """SELECT assignment.id FROM assignment JOIN attempt ON attempt.id = attempt
        JOIN item ON item.id = item WHERE attempt.state = 'screened_out' AND role <> 'screening'
        AND first_shown IS NOT NULL""",
    "a sitting has as many gold pairs as the study says": """SELECT attempt FROM assignment JOIN item ON item.id = item,
        study WHERE kind = 'comparisons' GROUP BY attempt
        HAVING sum(role = 'gold') <> coalesce(json_extract(max(settings), '$.gold'), 0)""",
}
"""What must hold after every operation: {what: a query that finds rows where it does not}."""


def broken_invariants(db: sqlite3.Connection) -> list[str]:
    """Return what does not hold in a study's file. The list is empty for every file that only burnish wrote."""
    return [what for what, query in INVARIANTS.items() if db.execute(query).fetchone() is not None]
