"""The pages for the people who answer: from the link to the code."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from burnish.config.study import ComparisonStudy, StudySettings
from burnish.errors import DataError
from burnish.people.study.answering import LONGEST
from burnish.people.study.model import (
    ENDS,
    AttemptState,
    NoSuchQuestion,
    NotStored,
    SentReply,
    ShownQuestion,
    Standing,
    Visitor,
)
from burnish.people.study.store import StudyStore
from burnish.people.study.texts import PageTexts
from burnish.people.web.guard import RequestGuard
from burnish.people.web.pages import page, static_file
from burnish.people.web.visits import (
    COOKIE,
    LINK_NAMES,
    LONGEST_ID,
    Handler,
    base_of,
    done,
    reply_of,
    session_of,
    text_of,
    unknown_question,
    where,
)

_MARGIN = 1.0
"""The script sends an answer so many seconds before the limit, so that it arrives in time."""
_REFUSALS = {403: "foreign", 404: "no_page", 405: "no_page", 413: "too_large", 429: "too_many", 500: "fault"}


@dataclass(frozen=True, slots=True)
class WorkerPages:
    """The handlers of the pages. `limits` is the clock of the limits on how often somebody may send something."""

    store: StudyStore
    texts: PageTexts
    secure: bool = False
    limits: Callable[[], float] = time.monotonic

    @property
    def rules(self) -> StudySettings:
        """The settings of the study."""
        return self.store.rules

    def app(self) -> RequestGuard:
        """Return the app with its guard."""
        routes = [
            self._route("/start", self.start, "GET"),
            self._route("/welcome", self.welcome, "GET"),
            self._route("/consent", self.consent, "POST"),
            self._route("/closed", self.closed, "GET"),
            self._route("/task", self.task, "GET"),
            self._route("/task/{token}", self.answer, "POST"),
            self._route("/draft/{token}", self.draft, "POST"),
            self._route("/guide", self.guide, "GET"),
            self._route("/privacy", self.privacy, "GET"),
            self._route("/withdraw", self.withdraw_page, "GET"),
            self._route("/withdraw", self.withdraw, "POST"),
            self._route("/feedback", self.feedback_page, "GET"),
            self._route("/feedback", self.feedback, "POST"),
            self._route("/done", self.done, "GET"),
            self._route("/ended", self.ended, "GET"),
            self._route("/static/{name}", self.static, "GET"),
            self._route("/health", self.health, "GET"),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                HTTPException: self._refused_http,
                NoSuchQuestion: self._refused_unknown,
                NotStored: self._refused_full,
                Exception: self._refused_fault,
            },
        )
        # A path with one slash too many is no page. Starlette would send the browser on with the name in `Host`.
        app.router.redirect_slashes = False
        return RequestGuard(app, lambda status: self._message(_REFUSALS[status], status), COOKIE, clock=self.limits)

    def _route(self, path: str, handler: Handler, method: str) -> Route:
        return Route(path, handler, methods=[method])

    # Arriving

    async def start(self, request: Request) -> Response:
        """Take the ids from the link, and go on to a page whose address has none."""
        names = LINK_NAMES[self.rules.platform]
        ids = [request.query_params.get(name, "").strip() for name in names]
        if not ids[0] or any(len(one) > LONGEST_ID for one in ids):
            return self._message("no_link", 400)
        more = dict(zip(("study", "session"), ids[1:], strict=False))
        arrival = await done(self.store.arrive(Visitor(platform=self.rules.platform, id=ids[0], **more)))
        if arrival.session is None:
            return self._to(request, "/closed")
        response = self._to(request, "/task")
        response.set_cookie(
            COOKIE,
            arrival.session,
            path=base_of(request) or "/",
            httponly=True,
            samesite="lax",
            secure=self.secure or request.url.scheme == "https",
        )
        return response

    async def welcome(self, request: Request) -> Response:
        """Show what the study is about, and ask for consent."""
        if (await self._standing(request)).state is not AttemptState.ARRIVED:
            return self._to(request, "/task")
        return self._page(request, "welcome")

    async def consent(self, request: Request) -> Response:
        """Begin the sitting, or say that there is no place."""
        refused = await done(self.store.consent(session_of(request)))
        return self._to(request, "/task" if refused is None else "/closed")

    async def closed(self, request: Request) -> Response:
        """Say why nobody new can begin. If somebody can, the link may be opened again."""
        refused = await done(self.store.nobody_new())
        return self._page(request, "message", message=self.texts.words["no_link" if refused is None else refused])

    # Working

    async def task(self, request: Request) -> Response:
        """Show the open question."""
        question = await done(self.store.next_question(session_of(request)))
        if question is None:
            return self._to(request, where(await self._standing(request)))
        return self._question(request, question, SentReply(text=question.draft))

    async def answer(self, request: Request) -> Response:
        """Keep an answer. The reply leaves only after the commit."""
        session, token = session_of(request), request.path_params["token"]
        reply = await reply_of(request)
        try:
            await done(self.store.answer(session, token, reply))
        except DataError:
            return await self._again(request, reply, self._complaint(reply), 422)
        except NotStored:
            return await self._again(request, reply, "not_saved", 503)
        return self._to(request, "/task")

    def _complaint(self, reply: SentReply) -> str:
        """Return the name of the words that say what is wrong with an answer."""
        if max(len(reply.text), len(reply.note)) > LONGEST:
            return "too_long"
        return "choose" if isinstance(self.rules, ComparisonStudy) else "empty"

    async def _again(self, request: Request, reply: SentReply, complaint: str, status: int) -> Response:
        """Show the question again with what the person wrote."""
        try:
            question = await done(self.store.next_question(session_of(request)))
        except NotStored:
            question = None
        if question is None or question.token != request.path_params["token"]:
            # The text is in the form all the same, so that nothing is lost.
            question = unknown_question(request.path_params["token"])
        return self._question(request, question, reply, self.texts.words[complaint], status)

    def _question(
        self, request: Request, question: ShownQuestion, reply: SentReply, complaint: str = "", status: int = 200
    ) -> Response:
        return self._page(
            request,
            "pair_task" if isinstance(self.rules, ComparisonStudy) else "text_task",
            status,
            question=question,
            reply=reply,
            complaint=complaint,
            longest=LONGEST,
            left=max(0.0, self.rules.most_seconds - _MARGIN - question.elapsed),
            minutes=math.ceil(question.seconds_left / 60),
        )

    async def draft(self, request: Request) -> Response:
        """Keep a text that is not yet sent."""
        form = await request.form()
        try:
            await done(
                self.store.save_draft(session_of(request), request.path_params["token"], text_of(form.get("text")))
            )
        except DataError:
            return self._message("too_large", 422)
        return self._to(request, "/task")

    # Texts

    async def guide(self, request: Request) -> Response:
        """Show the guide."""
        return self._page(request, "reading", blocks=self.texts.texts["guide"], heading=self.texts.words["guide"])

    async def privacy(self, request: Request) -> Response:
        """Show what is stored."""
        return self._page(request, "reading", blocks=self.texts.texts["privacy"], heading=self.texts.words["privacy"])

    async def static(self, request: Request) -> Response:
        """Send the style or the script."""
        return static_file(request.path_params["name"]) or self._message("no_page", 404)

    async def health(self, request: Request) -> Response:
        """Say that the server is there, for a proxy that asks."""
        return PlainTextResponse("ok")

    # Ending

    async def withdraw_page(self, request: Request) -> Response:
        """Ask whether the person really wants to stop."""
        standing = await self._standing(request)
        return self._page(request, "withdraw", ended=standing.state in ENDS)

    async def withdraw(self, request: Request) -> Response:
        """Stop the sitting."""
        form = await request.form()
        await done(self.store.withdraw(session_of(request), erase=form.get("erase") == "yes"))
        return self._to(request, "/ended")

    async def feedback_page(self, request: Request) -> Response:
        """Ask for feedback after the last question."""
        standing = await self._standing(request)
        if standing.state is not AttemptState.FINISHED:
            return self._to(request, where(standing))
        return self._page(request, "feedback", longest=LONGEST, text="", complaint="")

    async def feedback(self, request: Request) -> Response:
        """Keep the feedback, and go on to the code."""
        text = text_of((await request.form()).get("text")).strip()
        standing = await self._standing(request)
        if standing.state is not AttemptState.FINISHED:
            return self._to(request, where(standing))
        try:
            if text:
                await done(self.store.give_feedback(session_of(request), text))
        except DataError:
            return self._page(
                request, "feedback", 422, longest=LONGEST, text=text, complaint=self.texts.words["too_long"]
            )
        return self._to(request, where(standing, "/done"))

    async def done(self, request: Request) -> Response:
        """Show the code of a finished sitting."""
        standing = await self._standing(request)
        if standing.state is not AttemptState.FINISHED:
            return self._to(request, where(standing))
        return self._end(request, standing, "finished")

    async def ended(self, request: Request) -> Response:
        """Show how the sitting ended, and the code of this end."""
        standing = await self._standing(request)
        if standing.state is AttemptState.FINISHED or standing.state not in ENDS:
            return self._to(request, where(standing))
        return self._end(request, standing, standing.state)

    def _end(self, request: Request, standing: Standing, words: str) -> Response:
        assert standing.code in ("complete", "screened_out", "partial"), standing
        code = getattr(self.rules.codes, standing.code)
        return self._page(request, "end", message=self.texts.words[words], code=code)

    # What all pages need

    async def _standing(self, request: Request) -> Standing:
        return await done(self.store.standing(session_of(request)))

    def _page(self, request: Request, name: str, status: int = 200, /, **values: object) -> Response:
        shared = {"base": base_of(request), "rules": self.rules, "texts": self.texts.texts, "words": self.texts.words}
        return page(name, status, **shared, **values)

    def _message(self, word: str, status: int, base: str = "") -> Response:
        return page(
            "message",
            status,
            base=base,
            rules=self.rules,
            words=self.texts.words,
            message=self.texts.words[word],
        )

    def _to(self, request: Request, path: str) -> RedirectResponse:
        return RedirectResponse(base_of(request) + path, 303)

    async def _refused_http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._message(_REFUSALS.get(error.status_code, "fault"), error.status_code, base_of(request))

    async def _refused_unknown(self, request: Request, error: Exception) -> Response:
        return self._message("no_page", 404, base_of(request))

    async def _refused_full(self, request: Request, error: Exception) -> Response:
        return self._message("not_saved", 503, base_of(request))

    async def _refused_fault(self, request: Request, error: Exception) -> Response:
        return self._message("fault", 500, base_of(request))
