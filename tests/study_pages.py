"""Studies of tests behind their pages, and a browser without a script that goes through them."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
from starlette.testclient import TestClient

from burnish.config.study import StudyKind
from burnish.people.study.folder import StudyFolder, new_study
from burnish.people.study.schema import opened
from burnish.people.study.store import StudyStore
from burnish.people.web.admin import AdminPages
from burnish.people.web.guard import RateLimit
from burnish.people.web.serving import ServedPages, Where, serve
from burnish.people.web.workers import WorkerPages

COMPARISONS, DEMONSTRATIONS = StudyKind.COMPARISONS, StudyKind.DEMONSTRATIONS
SITE = "http://study.example"
ADMIN = "http://127.0.0.1:8001"
HERE = {"sec-fetch-site": "same-origin"}
SETTINGS = {
    COMPARISONS: "per_sitting: 3\n",
    DEMONSTRATIONS: "per_sitting: 2\n",
}


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes, and its fields as the page fills them."""

    action: str
    fields: dict[str, str] = field(default_factory=dict[str, str])


class ReadPage(HTMLParser):
    """A page as a program reads it: its forms, its text, and the sequence of its tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self._area: str | None = None
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, tuple(sorted(found))))
        if tag == "form":
            self.forms.append(Form(action=found["action"]))
        elif tag == "a":
            self.links.append(found.get("href", ""))
        elif tag == "input" and found.get("type") == "hidden":
            self.forms[-1].fields[found["name"]] = found["value"]
        elif tag == "textarea":
            self._area = found["name"]
            self.forms[-1].fields[self._area] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            assert self._area is not None
            # Browsers drop the line break after the tag.
            self.forms[-1].fields[self._area] = self.forms[-1].fields[self._area].removeprefix("\n")
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is None:
            self.words.append(data)
        else:
            self.forms[-1].fields[self._area] += data


class Browser:
    """A browser without a script. It follows redirects and keeps cookies, and its forms come from their own pages."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client
        self.last: httpx2.Response | None = None

    def get(self, path: str, **headers: str) -> ReadPage:
        return self._read(self.client.get(path, headers=headers, follow_redirects=True))

    def post(self, path: str, fields: Mapping[str, str], follow: bool = True) -> ReadPage:
        reply = self.client.post(path, data=dict(fields), headers=HERE, follow_redirects=False)
        if follow and reply.status_code == 303:
            reply = self.client.get(reply.headers["location"], follow_redirects=True)
        return self._read(reply)

    def send(self, page: ReadPage, **fields: str) -> ReadPage:
        """Send the first form of a page, filled in."""
        form = page.forms[0]
        return self.post(form.action, form.fields | fields)

    def _read(self, reply: httpx2.Response) -> ReadPage:
        self.last = reply
        return ReadPage(reply.text)

    @property
    def status(self) -> int:
        assert self.last is not None
        return self.last.status_code

    @property
    def path(self) -> str:
        assert self.last is not None
        return self.last.url.path


@dataclass(slots=True)
class Served:
    """A study in this process, without a network."""

    study: StudyFolder
    store: StudyStore
    pages: WorkerPages
    admin_pages: AdminPages

    def browser(self) -> Browser:
        app = self.pages.app()
        app.by_session = RateLimit(burst=1000, per_second=1)  # a test is faster than any person
        return Browser(TestClient(app, base_url=SITE, raise_server_exceptions=False))

    def begun(self, name: str) -> tuple[Browser, ReadPage]:
        """Return a person at the first question."""
        browser = self.browser()
        page = browser.get(f"/start?participant={name}")
        return browser, browser.send(page)

    def admin(self) -> Browser:
        client = TestClient(self.admin_pages.app(), base_url=ADMIN, raise_server_exceptions=False)
        browser = Browser(client)
        browser.get(f"/?token={self.admin_pages.token}")
        return browser


def rows(count: int, text: str = "") -> list[dict[str, Any]]:
    return [
        {"id": f"r{number}", "prompt": f"q{number}{text}", "first": f"one{text}", "second": f"two{text}"}
        for number in range(count)
    ]


def made_study(
    folder: Path,
    kind: StudyKind,
    settings: str = "",
    items: list[dict[str, Any]] | None = None,
    questions: Path | None = None,
) -> StudyFolder:
    """Make a study with six items."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in items or rows(6)))
    own = "" if "per_sitting" in settings else SETTINGS[kind]
    (folder / "settings.yaml").write_text(own + settings)
    return new_study(folder / "study", folder / "rows.jsonl", kind, folder / "settings.yaml", questions=questions)


@contextmanager
def in_process(study: StudyFolder) -> Generator[Served]:
    """Serve a study without a network."""
    rules = study.rules()
    store = StudyStore(opened(study.file), rules)
    try:
        store.renew(study.checks(rules.kind)).result()
        host = ADMIN.removeprefix("http://")
        yield Served(
            study,
            store,
            WorkerPages(store, study.texts(rules)),
            AdminPages(study, store, frozenset({host})),
        )
    finally:
        store.close()


def right_choice(page: ReadPage) -> dict[str, str]:
    """Return the choice of a person who passes the paper's screening pairs and then prefers "two"."""
    first, second = page.text.split("Answer 1", 1)[1].split("Answer 2", 1)
    good = ("from a sea", "π * r^2", "an increase in pulse and breathing rate is", "two")
    assert any(words in first for words in good) != any(words in second.split("Which")[0] for words in good)
    return {"value": "-2" if any(words in first for words in good) else "2"}


@contextmanager
def served(study: StudyFolder, where: Where | None = None, speed: float | None = None) -> Generator[ServedPages]:
    """Serve a study in another thread, on free ports."""
    ready, found = threading.Event(), list[ServedPages]()

    def announce(pages: ServedPages) -> None:
        found.append(pages)
        ready.set()

    where = where or Where(port=0, admin_port=0)
    thread = threading.Thread(target=serve, args=(study, where, announce), kwargs={"speed": speed})
    thread.start()
    assert ready.wait(30)
    try:
        yield found[0]
    finally:
        found[0].stop()
        thread.join(30)
        assert not thread.is_alive()


def browser_at(address: str) -> Browser:
    url = httpx2.URL(address)
    return Browser(httpx2.Client(base_url=f"{url.scheme}://{url.netloc.decode()}", trust_env=False))
