"""Sittings from arrival to end: planning, screening, times, reviews, deletion."""

from __future__ import annotations

import sqlite3
from collections import Counter

import pytest
from people_at_work import PAIRS, TEXTS, begun, in_memory, pair_items, person, worked, wrong_reply

from burnish.config.study import ComparisonStudy
from burnish.errors import DataError
from burnish.people.study.answering import LONGEST, answer, next_question, save_draft, winner
from burnish.people.study.managing import broken_invariants, create, extend, renew
from burnish.people.study.model import (
    AttemptState,
    NoSuchQuestion,
    SentReply,
    ShownQuestion,
)
from burnish.people.study.reading import answers, counts, sittings
from burnish.people.study.schema import opened
from burnish.people.study.sittings import GRACE, arrive, standing, sweep, withdraw
from burnish.types import Order


def state_of(db: sqlite3.Connection, session: str) -> tuple[AttemptState, str | None]:
    found = standing(db, session, 0.0)
    return found.state, found.code


# The way through


def test_a_sitting_of_comparisons():
    db = in_memory(PAIRS)
    session = begun(db, PAIRS, "ann")
    assert state_of(db, session) == (AttemptState.CONSENTED, None)
    first = next_question(db, session, 0.0)
    assert first is not None
    assert (first.role, first.number, first.of, first.again) == ("screening", 1, 2, False)
    assert state_of(db, session)[0] is AttemptState.SCREENING
    assert worked(db, PAIRS, session, 0.0, most=2) == 2
    question = next_question(db, session, 90.0)
    assert question is not None
    assert (question.role, question.number, question.of) == ("work", 1, 4)
    assert state_of(db, session)[0] is AttemptState.WORKING
    assert worked(db, PAIRS, session, 90.0) == 4
    assert state_of(db, session) == (AttemptState.FINISHED, "complete")
    assert next_question(db, session, 300.0) is None


def test_a_sitting_of_demonstrations_has_its_checks_among_the_work():
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    assert worked(db, TEXTS, session, 0.0) == 3 + 2
    assert state_of(db, session) == (AttemptState.FINISHED, "complete")
    assert Counter(one.role for one in answers(db)) == {"work": 3, "check": 2}


def test_the_first_answer_stands():
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    question = next_question(db, session, 0.0)
    assert question is not None
    assert answer(db, TEXTS, session, question.token, SentReply(text="first"), 70.0)
    assert not answer(db, TEXTS, session, question.token, SentReply(text="second"), 80.0)
    assert [one.text for one in answers(db)] == ["first"]


def test_the_same_link_comes_back_to_the_open_question_and_ends_the_old_session():
    db = in_memory(TEXTS)
    old = begun(db, TEXTS, "ann")
    question = next_question(db, old, 0.0)
    assert question is not None
    save_draft(db, old, question.token, "half a sen", 20.0)
    new = arrive(db, person("ann"), 30.0).session
    assert new is not None
    again = next_question(db, new, 40.0)
    assert again is not None
    assert (again.token, again.draft, again.elapsed) == (question.token, "half a sen", 40.0)
    with pytest.raises(NoSuchQuestion):
        next_question(db, old, 50.0)
    assert [row.public for row in sittings(db)] == ["p001"]


def test_people_of_two_platforms_with_one_id_are_two_people():
    db = in_memory(TEXTS)
    begun(db, TEXTS, "ann")
    other = arrive(db, person("ann").__class__(platform="prolific", id="ann"), 0.0)
    assert other.session is not None
    assert [row.public for row in sittings(db)] == ["p001", "p002"]


def test_a_foreign_token_is_no_question():
    db = in_memory(TEXTS)
    one, two = begun(db, TEXTS, "ann"), begun(db, TEXTS, "bob")
    question = next_question(db, one, 0.0)
    assert question is not None
    for call in (
        lambda: answer(db, TEXTS, two, question.token, SentReply(text="mine"), 70.0),
        lambda: save_draft(db, two, question.token, "mine", 70.0),
        lambda: answer(db, TEXTS, "unknown", question.token, SentReply(text="mine"), 70.0),
    ):
        with pytest.raises(NoSuchQuestion):
            call()


