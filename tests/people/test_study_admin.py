"""The administrator's pages of a study."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from study_pages import (
    ADMIN,
    COMPARISONS,
    DEMONSTRATIONS,
    HERE,
    Browser,
    ReadPage,
    Served,
    in_process,
    made_study,
    right_choice,
)

from burnish.people.study.model import ReviewVerdict


@pytest.fixture
def texts(tmp_path: Path) -> Generator[Served]:
    with in_process(made_study(tmp_path, DEMONSTRATIONS)) as one:
        yield one


@pytest.fixture
def pairs(tmp_path: Path) -> Generator[Served]:
    with in_process(made_study(tmp_path, COMPARISONS, "screening_tries: 2\n")) as one:
        yield one


def finished(served: Served, name: str) -> tuple[Browser, ReadPage]:
    browser, page = served.begun(name)
    while browser.path == "/task":
        page = browser.send(page, **(right_choice(page) if "Answer 1" in page.text else {"text": "An answer."}))
    return browser, page


def test_the_administrator_sees_and_judges(texts: Served):
    finished(texts, "ann@example.org")
    admin = texts.admin()
    assert "Answers that count 2" in admin.get("/").text
    assert "p001" in admin.get("/people").text
    page = admin.get("/people/p001")
    assert "three: not found" in page.text
    assert "Anything containing 3 or three." in page.text
    assert "ann@example.org" not in page.text
    page = admin.post("/people/p001/review", {"verdict": "reject", "reason": "no check was right"})
    assert "Review: reject (no check was right)" in page.text
    assert "Answers that count 0" in admin.get("/").text
    assert "q0" in admin.get("/items").text


def test_the_administrator_gives_time_and_forgets(texts: Served):
    browser, _ = texts.begun("ann@example.org")
    admin = texts.admin()
    before = texts.store.standing(browser.client.cookies["study_session"]).result().seconds_left
    admin.post("/people/p001/extend", {"minutes": "10"})
    after = texts.store.standing(browser.client.cookies["study_session"]).result().seconds_left
    assert before is not None
    assert after is not None
    assert 590 < after - before < 601
    admin.post("/people/p001/forget", {"answers": "yes"})
    with texts.study.opened_to_read() as db:
        assert db.execute("SELECT count(*) FROM identity").fetchone()[0] == 0
    browser.get("/task")
    assert browser.status == 404


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        ("/people/p001/review", {"verdict": "accept"}, 422, "p001: the sitting has not ended"),
        ("/people/p001/review", {"verdict": "maybe"}, 400, "form is not complete"),
        ("/people/p009/forget", {}, 422, "nobody has this name"),
        ("/people/p001/extend", {"minutes": "0"}, 400, "form is not complete"),
        ("/people/p001/extend", {"minutes": "9999"}, 400, "form is not complete"),
        ("/state", {"state": "gone"}, 400, "form is not complete"),
    ],
)
def test_what_the_administrator_cannot_do_is_said(
    texts: Served, path: str, fields: dict[str, str], status: int, words: str
):
    texts.begun("ann")
    admin = texts.admin()
    page = admin.post(path, fields)
    assert (admin.status, words in page.text) == (status, True)


def test_the_administrator_pauses_and_closes(texts: Served):
    admin = texts.admin()
    assert "State paused" in admin.post("/state", {"state": "paused"}).text
    assert "State open" in admin.post("/state", {"state": "open"}).text
    assert "State closed" in admin.post("/state", {"state": "closed"}).text
    admin.post("/state", {"state": "open"})
    assert admin.status == 422


def test_the_export_has_notes_only_if_asked(pairs: Served):
    browser, page = pairs.begun("ann@example.org")
    while browser.path == "/task":
        page = browser.send(page, note="I am Ann", **right_choice(page))
    pairs.store.review("p001", ReviewVerdict.ACCEPT, "").result()
    client = pairs.admin().client
    plain, with_notes = client.get("/export/answers.jsonl").text, client.get("/export/answers.jsonl?notes=yes").text
    assert "I am Ann" not in plain
    assert "I am Ann" in with_notes
    assert "example.org" not in with_notes
    assert len(client.get("/export/labels.jsonl").text.splitlines()) == 3
    assert client.get("/export/study.sqlite").status_code == 404


def test_a_verb_in_another_terminal_gets_plain_words(texts: Served):
    client = TestClient(texts.admin_pages.app(), base_url=ADMIN)
    bearer = HERE | {"authorization": f"Bearer {texts.admin_pages.token}"}
    reply = client.post("/people/p009/forget", headers=bearer)
    assert reply.status_code == 422
    assert reply.text.startswith("'p009': nobody has this name")


@pytest.mark.parametrize("by", ["administrator", "person"])
def test_what_is_deleted_is_gone_from_the_disk(texts: Served, by: str):
    browser, page = texts.begun("ann@example.org")
    browser.send(page, text="My secret answer.")
    assert b"My secret answer." in _bytes_of(texts)
    if by == "administrator":
        texts.admin().post("/people/p001/forget", {"answers": "yes"})
        assert b"ann@example.org" not in _bytes_of(texts)
    else:
        browser.send(browser.get("/withdraw"), erase="yes")
        assert b"ann@example.org" in _bytes_of(texts)
    assert b"My secret answer." not in _bytes_of(texts)


def _bytes_of(served: Served) -> bytes:
    return b"".join(path.read_bytes() for path in served.study.path.glob("study.sqlite*"))
