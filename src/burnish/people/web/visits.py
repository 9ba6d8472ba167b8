"""What a request of a person says: the ids in the link, the session, the fields of a form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeAlias, TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from burnish.config.study import Platform
from burnish.people.study.model import (
    ENDS,
    AttemptState,
    ItemRole,
    NoSuchQuestion,
    SentReply,
    ShownQuestion,
    Standing,
)

T = TypeVar("T")
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
COOKIE = "study_session"
LINK_NAMES: dict[Platform, tuple[str, ...]] = {
    Platform.PROLIFIC: ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"),
    Platform.CONNECT: ("participantId", "assignmentId", "projectId"),
    Platform.LINK: ("participant",),
}
"""The names in a link that hold the ids: of the person, of the study, and of the session on the platform."""
LONGEST_ID = 200


async def done(future: Future[T]) -> T:
    """Wait until an operation is committed, and return its value."""
    return await asyncio.wrap_future(future)


def session_of(request: Request) -> str:
    """Return the secret of the session. Raises NoSuchQuestion if the browser sends none."""
    session = request.cookies.get(COOKIE)
    if not session:
        raise NoSuchQuestion("no session; open the link of the study")
    return session


def base_of(request: Request) -> str:
    """Return the part of the path in front of all pages, where a proxy serves the study under one."""
    root: str = request.scope.get("root_path", "")
    return quote(root.rstrip("/"))


def where(standing: Standing, finished: str = "/feedback") -> str:
    """Return the page of a person who has no open question."""
    if standing.state is AttemptState.ARRIVED:
        return "/welcome"
    if standing.state is AttemptState.FINISHED:
        return finished
    return "/ended" if standing.state in ENDS else "/task"


def text_of(value: object) -> str:
    """Return a field of a form as text."""
    # A file in place of a text counts as no text. Browsers send line ends as \r\n.
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""


async def reply_of(request: Request) -> SentReply:
    """Return the fields of the form of a question."""
    form = await request.form()
    value, pasted = text_of(form.get("value")), text_of(form.get("pasted"))
    number = value.removeprefix("-")
    return SentReply(
        text=text_of(form.get("text")),
        value=int(value) if len(number) < 4 and number.isascii() and number.isdecimal() else None,
        note=text_of(form.get("note")).strip(),
        pasted=int(pasted) if len(pasted) < 8 and pasted.isascii() and pasted.isdecimal() else 0,
        trapped=bool(text_of(form.get("website"))),
    )


def unknown_question(token: str) -> ShownQuestion:
    """Return a question without its texts, for a form that only keeps what a person wrote."""
    return ShownQuestion(
        token=token,
        role=ItemRole.WORK,
        prompt="",
        first="",
        second="",
        draft="",
        number=0,
        of=0,
        again=False,
        elapsed=0.0,
        seconds_left=0.0,
    )