def test_a_question_that_was_not_shown_yet_cannot_be_answered():
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    token = db.execute("SELECT token FROM assignment ORDER BY position LIMIT 1").fetchone()[0]
    with pytest.raises(NoSuchQuestion):
        answer(db, TEXTS, session, token, SentReply(text="early"), 70.0)


# Screening


def test_who_fails_the_screening_has_as_many_tries_as_the_study_says():
    db = in_memory(PAIRS)
    session = begun(db, PAIRS, "ann")
    firsts = _screening(db)
    assert worked(db, PAIRS, session, 0.0, wrong_reply, most=2) == 2
    again = next_question(db, session, 100.0)
    assert again is not None
    assert (again.role, again.again, again.number, again.of) == ("screening", True, 1, 2)
    # Each pair is shown the other way round, so that the same clicks do not pass by chance.
    assert sorted(_screening(db)[2:]) == sorted(_other(order) for order in firsts)
    assert worked(db, PAIRS, session, 100.0, wrong_reply) == 2
    assert state_of(db, session) == (AttemptState.SCREENED_OUT, "screened_out")
    assert counts(db, 0.0).live == 0
    assert broken_invariants(db) == []


def test_the_second_try_lets_a_person_in():
    db = in_memory(PAIRS)
    session = begun(db, PAIRS, "ann")
    worked(db, PAIRS, session, 0.0, wrong_reply, most=2)
    assert worked(db, PAIRS, session, 100.0) == 2 + 4
    assert state_of(db, session) == (AttemptState.FINISHED, "complete")


def test_alike_is_no_right_answer_to_a_screening_pair():
    rules = PAIRS.model_copy(update={"screening_tries": 1})
    db = in_memory(rules)
    session = begun(db, rules, "ann")
    worked(db, rules, session, 0.0, lambda _: SentReply(value=0))
    assert state_of(db, session)[0] is AttemptState.SCREENED_OUT


@pytest.mark.parametrize(
    ("value", "shown", "expected"),
    [(-3, Order.AB, "a"), (1, Order.AB, "b"), (-1, Order.BA, "b"), (3, Order.BA, "a"), (0, Order.AB, "")],
)
def test_a_value_names_the_winner(value: int, shown: Order, expected: str):
    assert winner(value, shown) == expected


def _screening(db: sqlite3.Connection) -> list[str]:
    """Return the orders in which the screening pairs are shown."""
    return [
        row[0]
        for row in db.execute(
            "SELECT shown FROM assignment JOIN item ON item.id = item WHERE role = 'screening' ORDER BY position"
        )
    ]


def _other(order: str) -> str:
    return {"ab": "ba", "ba": "ab"}[order]


# Times


@pytest.mark.parametrize(
    ("seconds", "early", "late"), [(59.9, True, False), (60, False, False), (120, False, False), (120.1, False, True)]
)
def test_early_and_late_are_flagged_and_kept(seconds: float, early: bool, late: bool):
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    question = next_question(db, session, 5.0)
    assert question is not None
    next_question(db, session, 50.0)  # a reload does not reset the clock
    answer(db, TEXTS, session, question.token, SentReply(text="an answer"), 5.0 + seconds)
    (one,) = answers(db)
    assert (one.early, one.late) == (early, late)
    assert one.seconds == pytest.approx(seconds)


def test_when_the_time_is_over_the_rest_goes_back_and_the_last_answer_is_kept():
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    worked(db, TEXTS, session, 0.0, most=1)
    question = next_question(db, session, 550.0)
    assert question is not None
    save_draft(db, session, question.token, "half a sen", 590.0)
    assert sweep(db, 600.0 + GRACE) == 0
    assert sweep(db, 600.1 + GRACE) == 1
    assert state_of(db, session) == (AttemptState.TIMED_OUT, "partial")
    assert counts(db, 0.0).live == 0
    assert db.execute("SELECT text FROM draft").fetchone()[0] == "half a sen"
    assert answer(db, TEXTS, session, question.token, SentReply(text="late"), 700.0)
    assert [(one.text, one.late, one.state) for one in answers(db)][-1] == ("late", True, "answered")
    assert not answer(db, TEXTS, session, question.token, SentReply(text="again"), 710.0)
    assert broken_invariants(db) == []


