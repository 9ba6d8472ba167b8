"""Sittings among one another: places, balance, ends, reviews, deletion."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter, defaultdict

import pytest
from people_at_work import PAIRS, TEXTS, begun, in_memory, pair_items, person, right_reply, worked

from burnish.config.study import ComparisonStudy, DemonstrationStudy
from burnish.errors import DataError
from burnish.people.study.answering import answer, give_feedback, next_question, winner
from burnish.people.study.managing import broken_invariants, create, forget, review, set_state
from burnish.people.study.model import (
    AttemptState,
    Closed,
    NoSuchQuestion,
    ReviewVerdict,
    SentReply,
    StudyState,
)
from burnish.people.study.reading import answers, counts, items, sittings
from burnish.people.study.schema import opened
from burnish.people.study.sittings import arrive, consent, standing, withdraw
from burnish.types import Order


def state_of(db: sqlite3.Connection, session: str) -> tuple[AttemptState, str | None]:
    found = standing(db, session, 0.0)
    return found.state, found.code


# Places


def test_full_is_said_before_work_begins():
    rules = TEXTS.model_copy(update={"per_sitting": 12})
    db = in_memory(rules)
    late = arrive(db, person("late"), 0.0).session
    assert late is not None
    early = begun(db, rules, "early")
    assert arrive(db, person("new"), 0.0).refused is Closed.FULL
    assert consent(db, rules, late, 0.0) is Closed.FULL
    withdraw(db, early, 10.0, erase=False)
    assert consent(db, rules, late, 20.0) is None
    assert counts(db, 20.0).live == 12


def test_paused_and_closed_let_nobody_in_and_stop_nobody():
    db = in_memory(TEXTS)
    session, waiting = begun(db, TEXTS, "ann"), arrive(db, person("bob"), 0.0).session
    assert waiting is not None
    set_state(db, StudyState.PAUSED, 0.0)
    assert arrive(db, person("eve"), 0.0).refused is Closed.PAUSED
    assert consent(db, TEXTS, waiting, 0.0) is Closed.PAUSED
    assert arrive(db, person("ann"), 0.0).session is not None
    set_state(db, StudyState.OPEN, 0.0)
    assert arrive(db, person("eve"), 0.0).session is not None
    set_state(db, StudyState.CLOSED, 0.0)
    assert arrive(db, person("zoe"), 0.0).refused is Closed.CLOSED
    with pytest.raises(DataError, match="closed for good"):
        set_state(db, StudyState.OPEN, 0.0)
    assert session


def study_with_dropouts(count: int, wanted: int, seed: int) -> sqlite3.Connection:
    """Run a study to its end. 30 % of the people stop after a random number of questions, in one of three ways."""
    rules = ComparisonStudy(per_sitting=10, wanted=wanted, minutes=60)
    db = opened(":memory:")
    create(db, rules, pair_items(count, 0), "a test", 0.0)
    chance, now, number = random.Random(seed), 0.0, 0
    while counts(db, now).answered < count * wanted:
        number += 1
        session = arrive(db, person(str(number)), now).session
        if session is None or consent(db, rules, session, now) is not None:
            now += 600  # full: the people who left hold places until their time is over
            continue
        leaves = chance.random() < 0.3
        done = worked(db, rules, session, now, most=chance.randrange(10) if leaves else 1000)
        if leaves and chance.random() < 0.5:
            withdraw(db, session, now, erase=chance.random() < 0.3)
        now += 45 * done
        assert number < 100 * count
    return db


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_every_item_is_answered_as_often_as_wanted_although_people_leave(wanted: int):
    db = study_with_dropouts(60, wanted, seed=wanted)
    assert [one.answered for one in items(db)] == [wanted] * 60
    assert counts(db, 0.0).extra == 0
    assert broken_invariants(db) == []
    # Everybody stays within 1. An item leans by more only where its sitting would have leaned otherwise.
    by_person: defaultdict[str, int] = defaultdict(int)
    for one in answers(db):
        by_person[one.by] += 1 if one.shown is Order.AB else -1
    assert max(abs(lean) for lean in by_person.values()) <= 1
    leaning = [one for one in items(db) if abs(one.shown_ab - one.shown_ba) > 1]
    assert len(leaning) <= 3


@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
def test_without_leavers_every_item_and_person_is_within_one(wanted: int):
    rules = PAIRS.model_copy(update={"wanted": wanted, "per_sitting": 4})
    db = in_memory(rules, 12)
    for number in range(3 * wanted):
        worked(db, rules, begun(db, rules, str(number)), 0.0)
    assert [one.answered for one in items(db)] == [wanted] * 12
    assert all(abs(one.shown_ab - one.shown_ba) <= 1 for one in items(db))


def test_a_person_who_always_clicks_one_side_favours_no_answer():
    rules = PAIRS.model_copy(update={"per_sitting": 40, "wanted": 1, "minutes": 60})
    db = in_memory(rules, 40)
    blind = begun(db, rules, "blind")
    worked(db, rules, blind, 0.0, lambda one: right_reply(one) if one.role == "screening" else SentReply(value=-3))
    won = Counter(winner(one.value or 0, one.shown) for one in answers(db) if one.role == "work" and one.shown)
    assert won == {"a": 20, "b": 20}


@pytest.mark.slow
@pytest.mark.parametrize(("rules", "sittings_needed"), [(DemonstrationStudy(), 67), (ComparisonStudy(), 20)])
def test_a_thousand_items_need_as_many_sittings_as_in_the_paper(
    rules: DemonstrationStudy | ComparisonStudy, sittings_needed: int
):
    db = in_memory(rules, 1000)
    number = 0
    while (session := arrive(db, person(str(number)), 0.0).session) is not None:
        number += 1
        assert consent(db, rules, session, 0.0) is None
        worked(db, rules, session, 0.0)
    assert number == sittings_needed
    found = counts(db, 0.0)
    assert (found.answered, found.free, found.attempts) == (1000, 0, {"finished": sittings_needed})


# Ends


def test_withdrawing_gives_the_rest_back_and_keeps_what_was_answered():
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    worked(db, TEXTS, session, 0.0, most=2)
    question = next_question(db, session, 100.0)
    assert question is not None
    withdraw(db, session, 110.0, erase=False)
    assert state_of(db, session) == (AttemptState.WITHDRAWN, "partial")
    assert (counts(db, 0.0).live, len(list(answers(db)))) == (0, 2)
    assert not answer(db, TEXTS, session, question.token, SentReply(text="late"), 120.0)
    withdraw(db, session, 130.0, erase=True)
    assert list(answers(db)) == []
    assert counts(db, 0.0).free == 12
    assert broken_invariants(db) == []


def test_a_rejected_person_is_replaced_and_the_last_word_counts():
    rules = TEXTS.model_copy(update={"per_sitting": 12})
    db = in_memory(rules)
    session = begun(db, rules, "ann")
    with pytest.raises(DataError, match="p001: the sitting has not ended"):
        review(db, rules, "p001", ReviewVerdict.REJECT, "", 0.0)
    worked(db, rules, session, 0.0)
    review(db, rules, "p001", ReviewVerdict.REJECT, "checks failed", 900.0)
    assert (counts(db, 0.0).answered, counts(db, 0.0).free) == (0, 12)
    two = rules.model_copy(update={"per_sitting": 5})
    worked(db, two, begun(db, two, "bob", 1000.0), 1000.0)
    review(db, rules, "p001", ReviewVerdict.ACCEPT, "the checks were right after all", 2000.0)
    found = counts(db, 0.0)
    # Five items have bob's answer now. Ann's answers to the other seven count again.
    assert (found.answered, found.free, found.extra) == (12, 0, 0)
    assert Counter(one.by for one in answers(db) if one.state == "answered" and one.role == "work") == {
        "p001": 7,
        "p002": 5,
    }
    assert [(row.verdict, row.reason) for row in sittings(db, "p001")] == [
        ("accept", "the checks were right after all")
    ]
    assert broken_invariants(db) == []


def test_a_study_can_keep_the_answers_of_a_rejected_person():
    rules = TEXTS.model_copy(update={"void_rejected": False})
    db = in_memory(rules)
    worked(db, rules, begun(db, rules, "ann"), 0.0)
    review(db, rules, "p001", ReviewVerdict.REJECT, "", 900.0)
    assert counts(db, 0.0).answered == 3


@pytest.mark.parametrize("with_answers", [False, True])
def test_a_forgotten_person_leaves_no_id(with_answers: bool):
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann@example.org")
    worked(db, TEXTS, session, 0.0, most=2)
    give_feedback(db, session, "I am Ann", 100.0)
    key = db.execute("SELECT key FROM participant").fetchone()[0]
    forget(db, "p001", 200.0, answers=with_answers)
    assert len(list(answers(db))) == (0 if with_answers else 2)
    text = "\n".join(db.iterdump())
    assert "ann@example.org" not in text
    assert "I am Ann" not in text
    assert key not in text
    with pytest.raises(NoSuchQuestion):
        standing(db, session, 300.0)
    with pytest.raises(DataError, match="'p009': nobody has this name"):
        forget(db, "p009", 300.0, answers=False)
    assert broken_invariants(db) == []


def test_the_platforms_ids_are_in_one_table_only():
    db = in_memory(TEXTS)
    worked(db, TEXTS, begun(db, TEXTS, "ann@example.org"), 0.0)
    found = [line for line in db.iterdump() if "ann@example.org" in line]
    assert [line.split()[2].strip('"') for line in found] == ["identity"]


def test_what_looks_strange_is_noted_and_decides_nothing():
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    assert worked(db, TEXTS, session, 0.0, lambda _: SentReply(text="pasted", pasted=500, trapped=True)) == 5
    assert state_of(db, session)[0] is AttemptState.FINISHED
    assert sittings(db)[0].suspicious == 5
    detail = json.loads(db.execute("SELECT detail FROM event WHERE kind = 'suspicious'").fetchone()[0])
    assert (detail["pasted"], detail["trapped"]) == (500, True)
