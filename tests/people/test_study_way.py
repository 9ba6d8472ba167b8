"""Both studies from the link to the code, over a real server on loopback and without a script."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from study_pages import COMPARISONS, DEMONSTRATIONS, browser_at, made_study, right_choice, served

from burnish.config.study import StudyKind
from burnish.errors import ConfigError, StageError
from burnish.people.study.model import ItemRole
from burnish.people.study.reading import answers, counts
from burnish.people.web import serving
from burnish.people.web.serving import Where, serve


# The next two tests are not marked slow: nothing else goes through a real server.
def test_comparisons_from_link_to_code(tmp_path: Path):
    study = made_study(tmp_path, COMPARISONS)
    code = study.rules().codes.complete.code
    with served(study) as pages:
        browser = browser_at(pages.start)
        page = browser.get("/start?participant=ann%40example.org")
        assert browser.path == "/welcome"
        assert "Some of the statements that you will see are factually inaccurate" in page.text
        page = browser.send(page)
        for number in range(3):
            assert f"Screening question {number + 1} of 3" in page.text
            page = browser.send(page, **right_choice(page))
        for number in range(3):
            assert f"Question {number + 1} of 3" in page.text
            assert str(code) not in page.text
            page = browser.send(page, note=f"note {number}", **right_choice(page))
        assert browser.path == "/feedback"
        page = browser.send(page, text="It was fine.")
        assert browser.path == "/done"
        assert f"Your code: {code}" in page.text
    with study.opened_to_read() as db:
        found = [one for one in answers(db) if one.role is ItemRole.WORK]
        assert sorted(one.note for one in found) == ["note 0", "note 1", "note 2"]
        # "two" is side b.
        assert all((one.value == 2) == (one.shown == "ab") for one in found)
        assert db.execute("SELECT text FROM feedback").fetchone()[0] == "It was fine."


def test_demonstrations_from_link_to_code(tmp_path: Path):
    study = made_study(tmp_path, DEMONSTRATIONS)
    with served(study) as pages:
        browser = browser_at(pages.start)
        page = browser.send(browser.get("/start?participant=ann"))
        for number in range(5):
            assert f"Question {number + 1} of 5" in page.text
            page = browser.send(page, text=f"Answer {number}.\r\nMore.")
        page = browser.send(page, text="")
        assert f"Your code: {study.rules().codes.complete.code}" in page.text
        with study.opened_to_read() as db:
            assert [one.text for one in answers(db)] == [f"Answer {number}.\nMore." for number in range(5)]
            assert counts(db, 0.0).answered == 2
            assert db.execute("SELECT count(*) FROM feedback").fetchone()[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [COMPARISONS, DEMONSTRATIONS])
def test_what_was_answered_is_there_after_the_server_was_stopped(tmp_path: Path, kind: StudyKind):
    study = made_study(tmp_path, kind)
    with served(study) as pages:
        browser = browser_at(pages.start)
        page = browser.send(browser.get("/start?participant=ann"))
        page = (
            browser.send(page, text="An answer.")
            if kind is DEMONSTRATIONS
            else browser.send(page, **right_choice(page))
        )
        assert "uestion 2" in page.text
        assert (study.path / "serving.json").stat().st_mode & 0o077 == 0
        with pytest.raises(StageError, match="another process serves this study"):
            serve(study, Where(port=0, admin_port=0), lambda _: None)
    assert not (study.path / "serving.json").exists()
    with served(study) as pages:
        again = browser_at(pages.start)
        again.client.cookies = browser.client.cookies
        assert "uestion 2" in again.get("/task").text


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(tmp_path: Path):
    study = made_study(tmp_path, COMPARISONS)
    with served(study) as pages:
        port = httpx2.URL(pages.start).port
        assert port is not None
        other = made_study(tmp_path / "other", COMPARISONS)
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}: cannot be served .*name another port"):
            serve(other, Where(port=port, admin_port=0), lambda _: None)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (Where(host="0.0.0.0"), "without encryption.*--behind-proxy.*--plain-http"),
        (Where(host="example.org"), "'example.org' is no address"),
        (Where(proxies=("127.0.0.1", "nonsense")), "--proxy: 'nonsense' is no address; write that of the proxy"),
        (Where(root_path="study"), "'study' is no path; write one such as /study"),
    ],
)
def test_other_machines_are_not_served_without_encryption(tmp_path: Path, where: Where, words: str):
    with pytest.raises(ConfigError, match=words):
        serve(made_study(tmp_path, COMPARISONS), where, lambda _: None)


@pytest.mark.slow
def test_behind_a_proxy_under_a_path(tmp_path: Path):
    study = made_study(tmp_path, DEMONSTRATIONS)
    where = Where(port=0, admin_port=0, proxies=("127.0.0.1",), root_path="/study")
    with served(study, where) as pages:
        assert "/study/start?" in pages.start
        browser = browser_at(pages.start)
        # The proxy takes `/study` off and adds it to no link.
        reply = browser.client.get("/start?participant=ann", headers={"x-forwarded-proto": "https"})
        assert reply.headers["location"] == "/study/task"
        assert "Path=/study" in reply.headers["set-cookie"]
        assert "Secure" in reply.headers["set-cookie"]
        session = reply.cookies["study_session"]
        page = browser.client.get("/welcome", headers={"cookie": f"study_session={session}"})
        assert 'action="/study/consent"' in page.text
        assert 'href="/study/static/style.css"' in page.text
        assert browser.client.get("/static/style.css").status_code == 200


def test_the_servers_write_no_access_log_and_keep_connections_for_a_minute():
    # An access log would have the platforms' ids. With uvicorn's 5 s, whoever reads for a minute loses the connection.
    config = serving._server(PlainTextResponse("ok"), Where()).config  # pyright: ignore[reportPrivateUsage]
    assert (config.access_log, config.timeout_keep_alive, config.proxy_headers) == (False, 75, False)
    behind = serving._server(PlainTextResponse("ok"), Where(proxies=("10.0.0.5",))).config  # pyright: ignore[reportPrivateUsage]
    assert (behind.proxy_headers, behind.forwarded_allow_ips) == (True, ["10.0.0.5"])


@pytest.mark.slow
def test_edited_settings_are_taken_over_until_somebody_arrives(tmp_path: Path):
    study = made_study(tmp_path, COMPARISONS)
    settings = study.path / "study.yaml"
    settings.write_text(settings.read_text().replace("wanted: 1", "wanted: 2"))
    with served(study) as pages:
        browser_at(pages.start).get("/start?participant=ann")
        with study.opened_to_read() as db:
            assert counts(db, 0.0).wanted == 12
    settings.write_text(settings.read_text().replace("wanted: 2", "wanted: 3"))
    with pytest.raises(Exception, match="changed after the first person arrived"):
        serve(study, Where(port=0, admin_port=0), lambda _: None)
