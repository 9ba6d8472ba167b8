"""Builds the error for a request that a server did not answer: what failed, and what the user can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from burnish.errors import AnnotatorError
from burnish.services.endpoint import Failure, ServerConfig, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The parts of an error that depend on the kind of request (a judgement or an embedding).

    `refused`, `filtered`, `too_long` and `unanswered` are texts for those failures. `unanswered` is None if a server
    that gives no answer is treated like a missing server. `kept` says which work is not lost.
    """

    refused: str
    filtered: str
    too_long: str
    kept: str
    unanswered: str | None = None


def error_of(config: ServerConfig, field: str, failure: Failure, advice: Advice) -> AnnotatorError:
    """Return the error for a failure that the next requests would meet, too.

    `field` is the config field that names the server.
    """
    address, model, words = config.base_url, config.model, failure.text
    match failure.why:
        case Why.UNANSWERED | Why.UNREADABLE if advice.unanswered is not None:
            text = advice.unanswered
        case Why.ABSENT | Why.UNANSWERED | Why.UNREADABLE:
            text = f"{field}.base_url: {address} does not answer ({words}); start the server or correct the address"
        case Why.DENIED if failure.status in {401, 403}:
            where = config.api_key_env or "no variable: api_key_env is null"
            text = f"{field}.api_key_env: {address} refuses access to {model!r} ({words}); correct the key ({where})"
        # Servers answer 404 to an unknown model and also to a wrong path, so the error names both.
        case Why.DENIED if failure.status == 404:
            text = (
                f"{field}.model: {address} does not know {model!r} ({words}); correct the model, or the address, which "
                "often ends in /v1"
            )
        # What is left is 402, or 429 with the code for used-up credit.
        case Why.DENIED:
            text = f"{field}: {address} does not serve {model!r} without credit ({words}); add credit"
        case Why.REFUSED:
            text = advice.refused
        case Why.FILTERED:
            text = advice.filtered
        case Why.TOO_LONG:
            text = advice.too_long
        case _:
            assert_never(failure.why)
    return AnnotatorError(f"{text}; {advice.kept}")


def after_retries(count: int) -> str:
    """Return the words of an error for the retries that were in vain: nothing if there was none."""
    return f", also after {count} retr{'y' if count == 1 else 'ies'}" if count else ""
