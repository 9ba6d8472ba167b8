"""What came out of a simulated study beside what was planted in it."""

from __future__ import annotations

import sqlite3
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from simulated_people import Sent, Traits
from simulated_serving import ENDED, LAST, SENT, Ended, LastPlay, Play

from burnish.config.study import StudyKind, StudySettings
from burnish.people.study import reading
from burnish.people.study.agreeing import study_agreement
from burnish.people.study.answering import winner
from burnish.people.study.clock import now_of, speeds_of
from burnish.people.study.managing import broken_invariants
from burnish.people.study.model import AttemptState, ReviewVerdict
from burnish.people.study.reading import SittingRow
from burnish.stats import Interval, wilson
from burnish.store.files import read_rows
from burnish.types import Order

_ANSWERS = """SELECT platform_id AS person, public, item.prompt, item.a, item.b, role, value, shown, seconds, late,
    early, assignment.state FROM answer JOIN assignment ON assignment.id = answer.assignment JOIN item ON item.id = item
    JOIN attempt ON attempt.id = attempt JOIN participant ON participant.id = attempt.participant
    JOIN identity ON identity.participant = participant.id"""
_PEOPLE = "SELECT public, platform_id FROM participant JOIN identity ON identity.participant = participant.id"


def results_of(play: Play) -> dict[str, Any]:
    """Return the numbers of a study."""
    sent = {(one.person, one.prompt): one for one in read_rows(play.study.path / SENT, Sent)}
    visits = read_rows(play.study.path / ENDED, Ended)
    (last,) = read_rows(play.study.path / LAST, LastPlay)
    with play.study.opened_to_read() as db:
        counts, sittings = reading.counts(db, now_of(db)), reading.sittings(db)
        who = {row["public"]: play.person(row["platform_id"]) for row in db.execute(_PEOPLE)}
        rows = db.execute(_ANSWERS).fetchall()
        found: dict[str, Any] = {
            "items": counts.items,
            "answers_wanted": counts.wanted,
            "answers_that_count": counts.answered,
            "clock_speeds": speeds_of(db),
            "people": len(sittings),
            "sittings": dict(Counter(str(one.state) for one in sittings)),
            "rejected": sum(one.verdict is ReviewVerdict.REJECT for one in sittings),
            "planted": _planted(list(who.values())),
            "bots": _bots(sittings, who, rows),
            "seconds": _seconds(rows, sent, reading.rules_of(db)),
            "answers": len(rows),
            "statuses_429": sum(one.too_many for one in visits),
            "statuses_5xx": sum(one.failed for one in visits),
            "last_part": last,
            "broken_invariants": broken_invariants(db),
        }
        if reading.rules_of(db).kind is StudyKind.COMPARISONS:
            leaners = {name for name, one in who.items() if one.lean}
            found |= {"sides": _sides(rows, sent, leaners), "agreement": study_agreement(db).all.as_json()}
    return found


def _planted(people: Sequence[Traits]) -> dict[str, int]:
    return {
        "bots": sum(one.bot for one in people),
        "leave_early": sum(one.leaves_at is not None for one in people),
        "lean_to_the_first": sum(one.lean != 0 for one in people),
    }


def _bots(sittings: Sequence[SittingRow], who: dict[str, Traits], rows: Sequence[sqlite3.Row]) -> dict[str, int]:
    """Return what became of the bots, and how many of their answers count in the end."""
    bots = [one for one in sittings if who[one.public].bot]
    counting = sum(row["role"] == "work" and row["state"] == "answered" and who[row["public"]].bot for row in rows)
    return {
        "screened_out": sum(one.state is AttemptState.SCREENED_OUT for one in bots),
        "rejected": sum(one.verdict is ReviewVerdict.REJECT for one in bots),
        "with_a_flag": sum(one.suspicious > 0 for one in bots),
        "people_who_are_no_bots_rejected": sum(
            one.verdict is ReviewVerdict.REJECT and not who[one.public].bot for one in sittings
        ),
        "answers_that_count": counting,
    }


def _seconds(
    rows: Sequence[sqlite3.Row], sent: dict[tuple[str, str], Sent], rules: StudySettings
) -> dict[str, float | int]:
    """Return how long answers took by the server's clock, and by how much that is more than what people meant."""
    stored = [row["seconds"] for row in rows]
    known = [(row, sent[key]) for row in rows if (key := (row["person"], row["prompt"])) in sent]
    # A fast clock also stretches the time that a request takes.
    more = sorted(row["seconds"] - one.seconds for row, one in known)
    return {
        "median": round(statistics.median(stored), 1),
        "median_meant": round(statistics.median(one.seconds for _, one in known), 1),
        "more_than_meant_median": round(statistics.median(more), 1),
        "more_than_meant_p99": round(more[int(0.99 * (len(more) - 1))], 1),
        "late": sum(row["late"] for row, _ in known),
        "late_as_meant": sum(one.seconds > rules.most_seconds for _, one in known),
        "early": sum(row["early"] for row, _ in known),
        "early_as_meant": sum(one.seconds < rules.least_seconds for _, one in known),
        "compared": len(more),
    }


def _sides(rows: Sequence[sqlite3.Row], sent: dict[tuple[str, str], Sent], leaners: set[str]) -> dict[str, Any]:
    """Return whether the stored choices are those that people meant, and how the sides were dealt with."""
    work = [row for row in rows if row["role"] == "work"]
    known = [(row, sent[key]) for row in work if (key := (row["person"], row["prompt"])) in sent]
    decided = [(row, one) for row, one in known if row["value"]]
    right = sum((row["value"] < 0) == (one.gap > 0) for row, one in decided)
    shares = {True: list[bool](), False: list[bool]()}
    for row in work:
        if row["value"]:
            shares[row["public"] in leaners].append(row["value"] < 0)
    return {
        "compared": len(known),
        "other_than_meant": sum(_stored(row) != _meant(row, one) for row, one in known),
        "better_side_preferred": wilson(right, len(decided)),
        "first_preferred_by_leaners": _share(shares[True]),
        "first_preferred_by_others": _share(shares[False]),
        "shown_in_order_ab": wilson(sum(row["shown"] == "ab" for row in work), len(work)),
    }


def _stored(row: sqlite3.Row) -> str:
    return winner(row["value"], Order(row["shown"]))


def _meant(row: sqlite3.Row, one: Sent) -> str:
    """Return the side that a person meant, "a" or "b" in the pair's own order, from the text that the person saw."""
    if one.towards_first == 0:
        return ""
    return "a" if (one.towards_first > 0) == (one.first == row["a"]) else "b"


def _share(chosen: Sequence[bool]) -> Interval | None:
    return wilson(sum(chosen), len(chosen)) if chosen else None