def test_an_answer_to_an_item_that_was_given_away_is_extra():
    rules = TEXTS.model_copy(update={"per_sitting": 1})
    db = in_memory(rules, 1)
    slow = begun(db, rules, "slow")
    question = _skip_checks(db, slow)
    sweep(db, 5000.0)
    quick = begun(db, rules, "quick", 5000.0)
    worked(db, rules, quick, 5000.0)
    assert (counts(db, 0.0).answered, counts(db, 0.0).extra) == (1, 0)
    assert answer(db, rules, slow, question.token, SentReply(text="late"), 6000.0)
    found = counts(db, 0.0)
    assert (found.answered, found.extra, found.free) == (2, 1, 0)
    assert broken_invariants(db) == []


def _skip_checks(db: sqlite3.Connection, session: str) -> ShownQuestion:
    while True:
        question = next_question(db, session, 0.0)
        assert question is not None
        if question.role == "work":
            return question
        answer(db, TEXTS, session, question.token, SentReply(text="three"), 0.0)


def test_a_minute_after_the_time_still_counts_so_that_the_last_answer_is_not_lost():
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    assert worked(db, TEXTS, session, 0.0, most=4) == 4
    question = next_question(db, session, 590.0)
    assert question is not None
    assert answer(db, TEXTS, session, question.token, SentReply(text="late"), 630.0)
    assert state_of(db, session) == (AttemptState.FINISHED, "complete")
    assert [one.late for one in answers(db)][-1]


def test_more_time():
    db = in_memory(TEXTS)
    session = begun(db, TEXTS, "ann")
    extend(db, "p001", 10, 0.0)
    assert sweep(db, 1000.0) == 0
    assert standing(db, session, 600.0).seconds_left == 600
    withdraw(db, session, 700.0, erase=False)
    with pytest.raises(DataError, match="p001: the sitting does not go on"):
        extend(db, "p001", 10, 800.0)


# Settings and bad input


def test_settings_can_change_until_the_first_person_arrives():
    db = in_memory(PAIRS)
    new = PAIRS.model_copy(update={"wanted": 3})
    checks = pair_items(0, 2)
    assert not renew(db, PAIRS, checks, 0.0)
    assert renew(db, new, checks, 0.0)
    assert counts(db, 0.0).wanted == 36
    assert renew(db, new, checks[:1], 0.0)
    with pytest.raises(DataError, match="kind: is demonstrations now, but the items are for comparisons"):
        renew(db, TEXTS, [], 0.0)
    arrive(db, person("ann"), 0.0)
    assert not renew(db, new, checks[:1], 0.0)
    for rules, pairs in ((PAIRS, checks[:1]), (new, checks)):
        with pytest.raises(DataError, match="changed after the first person arrived"):
            renew(db, rules, pairs, 0.0)


@pytest.mark.parametrize(
    ("rules", "reply", "words"),
    [
        (TEXTS, SentReply(text="  \n"), "text: is empty"),
        (TEXTS, SentReply(text="x" * (LONGEST + 1)), "at most 20,000"),
        (TEXTS, SentReply(text="x", value=1), "text: is empty"),
        (PAIRS, SentReply(), "value: None is no point of the scale; choose one of its 7 points"),
        (PAIRS, SentReply(value=4), "value: 4 is no point"),
        (PAIRS, SentReply(value=1, note="x" * (LONGEST + 1)), "at most 20,000"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(rules: ComparisonStudy, reply: SentReply, words: str):
    db = in_memory(rules)
    session = begun(db, rules, "ann")
    question = next_question(db, session, 0.0)
    assert question is not None
    with pytest.raises(DataError, match=words):
        answer(db, rules, session, question.token, reply, 70.0)
    assert list(answers(db)) == []


def test_a_study_needs_work():
    with pytest.raises(DataError, match="no items for people to work on"):
        create(opened(":memory:"), PAIRS, pair_items(0), "a test", 0.0)
