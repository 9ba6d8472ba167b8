"""Who may open what, hostile texts, and the limits of requests."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient
from study_pages import (
    ADMIN,
    DEMONSTRATIONS,
    HERE,
    Browser,
    ReadPage,
    Served,
    in_process,
    made_study,
)

from burnish.people.web.guard import LARGEST_BODY, RateLimit, RequestGuard


@pytest.fixture
def texts(tmp_path: Path) -> Generator[Served]:
    with in_process(made_study(tmp_path, DEMONSTRATIONS)) as one:
        yield one


# Access

WORKER_ROUTES = {
    # path: (nobody, another worker, an ended worker, the administrator's cookie alone)
    "GET /start": (400, 400, 400, 400),
    "GET /welcome": (404, "/task", "/task", 404),
    "POST /consent": (404, "/task", "/task", 404),
    "GET /closed": (200, 200, 200, 200),
    "GET /task": (404, 200, "/ended", 404),
    "POST /task/{token}": (404, 404, 404, 404),
    "POST /draft/{token}": (404, 404, 404, 404),
    "GET /guide": (200, 200, 200, 200),
    "GET /privacy": (200, 200, 200, 200),
    "GET /withdraw": (404, 200, 200, 404),
    "POST /withdraw": (404, "/ended", "/ended", 404),
    "GET /feedback": (404, "/task", "/ended", 404),
    "POST /feedback": (404, "/task", "/ended", 404),
    "GET /done": (404, "/task", "/ended", 404),
    "GET /ended": (404, "/task", 200, 404),
    "GET /static/{name}": (200, 200, 200, 200),
    "GET /health": (200, 200, 200, 200),
}
ADMIN_ROUTES = {
    "GET /": 200,
    "GET /people": 200,
    "GET /people/{public}": 200,
    "POST /people/{public}/review": 400,
    "POST /people/{public}/extend": 400,
    "POST /people/{public}/forget": "/people/p001",
    "GET /items": 200,
    "GET /agreement": 422,  # nobody has answered yet
    "POST /state": 400,
    "GET /export/{name}": 200,
    "GET /static/{name}": 200,
}


def routes_of(guard: RequestGuard) -> set[str]:
    found: list[Route] = cast("Any", getattr(guard.app, "app", guard.app)).routes
    return {f"{method} {route.path}" for route in found for method in (route.methods or ()) if method != "HEAD"}


def opened_by(browser: Browser, name: str, token: str) -> int | str:
    """Return the status of a route, or the place to which it sends."""
    method, path = name.split(" ")
    for part, value in (("{token}", token), ("{public}", "p001")):
        path = path.replace(part, value)
    path = path.replace("{name}", "answers.jsonl" if "export" in path else "style.css")
    reply = browser.client.request(
        method, path, headers=HERE, data={} if method == "POST" else None, follow_redirects=False
    )
    return reply.headers["location"] if reply.status_code == 303 else reply.status_code


def test_the_table_has_every_route(texts: Served):
    assert routes_of(texts.pages.app()) == set(WORKER_ROUTES)
    assert routes_of(texts.admin_pages.app()) == set(ADMIN_ROUTES)


def test_who_may_open_a_page_of_workers(texts: Served):
    _, page = texts.begun("ann")
    token = page.forms[0].action.rpartition("/")[2]
    other, _ = texts.begun("bob")
    ended, _ = texts.begun("eve")
    ended.send(ended.get("/withdraw"))
    administrator = texts.browser()
    administrator.client.cookies.set("study_admin", texts.admin_pages.cookie)
    people = (texts.browser(), other, ended, administrator)
    # Withdrawing comes last, because it changes who bob is.
    names = sorted(WORKER_ROUTES, key=lambda name: name == "POST /withdraw")
    found = {name: tuple(opened_by(browser, name, token) for browser in people) for name in names}
    assert found == WORKER_ROUTES


def test_who_may_open_a_page_of_the_administrator(texts: Served):
    worker, _ = texts.begun("ann")
    nobody, with_session, guessing = (Browser(TestClient(texts.admin_pages.app(), base_url=ADMIN)) for _ in range(3))
    with_session.client.cookies.set("study_session", worker.client.cookies["study_session"])
    guessing.client.cookies.set("study_admin", texts.admin_pages.token)
    for name in ADMIN_ROUTES:
        assert [opened_by(one, name, "") for one in (nobody, with_session, guessing)] == [403, 403, 403], name
    administrator = texts.admin()
    assert {name: opened_by(administrator, name, "") for name in ADMIN_ROUTES} == ADMIN_ROUTES


def test_the_token_of_the_administrator_leaves_the_address(texts: Served):
    client = TestClient(texts.admin_pages.app(), base_url=ADMIN, follow_redirects=False)
    reply = client.get(f"/?token={texts.admin_pages.token}")
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    assert "HttpOnly" in reply.headers["set-cookie"]
    assert "samesite=strict" in reply.headers["set-cookie"].lower()
    fresh = TestClient(texts.admin_pages.app(), base_url=ADMIN, follow_redirects=False)
    assert fresh.get("/?token=wrong").status_code == 403


def test_a_name_that_points_to_this_machine_does_not_reach_the_administrator(texts: Served):
    evil = TestClient(texts.admin_pages.app(), base_url="http://evil.example")
    assert evil.get(f"/?token={texts.admin_pages.token}").status_code == 403


# Where forms come from


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://study.example"}, 403),
        ({"origin": "http://study.example"}, 303),
        ({"origin": "https://study.example"}, 303),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://study.example.evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_only_forms_of_this_site_are_taken(texts: Served, headers: Mapping[str, str], status: int):
    browser, page = texts.begun("ann")
    reply = browser.client.post(page.forms[0].action, data={"text": "x"}, headers=headers, follow_redirects=False)
    assert reply.status_code == status
    administrator = texts.admin().client
    moved = {name: value.replace("study.example", "127.0.0.1:8001") for name, value in headers.items()}
    reply = administrator.post("/state", data={"state": "paused"}, headers=moved, follow_redirects=False)
    assert reply.status_code == status


# Limits


def test_a_large_body_is_refused_with_or_without_its_length(texts: Served):
    browser, page = texts.begun("ann")
    large = b"text=" + b"x" * LARGEST_BODY
    form = HERE | {"content-type": "application/x-www-form-urlencoded"}
    for body in (large, iter([large])):
        reply = browser.client.post(page.forms[0].action, content=body, headers=form)
        assert reply.status_code == 413
        assert "too large" in ReadPage(reply.text).text
    reply = browser.client.post(page.forms[0].action, content=b"text=x", headers=form | {"content-length": "x"})
    assert reply.status_code == 413


def test_the_longest_answer_fits(texts: Served):
    browser, page = texts.begun("ann")
    browser.send(page, text="𝒳" * 20_000)
    assert browser.path == "/task"
    assert browser.status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(texts: Served, method: str):
    assert texts.browser().client.request(method, "/task", headers=HERE).status_code == 405
    assert texts.browser().client.post("/guide", headers=HERE).status_code == 405


def test_a_flood_is_slowed_down(texts: Served):
    app = texts.pages.app()
    app.by_session = RateLimit(burst=3, per_second=1, clock=lambda: 0.0)
    client = TestClient(app, base_url="http://study.example", cookies={"study_session": "a"})
    found = [client.get("/guide") for _ in range(5)]
    assert [reply.status_code for reply in found] == [200, 200, 200, 429, 429]
    assert found[-1].headers["retry-after"] == "5"
    app.by_address = RateLimit(burst=1, per_second=1, clock=lambda: 0.0)
    other = TestClient(app, base_url="http://study.example")
    assert [other.get("/guide").status_code for _ in range(2)] == [200, 429]


def test_a_limit_refills_and_forgets():
    now = [0.0]
    limit = RateLimit(burst=2, per_second=0.5, clock=lambda: now[0])
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    now[0] = 2.0
    assert [limit.allows("a") for _ in range(2)] == [True, False]
    assert limit.allows("b")
    now[0] = 1000.0
    for number in range(50_002):
        limit.allows(str(number))
    now[0] = 2000.0
    assert limit.allows("c")
    assert len(limit._left) < 10  # pyright: ignore[reportPrivateUsage]


def test_every_answer_has_the_headers(texts: Served):
    browser, page = texts.begun("ann")
    replies: list[httpx2.Response] = [
        browser.client.get(path, follow_redirects=False)
        for path in ("/task", "/guide", "/nothing", "/done", "/static/style.css", "/start?participant=x", "/task/")
    ]
    replies += [browser.client.post(page.forms[0].action), texts.admin().client.get("/people")]
    assert {reply.status_code for reply in replies} == {200, 303, 403, 404}
    for reply in replies:
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        for rule in ("form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert rule in policy
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert all("no-store" in reply.headers["cache-control"] for reply in replies if "static" not in reply.url.path)


def test_our_own_fault_shows_no_details(texts: Served, monkeypatch: pytest.MonkeyPatch):
    def broken(_: str) -> None:
        raise RuntimeError("a secret detail")

    browser, _ = texts.begun("ann")
    monkeypatch.setattr(type(texts.store), "next_question", lambda self, _: broken(""))  # pyright: ignore
    page = browser.get("/task")
    assert browser.status == 500
    assert "Something went wrong on our side" in page.text
    assert "secret" not in page.text
