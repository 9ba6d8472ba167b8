"""A client of an OpenAI-compatible server: requests, retries, and the reasons why a request has no answer."""

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

from burnish.config import ChatServerSettings, EmbeddingServerDiffers, JudgeConfig
from burnish.errors import AnnotatorError, ConfigError
from burnish.services.bounded import UnfitBodyError, bounded_client

if TYPE_CHECKING:
    import openai


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where a server is, the name of a model on it, and the limits of a call. `api_key_env` may be None."""

    base_url: str
    model: str
    api_key_env: str | None
    timeout: float
    retries: int


ServerConfig: TypeAlias = JudgeConfig | ChatServerSettings | EmbeddingServerDiffers | ServerAddress
"""Settings that say where a server is and where its API key is.

They also say how long a call may take, and how often it is retried.
"""


FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0
"""Seconds before the first retry, and the most seconds before a retry. The delay doubles with each retry. It is
shortened at random by up to a quarter, so that many threads do not retry at the same moment."""


LONGEST_WISH = 120.0
"""The most seconds that a server may ask to wait with the header Retry-After."""


# Request timeout, conflict, too early, too many requests: the same request can succeed later.
_TRY_AGAIN = {408, 409, 425, 429}


# This is part of both names of the field that servers complain about: `logprobs` and `top_logprobs`.
_LOGPROBS = "logprob"


# Not authorised, payment required, forbidden, not found: these depend on the key, the account, the model or the
# address.
_DENIED = {401, 402, 403, 404}


# The statuses with which servers refuse a prompt for its content.
_MAY_FILTER = {400, 403, 422, 451}


_FILTERED = re.compile(
    r"content[ _-]?(filter|policy|management|safety)|moderat|flagged|inappropriate|harmful|data[ _-]?inspection|"
    r"responsible[ _-]?ai|safety[ _-]?(system|policy|filter|setting)|usage polic",
    re.IGNORECASE,
)
"""Words with which OpenAI, Azure, OpenRouter, Alibaba and others refuse a prompt for its content."""


_TOO_LONG = re.compile(r"context|too long|too many tokens|maximum.{0,20}(length|tokens)|exceed", re.IGNORECASE)


SECRET = 8
"""A key with fewer characters is not treated as a secret. It is a dummy, such as users give to local servers."""


PREFIX = 6
"""The beginning of a key is masked if it has at least this many characters.

A shorter beginning (`sk-`) gives nothing away.
"""


_SHOWN = 300
"""How many characters of a server's own words a message shows."""


class Why(StrEnum):
    """Why a call has no answer."""

    ABSENT = "absent"
    """No server listens at the address."""
    UNANSWERED = "unanswered"
    """The server gave timeouts or errors until all retries were used."""
    UNREADABLE = "unreadable"
    """The server answered with status 200, but its answer cannot be read. It may have charged for the answer."""
    DENIED = "denied"
    """The key, the account, the model or the address is refused. Other calls would be refused, too."""
    REFUSED = "refused"
    """The server does not take this request."""
    FILTERED = "filtered"
    """The server, or a gateway in front of it, refuses this prompt for its content."""
    TOO_LONG = "too_long"
    """The prompt does not fit into the model's context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call without an answer. `text` says what happened. It never contains the API key."""

    why: Why
    text: str
    status: int | None = None
    wait: float | None = None
    """The seconds that the server asks to wait before the next try."""
    tokens: tuple[int, int] | None = None
    """The tokens (read, written) that the server counted for an answer that cannot be read."""

    @property
    def about_logprobs(self) -> bool:
        """Whether the refusal is about log-probabilities, so that the same request without them may succeed."""
        return self.why is Why.REFUSED and _LOGPROBS in self.text.lower()


