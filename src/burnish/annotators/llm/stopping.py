"""What a judge says when no further call can succeed."""

from __future__ import annotations

from typing import assert_never

from burnish.config import JudgeConfig
from burnish.errors import AnnotatorError
from burnish.services.endpoint import Failure, Why

KEPT = "what was answered is kept"


def stopped(config: JudgeConfig, failure: Failure) -> AnnotatorError:
    """Return the error for a failure that the next calls would share."""
    named, address, model, words = config.field, config.base_url, config.model, failure.text
    match failure.why:
        case Why.ABSENT | Why.UNANSWERED | Why.UNREADABLE:
            text = f"{named}.base_url: {address} does not answer ({words}); start the server or correct the address"
        case Why.DENIED if failure.status in {401, 403}:
            where = config.api_key_env or "no variable: api_key_env is null"
            text = f"{named}.api_key_env: {address} refuses access to {model!r} ({words}); correct the key ({where})"
        case Why.DENIED if failure.status == 404:
            text = (
                f"{named}.model: {address} does not know {model!r} ({words}); correct the model, or the address, "
                "which often ends in /v1"
            )
        case Why.DENIED:
            text = f"{named}: {address} serves {model!r} to nobody without credit ({words}); add credit"
        case Why.FILTERED:
            text = (
                f"{named}: {address} refuses all that {model!r} is asked for what it is about ({words}); use another "
                "server or model"
            )
        case Why.REFUSED:
            text = f"{named}: {address} refuses what {model!r} is asked ({words}); correct model, max_tokens or extra"
        case Why.TOO_LONG:
            text = (
                f"{named}: no prompt fits into the context of {model!r} at {address} ({words}); give the server a "
                "longer context or use another model"
            )
        case _:
            assert_never(failure.why)
    return AnnotatorError(f"{text}; {KEPT}")
