"""The administrator's pages. They are served on a loopback port of their own, to whoever has the token."""

from __future__ import annotations

import hashlib
import hmac
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from burnish.errors import BurnishError
from burnish.people.study import reading
from burnish.people.study.agreeing import measured
from burnish.people.study.checking import is_right, known_counts, total
from burnish.people.study.export import export_study, own_choice
from burnish.people.study.folder import StudyFolder
from burnish.people.study.intake import found_words, looked_for
from burnish.people.study.model import AnswerRow, ItemRole, NotStored, ReviewVerdict, StudyCounts, StudyState
from burnish.people.study.sittings import new_token
from burnish.people.study.store import StudyStore
from burnish.people.web.guard import RequestGuard, cookie_of
from burnish.people.web.pages import page, static_file
from burnish.people.web.visits import Handler, done

T = TypeVar("T")
COOKIE = "study_admin"
_WORDS = {
    403: "This page needs the link with the token that `burnish study serve` printed.",
    404: "There is no such page.",
    405: "This page does not take such a request.",
    413: "This form is too large.",
    429: "Too many requests. Please wait a moment.",
}


@dataclass(frozen=True, slots=True)
class AdminPages:
    """The handlers of the administrator's pages. `hosts` are the names under which they are served."""

    study: StudyFolder
    store: StudyStore
    hosts: frozenset[str]
    token: str = field(default_factory=new_token)

    @property
    def cookie(self) -> str:
        """The value of the cookie. It is not the token, which is in the link and in a file."""
        return hashlib.sha256(f"cookie {self.token}".encode()).hexdigest()

    def app(self) -> RequestGuard:
        """Return the app with its guard."""
        routes = [
            self._route("/", self.overview, "GET"),
            self._route("/people", self.people, "GET"),
            self._route("/people/{public}", self.person, "GET"),
            self._route("/people/{public}/review", self.review, "POST"),
            self._route("/people/{public}/extend", self.extend, "POST"),
            self._route("/people/{public}/forget", self.forget, "POST"),
            self._route("/items", self.items, "GET"),
            self._route("/agreement", self.agreement, "GET"),
            self._route("/state", self.state, "POST"),
            self._route("/export/{name}", self.export, "GET"),
            self._route("/static/{name}", self.static, "GET"),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={HTTPException: self._refused_http, BurnishError: self._refused_user},
        )
        app.router.redirect_slashes = False
        return RequestGuard(
            _OnlyWithToken(app, self), lambda status: self._message(_WORDS[status], status), COOKIE, self.hosts
        )

    def _route(self, path: str, handler: Handler, method: str) -> Route:
        return Route(path, handler, methods=[method])

    # What is read

    async def overview(self, request: Request) -> Response:
        """Show the numbers of the study."""
        counts, people, items, known = await self._read(
            lambda db: (
                reading.counts(db, self.store.clock()),
                reading.sittings(db),
                reading.items(db),
                known_counts(db),
            )
        )
        return self._page(
            "overview",
            counts=counts,
            people=len(people),
            forecast=_forecast(counts),
            sides=(sum(one.shown_ab for one in items), sum(one.shown_ba for one in items)),
            checks=total(known.checks().values()),
            gold=total(known.gold().values()),
        )

    async def people(self, request: Request) -> Response:
        """Show all sittings."""
        people, known = await self._read(lambda db: (reading.sittings(db), known_counts(db)))
        return self._page("people", people=people, checks=known.checks(), gold=known.gold(), now=self.store.clock())

    async def person(self, request: Request) -> Response:
        """Show one sitting with its answers, and the checks beside what was expected."""
        return await self._person(request.path_params["public"])

    async def _person(self, public: str, complaint: str = "", status: int = 200) -> Response:
        sittings, answers = await self._read(
            lambda db: (reading.sittings(db, public), list(reading.answers(db, public)))
        )
        if not sittings:
            raise HTTPException(404)
        shown = [
            CheckedAnswer(one=one, words=_words(one), expected=_expected(one), choice=own_choice(one))
            for one in answers
        ]
        return self._page(
            "person",
            status,
            person=sittings[0],
            answers=_checks_first(shown),
            now=self.store.clock(),
            complaint=complaint,
        )

    async def items(self, request: Request) -> Response:
        """Show the items of work, and how many people were right on each gold pair."""
        items, known = await self._read(lambda db: (reading.items(db), known_counts(db)))
        return self._page("items", items=items, gold=known.gold_pairs())

    async def agreement(self, request: Request) -> Response:
        """Show how much people agree, or how they wrote."""
        found = await self._read(measured)
        return self._page("agreement", lines=found.lines())

    async def export(self, request: Request) -> Response:
        """Send one file of the export. Notes are in it only if the address ends in `?notes=yes`."""
        notes = request.query_params.get("notes") == "yes"

        def written(db: Connection) -> bytes | None:
            with tempfile.TemporaryDirectory() as folder:
                files = {path.name: path for path in export_study(db, Path(folder), notes=notes).files}
                path = files.get(request.path_params["name"])
                return None if path is None else path.read_bytes()

        data = await self._read(written)
        if data is None:
            raise HTTPException(404)
        headers = {"content-disposition": f'attachment; filename="{request.path_params["name"]}"'}
        return Response(data, media_type="application/x-ndjson", headers=headers)

    async def static(self, request: Request) -> Response:
        """Send the style."""
        found = static_file(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return found

    # What is done

    async def review(self, request: Request) -> Response:
        """Accept or reject a sitting."""
        form = await request.form()
        public, verdict = request.path_params["public"], form.get("verdict")
        if verdict not in list(ReviewVerdict):
            raise HTTPException(400)
        reason = str(form.get("reason") or "").strip()
        await done(self.store.review(public, ReviewVerdict(str(verdict)), reason[:2000]))
        return self._to(f"/people/{public}")

    async def extend(self, request: Request) -> Response:
        """Give a person more time."""
        minutes = str((await request.form()).get("minutes") or "")
        if not (minutes.isascii() and minutes.isdecimal() and 0 < int(minutes[:5]) <= 1000):
            raise HTTPException(400)
        public = request.path_params["public"]
        await done(self.store.extend(public, int(minutes)))
        return self._to(f"/people/{public}")

    async def forget(self, request: Request) -> Response:
        """Delete what says who a person was."""
        form = await request.form()
        public = request.path_params["public"]
        await done(self.store.forget(public, answers=form.get("answers") == "yes"))
        return self._to(f"/people/{public}")

    async def state(self, request: Request) -> Response:
        """Open, pause or close the study."""
        state = (await request.form()).get("state")
        if state not in list(StudyState):
            raise HTTPException(400)
        await done(self.store.set_state(StudyState(str(state))))
        return self._to("/")

    # What all pages need

    async def _read(self, query: Callable[[Connection], T]) -> T:
        """Ask the file in another thread, so that a long question stops nobody's page."""

        def asked() -> T:
            with self.study.opened_to_read() as db:
                return query(db)

        return await run_in_threadpool(asked)

    def _page(self, name: str, status: int = 200, /, **values: object) -> Response:
        return page(f"admin/{name}", status, rules=self.store.rules, study=self.study.path.name, **values)

    def _message(self, text: str, status: int) -> Response:
        return self._page("message", status, message=text)

    def _to(self, path: str) -> RedirectResponse:
        return RedirectResponse(path, 303)

    async def _refused_http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._message(_WORDS.get(error.status_code, "The form is not complete."), error.status_code)

    async def _refused_user(self, request: Request, error: Exception) -> Response:
        if "authorization" in request.headers:  # a verb in another terminal
            return PlainTextResponse(str(error), 422)
        return self._message(str(error), 503 if isinstance(error, NotStored) else 422)


@dataclass(frozen=True, slots=True)
class _OnlyWithToken:
    """Answers only requests with the administrator's cookie, or with the token."""

    app: ASGIApp
    pages: AdminPages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        given = request.query_params.get("token", "")
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        known = cookie_of(request.headers, COOKIE) or ""
        if scope["method"] == "GET" and scope["path"] == "/" and _equal(given, self.pages.token):
            # The token leaves the address at once.
            response: Response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, self.pages.cookie, httponly=True, samesite="strict")
            await response(scope, receive, send)
        elif _equal(known, self.pages.cookie) or _equal(bearer, self.pages.token):
            await self.app(scope, receive, send)
        else:
            await self.pages._message(_WORDS[403], 403)(scope, receive, send)  # pyright: ignore[reportPrivateUsage]