class Endpoint:
    """A server at an address. Any number of threads may use it.

    It retries requests itself. The SDK's own retries go on sleeping after an interrupt, and the SDK accepts any body as
    an answer. `field` is the config field that names the server, for errors. `key` is the API key, if it does not come
    from the environment. Raises ConfigError if the API key is
    missing or the address is wrong, and AnnotatorError if the package openai is not installed.
    """

    def __init__(self, config: ServerConfig, field: str, key: str | None = None) -> None:
        self.config = config
        key = _key(config, field) if key is None else key
        self._secret = key if key and len(key) >= SECRET else None
        # The SDK raises an error without a key, so a server that needs none gets a dummy.
        self._client = _client(config, key or "none", field)
        self._met = threading.Event()

    @property
    def met(self) -> bool:
        """Whether the address ever answered anything, be it an error."""
        return self._met.is_set()

    def ask(
        self,
        send: Callable[[openai.OpenAI], str],
        read: Callable[[str], T | Failure],
        pause: Callable[[float], bool],
    ) -> T | Failure:
        """Send a request and return its answer, or a Failure if there is no answer after all retries.

        `send` makes the call and returns the body, and `read` turns the body into the answer. `pause` waits some
        seconds and says whether to stop.
        """
        outcome = self._once(send, read)
        for attempt in range(self.config.retries):
            if not isinstance(outcome, Failure) or outcome.why not in {Why.ABSENT, Why.UNANSWERED}:
                return outcome
            # An address that never answered is most likely wrong, and waiting would only delay the error.
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
            if isinstance(cause, UnfitBodyError):  # openai 2 wraps exceptions that it does not know
                return self._unfit(cause)
            # By name, because the HTTP library is a dependency of the SDK and not of burnish. UnsupportedProtocol is an
            # address without http://.
            why = Why.ABSENT if type(cause).__name__ in {"ConnectError", "UnsupportedProtocol"} else Why.UNANSWERED
            return Failure(why=why, text=self.shown(f"{type(cause).__name__}: {cause}"))
        except UnfitBodyError as error:
            return self._unfit(error)
        self._met.set()
        # The reply is kept in a file. A server that repeats the key in its reply must not bring the key into that file.
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
        """Return a text of a server in one short line of printable characters, without the key or its beginning."""
        # A server may mask the key itself and leave its ends (`sk-ab***yz`). Then the whole word is replaced.
        text = re.sub(r"\S*\*{3}\S*", "***", masked(text, self._secret))
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def delay_before(attempt: int) -> float:
    """Return the seconds to wait before a retry. The first retry is attempt 0."""
    return min(FIRST_DELAY * 2**attempt, LONGEST_DELAY) * (1 - random.random() / 4)  # noqa: S311 no secret


def masked(text: str, secret: str | None) -> str:
    """Replace a key in a text by `***`.

    This also holds for the beginning of the key, if it has six or more characters.
    """
    if secret is None:
        return text
    head, pieces, start = secret[:PREFIX], list[str](), 0
    # The key may be cut off in an error message, so its longest beginning is looked for.
    while (found := text.find(head, start)) >= 0:
        end = found + len(head)
        while end < len(text) and end - found < len(secret) and text[end] == secret[end - found]:
            end += 1
        pieces += [text[start:found], "***"]
        start = end
    return "".join([*pieces, text[start:]])


def _words(error: openai.APIStatusError) -> str:
    """Return the server's message about an error, or the whole body if there is no message."""
    match error.body:
        case {"message": str(message)}:
            return message
        case _:
            return error.response.text


def _meaning(status: int, code: str | None, text: str) -> Why:
    if _LOGPROBS in text.lower() and status in {400, 403, 422, 501}:
        return Why.REFUSED  # OpenAI answers with 403 if a model gives no log-probabilities
    if status in _MAY_FILTER and _FILTERED.search(f"{code} {text}"):
        return Why.FILTERED
    if status in _DENIED or code == "insufficient_quota":
        return Why.DENIED
    # After `_DENIED`: OpenAI answers with 429 and the code insufficient_quota if the credit is used up.
    if status >= 500 or status in _TRY_AGAIN:
        return Why.UNANSWERED
    # Last, because other complaints also say that something is exceeded, such as a 429 about the rate.
    return Why.TOO_LONG if _TOO_LONG.search(text) else Why.REFUSED


def _seconds(retry_after: str | None) -> float | None:
    try:
        wish = float(retry_after or "")
    except ValueError:
        return None  # the header is missing or holds a date: then the usual delay applies
    # `float` also reads "nan", which is not >= 0, and "inf", which becomes the longest wish.
    return min(wish, LONGEST_WISH) if wish >= 0 else None


def _key(config: ServerConfig, field: str) -> str | None:
    """Return the API key from the environment, or None if no key is needed.

    Raises ConfigError, which names the variable, if the key is missing or contains characters that no key has. A server
    on this machine needs no key.
    """
    if config.api_key_env is None:
        return None
    key = os.environ.get(config.api_key_env, "").strip()
    # Such a key, for example with a line break in it, could not be sent in an HTTP header.
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
            max_retries=0,  # `Endpoint.ask` retries
            http_client=bounded_client(config.timeout),
        )
    except Exception as error:  # the SDK's HTTP library raises errors of its own classes
        raise ConfigError(
            f"{field}.base_url: {config.base_url!r} is not an address ({error}); write http://HOST:PORT/v1"
        ) from None
