"""The pages of a study, one behaviour at a time, in one process."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from study_pages import (
    COMPARISONS,
    DEMONSTRATIONS,
    Browser,
    ReadPage,
    Served,
    in_process,
    made_study,
    right_choice,
)

from burnish.people.study.answering import LONGEST
from burnish.people.study.model import StudyState
from burnish.people.study.reading import answers


@pytest.fixture
def texts(tmp_path: Path) -> Generator[Served]:
    with in_process(made_study(tmp_path, DEMONSTRATIONS)) as one:
        yield one


@pytest.fixture
def pairs(tmp_path: Path) -> Generator[Served]:
    with in_process(made_study(tmp_path, COMPARISONS, "screening_tries: 2\n")) as one:
        yield one


def written(served: Served) -> list[str]:
    with served.study.opened_to_read() as db:
        return [one.text for one in answers(db)]


def finished(served: Served, name: str) -> tuple[Browser, ReadPage]:
    browser, page = served.begun(name)
    while browser.path == "/task":
        page = browser.send(page, **(right_choice(page) if "Answer 1" in page.text else {"text": "An answer."}))
    return browser, page


# Arriving


def test_the_ids_leave_the_address_at_once(texts: Served):
    client = texts.browser().client
    reply = client.get("/start?participant=ann%40example.org", follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (303, "/task")
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert "ann" not in cookie
    assert "Secure" not in cookie  # plain HTTP on loopback


@pytest.mark.parametrize(
    ("platform", "link"),
    [
        ("prolific", "PROLIFIC_PID=abc&STUDY_ID=s1&SESSION_ID=x1"),
        ("connect", "participantId=abc&assignmentId=s1&projectId=x1"),
        ("link", "participant=abc"),
    ],
)
def test_the_ids_of_each_platform(tmp_path: Path, platform: str, link: str):
    with in_process(made_study(tmp_path, DEMONSTRATIONS, f"platform: {platform}\n")) as served:
        browser = served.browser()
        browser.get(f"/start?{link}")
        assert browser.path == "/welcome"
        with served.study.opened_to_read() as db:
            found = tuple(db.execute("SELECT platform, platform_id, study_id, session_id FROM identity").fetchone())
    assert found == ((platform, "abc", "", "") if platform == "link" else (platform, "abc", "s1", "x1"))


@pytest.mark.parametrize(
    "link", ["", "participant=", "participant=%20", "PROLIFIC_PID=abc", "participant=" + "x" * 201]
)
def test_a_link_without_an_id_lets_nobody_in(texts: Served, link: str):
    browser = texts.browser()
    page = browser.get(f"/start?{link}")
    assert (browser.status, "This link is not complete" in page.text) == (400, True)


def test_the_same_link_resumes_and_the_old_session_ends(texts: Served):
    old, page = texts.begun("ann")
    token = page.forms[0].action
    new = texts.browser()
    page = new.get("/start?participant=ann")
    assert page.forms[0].action == token
    old.get("/task")
    assert old.status == 404
    assert "Question 2" in new.send(page, text="An answer.").text


def test_after_the_end_the_same_link_shows_the_code_and_nothing_else(texts: Served):
    _, page = finished(texts, "ann")
    again = texts.browser()
    page = again.get("/start?participant=ann")
    assert again.path == "/feedback"
    page = again.send(page, text="")
    assert "Your code" in page.text
    again.get("/task")
    assert again.path == "/feedback"


def test_full_paused_and_closed_have_words_of_their_own(tmp_path: Path):
    with in_process(
        made_study(
            tmp_path,
            DEMONSTRATIONS,
        )
    ) as served:
        waiting = served.browser()
        page = waiting.get("/start?participant=late")
        for name in "abc":
            served.begun(name)
        new = served.browser()
        assert "All places are taken" in new.get("/start?participant=new").text
        assert "All places are taken" in waiting.send(page).text
        for state, words in ((StudyState.PAUSED, "is paused"), (StudyState.CLOSED, "is closed")):
            served.store.set_state(state).result()
            assert words in new.get("/start?participant=new").text


# Working


def test_the_first_answer_stands_and_a_second_one_goes_on(texts: Served):
    browser, page = texts.begun("ann")
    second = browser.send(page, text="First.")
    again = browser.send(page, text="Second, from another tab.")
    assert (browser.status, again.text) == (200, second.text)
    assert written(texts) == ["First."]


def test_a_draft_is_kept_without_a_script(texts: Served):
    browser, page = texts.begun("ann")
    draft = page.forms[0].action.replace("/task/", "/draft/")
    page = browser.post(draft, {"text": "\nHalf a <sen"})
    assert browser.path == "/task"
    assert page.forms[0].fields["text"] == "\nHalf a <sen"
    assert written(texts) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "Please write an answer"), (" \n", "Please write an answer"), ("x" * (LONGEST + 1), "20000")],
)
def test_an_answer_that_does_not_fit_comes_back_in_the_form(texts: Served, text: str, words: str):
    browser, page = texts.begun("ann")
    page = browser.send(page, text=text)
    assert browser.status == 422
    assert words in page.text
    assert page.forms[0].fields["text"] == text


@pytest.mark.parametrize("value", ["", "4", "-4", "x", "1.5", "99999999999", "²", "--1"])
def test_a_choice_that_is_no_point_comes_back_with_the_note(pairs: Served, value: str):
    browser, page = pairs.begun("ann")
    page = browser.send(page, value=value, note="because")
    assert browser.status == 422
    assert "Please choose a point" in page.text
    assert page.forms[0].fields["note"] == "because"


def test_the_scale_has_a_label_for_each_point(pairs: Served):
    _, page = pairs.begun("ann")
    for words in (
        "Answer 1 is better, confidence 3 of 3",
        "Both are alike",
        "Answer 2 is better, confidence 1 of 3",
    ):
        assert words in page.text
    assert sum(tag == "input" and "value" in names for tag, names in page.tags) == 7


def test_who_fails_the_screening_is_told_and_tries_again(pairs: Served):
    browser, page = pairs.begun("ann")
    for _ in range(3):
        page = browser.send(page, value="0")
    assert "Screening question 1 of 3" in page.text
    assert "You have another try" in page.text
    for _ in range(3):
        page = browser.send(page, value="0")
    assert browser.path == "/ended"
    assert "you cannot take part" in page.text
    assert str(pairs.store.rules.codes.screened_out.code) in page.text
    browser.get("/done")
    assert browser.path == "/ended"


def test_no_reply_precedes_its_commit(texts: Served, monkeypatch: pytest.MonkeyPatch):
    browser, page = texts.begun("ann")
    at_commit, may_commit, commit = threading.Event(), threading.Event(), texts.store.writer.commit

    def held() -> None:
        at_commit.set()
        may_commit.wait(30)
        commit()

    monkeypatch.setattr(texts.store.writer, "commit", held)
    thread = threading.Thread(target=browser.post, args=(page.forms[0].action, {"text": "An answer."}, False))
    before = browser.last
    thread.start()
    assert at_commit.wait(30)
    thread.join(0.2)
    assert thread.is_alive()
    assert browser.last is before
    assert written(texts) == []
    may_commit.set()
    thread.join(30)
    assert browser.status == 303
    assert written(texts) == ["An answer."]


@pytest.mark.parametrize("also_reading", [False, True])
def test_on_a_full_disk_the_text_is_still_in_the_form(
    texts: Served, monkeypatch: pytest.MonkeyPatch, also_reading: bool
):
    browser, page = texts.begun("ann")
    commit, calls = texts.store.writer.commit, list[int]()

    def full() -> None:
        calls.append(1)
        if also_reading or len(calls) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        commit()

    with monkeypatch.context() as patch:
        patch.setattr(texts.store.writer, "commit", full)
        again = browser.send(page, text="My <b>long</b> text")
    assert browser.status == 503
    assert "could not be saved" in again.text
    assert again.forms[0].fields["text"] == "My <b>long</b> text"
    assert again.forms[0].action == page.forms[0].action
    browser.send(again)
    assert written(texts) == ["My <b>long</b> text"]


def test_what_looks_like_a_program_is_kept_and_flagged(texts: Served):
    browser, page = texts.begun("ann")
    browser.send(page, text="An answer.", website="http://spam.example", pasted="120")
    with texts.study.opened_to_read() as db:
        assert "suspicious" in [row[0] for row in db.execute("SELECT kind FROM event")]
    assert written(texts) == ["An answer."]


# Ending


@pytest.mark.parametrize("erase", [False, True])
def test_withdrawing(texts: Served, erase: bool):
    browser, page = texts.begun("ann")
    browser.send(page, text="An answer.")
    page = browser.get("/withdraw")
    page = browser.send(page, **({"erase": "yes"} if erase else {}))
    assert browser.path == "/ended"
    assert str(texts.store.rules.codes.partial.code) in page.text
    assert written(texts) == ([] if erase else ["An answer."])


def test_the_code_has_its_address(tmp_path: Path):
    settings = "codes: {complete: {code: DONE, address: 'https://platform.example/?cc=DONE'}}\n"
    with in_process(made_study(tmp_path, DEMONSTRATIONS, settings)) as served:
        browser, page = finished(served, "ann")
        page = browser.send(page, text="Good & short <3")
        assert "https://platform.example/?cc=DONE" in page.links
        assert "Your code: DONE" in page.text


def test_time_that_is_over_ends_the_sitting_and_keeps_the_draft(texts: Served, monkeypatch: pytest.MonkeyPatch):
    browser, page = texts.begun("ann")
    browser.post(page.forms[0].action.replace("/task/", "/draft/"), {"text": "Half a sen"})
    now = texts.store.clock()
    monkeypatch.setattr(texts.store, "clock", lambda: now + 3700)
    texts.store.sweep().result()
    page_of_end = browser.get("/task")
    assert browser.path == "/ended"
    assert "The time for this study is over" in page_of_end.text
    with texts.study.opened_to_read() as db:
        assert db.execute("SELECT text FROM draft").fetchone()[0] == "Half a sen"
    browser.send(page, text="Half a sentence.")
    assert browser.path == "/ended"
    assert written(texts) == ["Half a sentence."]
