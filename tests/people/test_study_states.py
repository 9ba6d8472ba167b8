"""The state machine of a study: whatever people do, in whatever sequence, the invariants hold after each step."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from people_at_work import PAIRS, TEXTS, in_memory, person

from burnish.config.study import ComparisonStudy, StudySettings
from burnish.errors import DataError
from burnish.people.study.answering import answer, next_question, save_draft
from burnish.people.study.managing import broken_invariants, extend, forget, review, set_state
from burnish.people.study.model import (
    ENDS,
    AttemptState,
    NoSuchQuestion,
    ReviewVerdict,
    SentReply,
    ShownQuestion,
    StudyState,
)
from burnish.people.study.reading import counts
from burnish.people.study.sittings import GRACE, arrive, consent, standing, sweep, withdraw

PEOPLE = st.integers(0, 5)


class StudyMachine(RuleBasedStateMachine):
    """Up to six people at a small study. Each may have old sessions (a lost cookie) and old questions (another tab)."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sessions: dict[int, str] = {}
        self.old_sessions: list[str] = []
        self.tabs: dict[int, list[ShownQuestion]] = {}
        self.kept: dict[str, tuple[Any, ...]] = {}
        self.erased = False

    @initialize(
        comparisons=st.booleans(),
        wanted=st.integers(1, 3),
        tries=st.integers(1, 3),
        items=st.integers(3, 9),
        gold=st.integers(0, 3),
        more_gold=st.integers(0, 2),
    )
    def make(self, comparisons: bool, wanted: int, tries: int, items: int, gold: int, more_gold: int) -> None:
        rules = PAIRS.model_copy(update={"screening_tries": tries, "gold": gold}) if comparisons else TEXTS
        self.study: StudySettings = rules.model_copy(update={"wanted": wanted})
        self.db = in_memory(self.study, items, gold + more_gold)

    @rule(who=PEOPLE)
    def come(self, who: int) -> None:
        arrival = arrive(self.db, person(str(who)), self.now)
        assert (arrival.session is None) == (arrival.refused is not None)
        if who in self.sessions:
            assert arrival.session is not None
            self.old_sessions.append(self.sessions[who])
        if arrival.session is not None:
            self.sessions[who] = arrival.session

    @rule(who=PEOPLE)
    def agree(self, who: int) -> None:
        if who in self.sessions:
            consent(self.db, self.study, self.sessions[who], self.now)

    @rule(who=PEOPLE)
    def look(self, who: int) -> None:
        if who in self.sessions and (found := next_question(self.db, self.sessions[who], self.now)) is not None:
            self.tabs.setdefault(who, []).append(found)

    @rule(who=PEOPLE, seconds=st.integers(1, 200), good=st.booleans())
    def work(self, who: int, seconds: int, good: bool) -> None:
        """Look at the open question and answer it."""
        self.look(who)
        self.now += seconds
        if self.tabs.get(who):
            self._answer(who, self.tabs[who][-1], good)

    @rule(who=PEOPLE, which=st.integers(0, 20))
    def answer_in_an_old_tab(self, who: int, which: int) -> None:
        if tabs := self.tabs.get(who):
            self._answer(who, tabs[which % len(tabs)], good=True)

    def _answer(self, who: int, question: ShownQuestion, good: bool) -> None:
        before = self.kept.get(question.token)
        text = SentReply(text="an answer")
        pair = SentReply(value=-2 if (question.first == "right") == good else 2)
        reply = pair if isinstance(self.study, ComparisonStudy) else text
        new = answer(self.db, self.study, self.sessions[who], question.token, reply, self.now)
        assert not (new and before), "a second answer was taken"
        if new:
            self.kept[question.token] = self._answer_row(question.token)

    def _answer_row(self, token: str) -> tuple[Any, ...]:
        row = self.db.execute(
            "SELECT answer.* FROM answer JOIN assignment ON assignment.id = assignment WHERE token = ?", (token,)
        ).fetchone()
        assert row is not None
        return tuple(row)

    @rule(who=PEOPLE)
    def type_something(self, who: int) -> None:
        if self.tabs.get(who):
            save_draft(self.db, self.sessions[who], self.tabs[who][-1].token, "half a", self.now)

    @rule(seconds=st.sampled_from([1, 30, 300, 660, 2000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def clean(self) -> None:
        sweep(self.db, self.now)
        left = self.db.execute(
            "SELECT count(*) FROM attempt WHERE ended IS NULL AND deadline < ?", (self.now - GRACE,)
        ).fetchone()[0]
        assert left == 0

    @rule(who=PEOPLE, erase=st.booleans())
    def stop(self, who: int, erase: bool) -> None:
        if who in self.sessions:
            withdraw(self.db, self.sessions[who], self.now, erase=erase)
            self.erased |= erase
            assert standing(self.db, self.sessions[who], self.now).state in ENDS

    @rule(number=st.integers(1, 6), verdict=st.sampled_from(ReviewVerdict))
    def judge(self, number: int, verdict: ReviewVerdict) -> None:
        try:
            review(self.db, self.study, f"p{number:03d}", verdict, "because", self.now)
        except DataError:
            return

    @rule(number=st.integers(1, 6))
    def give_time(self, number: int) -> None:
        try:
            extend(self.db, f"p{number:03d}", 5, self.now)
        except DataError:
            return

    @rule(number=st.integers(1, 6), answers=st.booleans())
    def forget_somebody(self, number: int, answers: bool) -> None:
        try:
            forget(self.db, f"p{number:03d}", self.now, answers=answers)
        except DataError:
            return
        self.erased |= answers
        # One session ended with it. This person may come again and is somebody new then.
        for who, session in list(self.sessions.items()):
            try:
                standing(self.db, session, self.now)
            except NoSuchQuestion:
                self.old_sessions.append(self.sessions.pop(who))
                self.tabs.pop(who, None)

    @rule(state=st.sampled_from([StudyState.OPEN, StudyState.PAUSED]))
    def open_or_pause(self, state: StudyState) -> None:
        set_state(self.db, state, self.now)

    @invariant()
    def it_holds(self) -> None:
        if not hasattr(self, "db"):
            return
        assert broken_invariants(self.db) == []
        numbers = counts(self.db, self.now)
        assert numbers.free + numbers.live + numbers.answered - numbers.extra >= numbers.wanted
        assert numbers.extra == 0 or AttemptState.TIMED_OUT in numbers.attempts

    @invariant()
    def answers_stay_as_they_are(self) -> None:
        if not self.erased:
            for token, row in self.kept.items():
                assert self._answer_row(token) == row

    @invariant()
    def old_sessions_are_over(self) -> None:
        for session in self.old_sessions[-3:]:
            with pytest.raises(NoSuchQuestion):
                standing(self.db, session, self.now)

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()


TOGETHER = 250
"""Hypothesis remembers every step of the traces of one call, about 120 KB a trace. So many traces are run in parts."""


def check_traces(count: int, steps: int) -> None:
    for done in range(0, count, TOGETHER):
        part = settings(
            max_examples=min(TOGETHER, count - done),
            stateful_step_count=steps,
            # A busy machine is no failure.
            suppress_health_check=[HealthCheck.too_slow],
        )
        # Each call draws a seed of its own, so that no part repeats another.
        run_state_machine_as_test(StudyMachine, settings=part)


# Not marked slow: it is the one test that sees whether the rules of a study fit together.
def test_the_invariants_hold_in_a_few_traces():
    check_traces(15, 30)


@pytest.mark.slow
def test_the_invariants_hold_in_many_traces():
    # BURNISH_TRACES=10000 takes about three minutes of one core, and no more memory than 300.
    check_traces(int(os.environ.get("BURNISH_TRACES", "300")), 50)
