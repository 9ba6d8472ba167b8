"""What every request passes through: limits, the check where a form comes from, and the headers of every answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 256 * 1024
"""The most bytes of a request: 20,000 characters, each written as `%F0%9F%98%80`."""
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(slots=True)
class RateLimit:
    """Lets each key act `burst` times at once, and then `per_second` times a second."""

    burst: float
    per_second: float
    clock: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def allows(self, key: str) -> bool:
        """Count one act of a key, and say whether it is allowed."""
        now = self.clock()
        if len(self._left) > 50_000:  # a flood of keys must not fill the memory
            self._forget(now)
        left, then = self._left.get(key, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.per_second)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def _forget(self, now: float) -> None:
        """Drop the keys that have all of their acts again."""
        whole = self.burst / self.per_second
        self._left = {key: value for key, value in self._left.items() if now - value[1] < whole}


def from_this_site(headers: Headers) -> bool:
    """Say whether a form was sent from a page of this server.

    Browsers say where a form comes from in `Sec-Fetch-Site`; older ones only in `Origin`. A request with neither is
    refused.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] == headers.get("host")


def cookie_of(headers: Headers, name: str) -> str | None:
    """Return the value of a cookie, or None."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


class RequestGuard:
    """Wraps an app. `refused` makes the page for a status such as 403.

    `hosts`, where it is given, are the only values of `Host` that are answered. A page of another site that lets its
    name point to this machine is refused by it. `clock` is that of the limits.
    """

    def __init__(
        self,
        app: ASGIApp,
        refused: Callable[[int], Response],
        cookie: str,
        hosts: frozenset[str] | None = None,
        by_session: RateLimit | None = None,
        by_address: RateLimit | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app, self.refused, self.cookie, self.hosts = app, refused, cookie, hosts
        # A person sends a draft every few seconds. Many people may share one address.
        self.by_session = by_session or RateLimit(burst=60, per_second=4, clock=clock)
        self.by_address = by_address or RateLimit(burst=2000, per_second=200, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = self._status(scope, Headers(scope=scope))
        if status is not None:
            await self._refuse(status, scope, receive, send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            # A request need not say its length before. The app shows the page for this status.
            if read > LARGEST_BODY:
                raise HTTPException(413)
            return message

        async def with_headers(message: Message) -> None:
            _add_headers(message)
            await send(message)

        await self.app(scope, bounded, with_headers)

    def _status(self, scope: Scope, headers: Headers) -> int | None:
        """Return the status with which a request is refused, or None."""
        method, length = scope["method"], headers.get("content-length", "0")
        foreign = self.hosts is not None and headers.get("host") not in self.hosts
        if foreign or (method == "POST" and not from_this_site(headers)):
            return 403
        if method not in {"GET", "HEAD", "POST"}:
            return 405
        if not length.isdecimal() or int(length[:12]) > LARGEST_BODY:
            return 413
        client, session = scope.get("client"), cookie_of(headers, self.cookie)
        allowed = self.by_address.allows(client[0] if client else "") and (
            session is None or self.by_session.allows(session)
        )
        return None if allowed else 429

    async def _refuse(self, status: int, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            _add_headers(message)
            await send(message)

        response = self.refused(status)
        if status == 429:
            response.headers["retry-after"] = "5"
        # The rest of the body was not read, so the connection cannot be used again.
        response.headers["connection"] = "close"
        await response(scope, receive, with_headers)


def _add_headers(message: Message) -> None:
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
