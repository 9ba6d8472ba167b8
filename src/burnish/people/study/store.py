"""The storage of a study behind named operations. Everything above it knows these names and no SQL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from burnish.config.study import StudySettings
from burnish.people.study import answering, managing, reading, sittings
from burnish.people.study.model import (
    Arrival,
    Closed,
    ReviewVerdict,
    SentReply,
    ShownQuestion,
    Standing,
    StudyCounts,
    StudyItem,
    StudyState,
    Visitor,
)
from burnish.people.study.writer import GroupWriter

T = TypeVar("T")


class StudyStore:
    """The operations of a study. Each returns a future that is answered after its commit.

    A future raises what the operation raises: NoSuchQuestion, DataError, or NotStored if the file cannot be written.
    """

    def __init__(self, db: sqlite3.Connection, rules: StudySettings, clock: Callable[[], float] = time.time) -> None:
        self.rules, self.clock = rules, clock
        self.writer = GroupWriter(db)

    def close(self) -> None:
        """Finish the operations that wait, and close the file."""
        self.writer.close()

    def _do(self, operation: Callable[[sqlite3.Connection, float], T], *, cleans: bool = False) -> Future[T]:
        """Queue an operation. Its time is that of the call, so that a busy disk costs nobody seconds.

        `cleans` removes what the operation deletes from the disk, too.
        """
        now = self.clock()

        def run(db: sqlite3.Connection) -> T:
            self.writer.clean_log |= cleans
            return operation(db, now)

        return self.writer.submit(run)

    def arrive(self, visitor: Visitor) -> Future[Arrival]:
        """Open a sitting, or a new session of the sitting that this person has."""
        return self._do(lambda db, now: sittings.arrive(db, visitor, now))

    def standing(self, session: str) -> Future[Standing]:
        """Say where a person is."""
        return self._do(lambda db, now: sittings.standing(db, session, now))

    def nobody_new(self) -> Future[Closed | None]:
        """Say why nobody new can begin now, or None if somebody can."""
        return self._do(lambda db, _: sittings.nobody_new(db))

    def consent(self, session: str) -> Future[Closed | None]:
        """Plan the sitting of a person who agrees to take part."""
        return self._do(lambda db, now: sittings.consent(db, self.rules, session, now))

    def next_question(self, session: str) -> Future[ShownQuestion | None]:
        """Return the open question of a person."""
        return self._do(lambda db, now: answering.next_question(db, session, now))

    def save_draft(self, session: str, token: str, text: str) -> Future[None]:
        """Keep a text that is not yet sent."""
        return self._do(lambda db, now: answering.save_draft(db, session, token, text, now))

    def answer(self, session: str, token: str, reply: SentReply) -> Future[bool]:
        """Keep an answer, and say whether it is the first one to its question."""
        return self._do(lambda db, now: answering.answer(db, self.rules, session, token, reply, now))

    def give_feedback(self, session: str, text: str) -> Future[None]:
        """Keep what a person says about the study."""
        return self._do(lambda db, now: answering.give_feedback(db, session, text, now))

    def withdraw(self, session: str, *, erase: bool) -> Future[None]:
        """End a sitting because the person wants to stop."""
        return self._do(lambda db, now: sittings.withdraw(db, session, now, erase=erase), cleans=erase)

    def sweep(self) -> Future[int]:
        """End the sittings whose time ran out."""
        return self._do(sittings.sweep)

    def review(self, public: str, verdict: ReviewVerdict, reason: str) -> Future[None]:
        """Accept or reject a sitting."""
        return self._do(lambda db, now: managing.review(db, self.rules, public, verdict, reason, now))

    def extend(self, public: str, minutes: float) -> Future[None]:
        """Give a person more time."""
        return self._do(lambda db, now: managing.extend(db, public, minutes, now))

    def forget(self, public: str, *, answers: bool) -> Future[None]:
        """Delete what says who a person was."""
        return self._do(lambda db, now: managing.forget(db, public, now, answers=answers), cleans=True)

    def set_state(self, state: StudyState) -> Future[None]:
        """Open, pause or close the study for new people."""
        return self._do(lambda db, now: managing.set_state(db, state, now))

    def renew(self, checks: Sequence[StudyItem]) -> Future[bool]:
        """Take over edited settings and check questions, as long as nobody has arrived."""
        return self._do(lambda db, now: managing.renew(db, self.rules, checks, now))

    def counts(self) -> Future[StudyCounts]:
        """Return the numbers of the study."""
        return self._do(reading.counts)
