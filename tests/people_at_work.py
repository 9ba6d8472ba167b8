"""People of tests at work in a study: small studies, and people who go through them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from burnish.config.study import ComparisonStudy, DemonstrationStudy, StudySettings
from burnish.people.study.answering import answer, next_question
from burnish.people.study.managing import create
from burnish.people.study.model import ItemRole, SentReply, ShownQuestion, StudyItem, Visitor
from burnish.people.study.schema import opened
from burnish.people.study.sittings import arrive, consent

PAIRS = ComparisonStudy(per_sitting=4, wanted=2, minutes=10, screening_tries=2)
TEXTS = DemonstrationStudy(per_sitting=3, minutes=10)


def pair_items(count: int, screening: int = 2, gold: int = 0) -> list[StudyItem]:
    work = [
        StudyItem(name=f"w{number}", role=ItemRole.WORK, prompt=f"prompt {number}", a=f"a{number}", b=f"b{number}")
        for number in range(count)
    ]
    roles = [(ItemRole.SCREENING, number) for number in range(screening)]
    roles += [(ItemRole.GOLD, number) for number in range(gold)]
    return work + [
        StudyItem(name=f"{role}-{number}", role=role, prompt="which?", a="right", b="wrong", expected="a")
        for role, number in roles
    ]


def text_items(count: int, checks: int = 2) -> list[StudyItem]:
    work = [StudyItem(name=f"w{number}", role=ItemRole.WORK, prompt=f"prompt {number}") for number in range(count)]
    return work + [
        StudyItem(name=f"c{number}", role=ItemRole.CHECK, prompt=f"check {number}", expected="three")
        for number in range(checks)
    ]


def in_memory(rules: StudySettings, count: int = 12, gold: int = 0) -> sqlite3.Connection:
    """Return a new study in memory. `gold` is the number of gold pairs in a study of comparisons."""
    db = opened(":memory:")
    items = pair_items(count, gold=gold) if isinstance(rules, ComparisonStudy) else text_items(count)
    create(db, rules, items, "a test", 0.0)
    return db


def person(name: str) -> Visitor:
    return Visitor(platform="link", id=name)


def begun(db: sqlite3.Connection, rules: StudySettings, name: str, now: float = 0.0) -> str:
    """Let a person arrive and consent. Returns the session."""
    session = arrive(db, person(name), now).session
    assert session is not None
    assert consent(db, rules, session, now) is None
    return session


def right_reply(question: ShownQuestion) -> SentReply:
    """Return the reply of a person who passes the screening, and who writes texts where no pair is shown."""
    if not question.second:
        return SentReply(text="three")
    return SentReply(value=-2 if question.first == "right" else 2)


def wrong_reply(question: ShownQuestion) -> SentReply:
    """Return the reply of a person who prefers the other answer."""
    reply = right_reply(question)
    return SentReply(value=-(reply.value or 0))


def worked(
    db: sqlite3.Connection,
    rules: StudySettings,
    session: str,
    now: float,
    reply: Callable[[ShownQuestion], SentReply] = right_reply,
    most: int = 1000,
) -> int:
    """Let a person answer at most so many questions, 45 seconds each. Returns how many were answered."""
    count = 0
    while count < most and (question := next_question(db, session, now)) is not None:
        now += 45
        assert answer(db, rules, session, question.token, reply(question), now)
        count += 1
    return count
