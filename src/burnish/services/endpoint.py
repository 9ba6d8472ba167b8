"""An OpenAI-compatible endpoint: requests, retries, and why a request has no answer."""

from __future__ import annotations

import ipaddress
import os
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from urllib.parse import urlsplit

from burnish.config import EmbeddingServerDiffers, JudgeConfig
from burnish.errors import AnnotatorError, ConfigError
from burnish.services.bounded import UnfitBodyError, bounded_client

if TYPE_CHECKING:
    import openai


T = TypeVar("T")


ServerConfig: TypeAlias = JudgeConfig | EmbeddingServerDiffers
"""What says where a server is, where its key is, and with what patience it is asked."""


FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0
"""Seconds before the first retry, doubled for each later one up to the second number; less up to a quarter."""


LONGEST_WISH = 120.0
"""Seconds that a server's Retry-After may ask for."""


_TRY_AGAIN = {408, 409, 425, 429}


_LOGPROBS = "logprob"


_DENIED = {401, 402, 403, 404}


_MAY_FILTER = {400, 403, 422, 451}


_FILTERED = re.compile(
    r"content[ _-]?(filter|policy|management|safety)|moderat|flagged|inappropriate|harmful|data[ _-]?inspection|"
    r"responsible[ _-]?ai|safety[ _-]?(system|policy|filter|setting)|usage polic",
    re.IGNORECASE,
)
"""Words by which OpenAI, Azure, OpenRouter, Alibaba and others refuse what a prompt is about."""


_TOO_LONG = re.compile(r"context|too long|too many tokens|maximum.{0,20}(length|tokens)|exceed", re.IGNORECASE)


SECRET = 8
"""Characters from which on a key is one; shorter ones are dummies that local servers are given."""


PREFIX = 6
"""Characters of a key's beginning from which on it is masked; shorter ones (`sk-`) say nothing."""


_SHOWN = 300
"""Characters of a server's own words in a message."""


class Why(StrEnum):
    """Why a call has no answer."""

    ABSENT = "absent"
    """Nobody listens at the address."""
    UNANSWERED = "unanswered"
    """Timeouts and errors of the server, until the retries were used up."""
    UNREADABLE = "unreadable"
    """The server answered with status 200, and nothing can be read from what it sent. It may have charged for it."""
    DENIED = "denied"
    """The key, the account, the model or the address is refused: no call can do better."""
    REFUSED = "refused"
    """The server does not take this request."""
    FILTERED = "filtered"
    """The server, or a gateway before it, refuses what this prompt is about."""
    TOO_LONG = "too_long"
    """The prompt does not fit into the model's context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call without an answer; `text` holds no key."""

    why: Why
    text: str
    status: int | None = None
    wait: float | None = None
    """Seconds that the server asks to wait before the next try."""
    tokens: tuple[int, int] | None = None
    """Tokens read and written that the server counted for an answer that cannot be read."""

    @property
    def about_logprobs(self) -> bool:
        """Whether the server may take the request without log-probabilities."""
        return self.why is Why.REFUSED and _LOGPROBS in self.text.lower()


