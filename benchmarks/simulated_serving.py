"""Serves a study to simulated people until everything is answered, with an administrator who accepts and rejects."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass

import httpx2
from simulated_people import SimulatedPerson, Traits, World, drawn
from study_clients import Server, load_average

from burnish.people.study import reading
from burnish.people.study.clock import now_of
from burnish.people.study.folder import StudyFolder
from burnish.people.study.intake import found_words
from burnish.people.study.model import ENDS, AnswerRow, ItemRole, ReviewVerdict, StudyState
from burnish.people.study.reaching import change
from burnish.report.text import plural
from burnish.store.files import Appender, write_rows

SENT, ENDED, LAST = "sent.jsonl", "ended.jsonl", "play.jsonl"
"""Beside a study: what people meant to say, how they ended, and how long the last part of the simulation took."""
TICK = 0.5
"""Seconds between two looks at the study. At each, one more person may come."""
TICKS_OF_REVIEW = 6
"""The administrator judges the sittings that ended every so many ticks."""
_NUMBER = re.compile(r"s(\d+)")


@dataclass(frozen=True, kw_only=True)
class Play:
    """What is needed to let simulated people work on a study."""

    study: StudyFolder
    world: World
    speed: float
    at_once: int
    seed: int

    def person(self, name: str) -> Traits:
        """Draw a person of this study by name."""
        rules = self.study.rules()
        return drawn(self.world.crowd, name, rules.per_sitting + len(self.study.checks(rules.kind)), self.seed)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one person's visit ended: the last page, and the statuses of the server that should not come."""

    person: str
    end: str
    too_many: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class LastPlay:
    """How long the last part of a simulation took, in seconds, and the load of the machine at its end."""

    seconds: float
    load_average: str


async def played(play: Play) -> None:
    """Serve a study until each item has all of its answers, then close it. A closed study is left alone."""
    with play.study.opened_to_read() as db:
        if reading.counts(db, 0.0).state is StudyState.CLOSED:
            return
        come = [
            int(found[1])
            for (name,) in db.execute("SELECT platform_id FROM identity")
            if (found := _NUMBER.match(name))
        ]
    server, begin = Server(play.study, play.speed), time.monotonic()
    # In a thread, because other studies may be played at the same time.
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    try:
        await asyncio.shield(starting)
        await _until_done(play, server.address, max(come, default=-1) + 1)
        # A closed study is not played again, so everything about its last play is written before.
        last = LastPlay(seconds=round(time.monotonic() - begin, 1), load_average=load_average())
        write_rows(play.study.path / LAST, [last])
        await _changed(play.study, "/state", {"state": "closed"})
    finally:
        # Also if the simulation is stopped while the server starts: no server may be left.
        await starting
        await asyncio.to_thread(server.end, signal.SIGINT)


async def _until_done(play: Play, address: str, number: int) -> None:
    """Let people come one after the other, as long as there is work, and review those who ended."""
    active: set[asyncio.Task[None]] = set()
    sent, ended = (Appender(play.study.path / name) for name in (SENT, ENDED))
    with sent, ended:
        try:
            tick = 0
            while active or not await _reviewed(play.study):
                tick += 1
                if tick % TICKS_OF_REVIEW == 0:
                    await _reviewed(play.study)
                if len(active) < play.at_once and _has_room(play.study):
                    who = play.person(f"s{number}")
                    active.add(asyncio.create_task(_visit(play, who, address, sent, ended)))
                    number += 1
                await asyncio.sleep(TICK)
                over = {task for task in active if task.done()}
                active -= over
                for task in over:
                    task.result()
        finally:
            for task in active:
                task.cancel()


def _has_room(study: StudyFolder) -> bool:
    with study.opened_to_read() as db:
        return reading.counts(db, now_of(db)).free > 0


async def _reviewed(study: StudyFolder) -> bool:
    """Judge the sittings that ended, and say whether each item has all of its answers."""
    with study.opened_to_read() as db:
        counts, waiting = reading.counts(db, now_of(db)), _to_review(db)
    for public, verdict, reason in waiting:
        await _changed(study, f"/people/{public}/review", {"verdict": verdict, "reason": reason})
    # A rejection takes answers away.
    return not waiting and counts.answered - counts.extra >= counts.wanted


async def _visit(play: Play, who: Traits, address: str, sent: Appender, ended: Appender) -> None:
    """Let one person take part, and note how the visit ended."""
    async with httpx2.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
        person = SimulatedPerson(
            who=who, world=play.world, client=client, speed=play.speed, told=lambda one: sent.append([one])
        )
        end = await person.take_part()
    seen = Counter(person.statuses)
    failed = sum(count for status, count in seen.items() if status >= 500)
    ended.append([Ended(person=who.name, end=end, too_many=seen[429], failed=failed)])


async def _changed(study: StudyFolder, path: str, form: dict[str, str]) -> None:
    """Send a form to the administrator's pages of the server."""

    def directly(_: sqlite3.Connection) -> None:
        raise RuntimeError(f"{study.path} is not served")

    await asyncio.to_thread(change, study, path, form, directly)


def _to_review(db: sqlite3.Connection) -> list[tuple[str, ReviewVerdict, str]]:
    """Return the verdict and the reason for each sitting that ended with answers and was not judged."""
    return [
        (one.public, *judged(list(reading.answers(db, one.public))))
        for one in reading.sittings(db)
        if one.state in ENDS and one.verdict is None and one.answered
    ]


def judged(answers: list[AnswerRow]) -> tuple[ReviewVerdict, str]:
    """Return the verdict of the simulated administrator on a sitting, with its reason.

    A sitting is rejected if a check has none of the expected words, or if more than half of the answers came too early.
    """
    missed = [
        one for one in answers if one.role is ItemRole.CHECK and not any(found_words(one.expected, one.text).values())
    ]
    if missed:
        return ReviewVerdict.REJECT, f"{plural(len(missed), 'check')} with none of the expected words"
    if 2 * sum(one.early for one in answers) > len(answers):
        return ReviewVerdict.REJECT, "more than half of the answers came too early"
    return ReviewVerdict.ACCEPT, "simulated"
