"""Says what a user can do if no further call to a judge can succeed."""

from __future__ import annotations

from burnish.config import JudgeConfig
from burnish.services.endpoint import Failure
from burnish.services.failures import Advice

KEPT = "the answers so far are kept"


def advice(config: JudgeConfig, failure: Failure) -> Advice:
    """Return the parts of the error for a failed call that depend on the judge."""
    named, address, model, words = config.field, config.base_url, config.model, failure.text
    return Advice(
        refused=f"{named}: {address} refuses the requests to {model!r} ({words}); correct model, max_tokens or extra",
        filtered=f"{named}: {address} refuses all prompts to {model!r} because of their content ({words}); use another "
        "server or model",
        too_long=f"{named}: no prompt fits into the context of {model!r} at {address} ({words}); give the server a "
        "longer context or use another model",
        kept=KEPT,
    )