class Endpoint:
    """An address that is asked from any number of threads. Retries are its own: the SDK's sleep through an interrupt,
    and it takes any body for an answer.

    `field` is where a config names the server, for errors. Raises ConfigError for a missing key or an address that is
    none, AnnotatorError without openai.
    """

    def __init__(self, config: ServerConfig, field: str) -> None:
        self.config = config
        key = _key(config, field)
        self._secret = key if key and len(key) >= SECRET else None
        self._client = _client(config, key or "none", field)
        self._met = threading.Event()

    @property
    def met(self) -> bool:
        """Whether anything was ever answered from the address, an error or not."""
        return self._met.is_set()

    def ask(
        self,
        send: Callable[[openai.OpenAI], str],
        read: Callable[[str], T | Failure],
        pause: Callable[[float], bool],
    ) -> T | Failure:
        """Return what `read` makes of the body that `send` brings, or why there is none after all retries.

        `pause` waits and says whether to stop.
        """
        outcome = self._once(send, read)
        for attempt in range(self.config.retries):
            if not isinstance(outcome, Failure) or outcome.why not in {Why.ABSENT, Why.UNANSWERED}:
                return outcome
            # An address where nobody ever answered is most likely wrong: waiting would only delay the message.
            if outcome.why is Why.ABSENT and not self.met:
                return outcome
            if pause(max(delay_before(attempt), outcome.wait or 0.0)):
                return outcome
            outcome = self._once(send, read)
        return outcome

    def _once(self, send: Callable[[openai.OpenAI], str], read: Callable[[str], T | Failure]) -> T | Failure:
        import openai

        try:
            text = send(self._client)
        except openai.APIStatusError as error:
            self._met.set()
            return self._status(error)
        except openai.APITimeoutError:
            return Failure(why=Why.UNANSWERED, text=f"no answer within {self.config.timeout:g} s")
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            if isinstance(cause, UnfitBodyError):  # openai 2 wraps what it does not know
                return self._unfit(cause)
            why = Why.ABSENT if type(cause).__name__ in {"ConnectError", "UnsupportedProtocol"} else Why.UNANSWERED
            return Failure(why=why, text=self.shown(f"{type(cause).__name__}: {cause}"))
        except UnfitBodyError as error:
            return self._unfit(error)
        self._met.set()
        # What comes back is kept in a file: a server that echoes the key must not write it there.
        return read(masked(text, self._secret))

    def _unfit(self, error: UnfitBodyError) -> Failure:
        self._met.set()
        return Failure(why=Why.UNREADABLE, text=self.shown(str(error)))

    def _status(self, error: openai.APIStatusError) -> Failure:
        words = _words(error)
        return Failure(
            why=_meaning(error.status_code, error.code, words),
            text=f"HTTP {error.status_code}: {self.shown(words)}",
            status=error.status_code,
            wait=_seconds(error.response.headers.get("retry-after")),
        )

    def shown(self, text: str) -> str:
        """Return a stranger's text in one short line of printable characters, without the key or its beginning."""
        text = re.sub(r"\S*\*{3}\S*", "***", masked(text, self._secret))
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def delay_before(attempt: int) -> float:
    """Return the seconds to wait before a retry; the first one is attempt 0."""
    return min(FIRST_DELAY * 2**attempt, LONGEST_DELAY) * (1 - random.random() / 4)  # noqa: S311 no secret


def masked(text: str, secret: str | None) -> str:
    """Replace a key in a text by `***`, also where the text holds only its first characters, six or more."""
    if secret is None:
        return text
    head, pieces, start = secret[:PREFIX], list[str](), 0
    while (found := text.find(head, start)) >= 0:
        end = found + len(head)
        while end < len(text) and end - found < len(secret) and text[end] == secret[end - found]:
            end += 1
        pieces += [text[start:found], "***"]
        start = end
    return "".join([*pieces, text[start:]])


def _words(error: openai.APIStatusError) -> str:
    """Return what the server says: its message, or whatever it sent."""
    match error.body:
        case {"message": str(message)}:
            return message
        case _:
            return error.response.text


def _meaning(status: int, code: str | None, text: str) -> Why:
    if _LOGPROBS in text.lower() and status in {400, 403, 422, 501}:
        return Why.REFUSED  # OpenAI answers 403 where a model gives none
    if status in _MAY_FILTER and _FILTERED.search(f"{code} {text}"):
        return Why.FILTERED
    if status in _DENIED or code == "insufficient_quota":
        return Why.DENIED
    if status >= 500 or status in _TRY_AGAIN:
        return Why.UNANSWERED
    return Why.TOO_LONG if _TOO_LONG.search(text) else Why.REFUSED


def _seconds(retry_after: str | None) -> float | None:
    try:
        wish = float(retry_after or "")
    except ValueError:
        return None  # a date, or none: the usual delay
    return min(wish, LONGEST_WISH) if wish >= 0 else None


def _key(config: ServerConfig, field: str) -> str | None:
    """Return the key from the environment, None where none is wanted. Raises ConfigError naming the variable."""
    if config.api_key_env is None:
        return None
    key = os.environ.get(config.api_key_env, "").strip()
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"{field}.api_key_env: the value of {config.api_key_env} holds characters that no key has; set it again"
        )
    if not key and not _is_local(config.base_url):
        raise ConfigError(
            f"{field}.api_key_env: the environment variable {config.api_key_env} is not set; set it to the key for "
            f"{config.base_url}, or write api_key_env: null if the server wants none"
        )
    return key or None


def _is_local(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _client(config: ServerConfig, key: str, field: str) -> openai.OpenAI:
    try:
        import openai
    except ImportError:
        raise AnnotatorError(
            f"{field}: a server is asked through the package `openai`, which is not installed; run pip install "
            "'burnish[judge]'"
        ) from None
    try:
        return openai.OpenAI(
            base_url=config.base_url,
            api_key=key,
            timeout=config.timeout,
            max_retries=0,
            http_client=bounded_client(config.timeout),
        )
    except Exception as error:  # the SDK's HTTP library has its own errors, which are not the SDK's
        raise ConfigError(
            f"{field}.base_url: {config.base_url!r} is no address ({error}); write http://HOST:PORT/v1"
        ) from None