def _equal(one: str, other: str) -> bool:
    """Compare two secrets. The time that it takes does not tell how much of them is equal."""
    return hmac.compare_digest(one.encode(), other.encode())


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer with what helps to judge it.

    `words` are the expected words of a check, with whether the answer has them. `expected` is what a check should have,
    or the better side of a pair whose right answer is known. `choice` is the side that was chosen: A, B or tie.
    """

    one: AnswerRow
    words: dict[str, bool]
    expected: str
    choice: str


def _words(one: AnswerRow) -> dict[str, bool]:
    return found_words(one.expected, one.text) if one.role is ItemRole.CHECK else {}


def _expected(one: AnswerRow) -> str:
    match one.role:
        case ItemRole.CHECK:
            return looked_for(one.expected)
        case ItemRole.SCREENING | ItemRole.GOLD:
            return f"{one.expected.upper()}: {'right' if is_right(one) else 'wrong'}"
        case ItemRole.WORK:
            return ""


def _checks_first(answers: Sequence[CheckedAnswer]) -> list[CheckedAnswer]:
    return sorted(answers, key=lambda view: view.one.role is ItemRole.WORK)


def _forecast(counts: StudyCounts) -> float | None:
    """Return the hours until all answers are there at the speed of the last hour, or None if nobody answered in it."""
    left = max(0, counts.wanted - (counts.answered - counts.extra))
    return left / counts.last_hour if counts.last_hour and left else None
