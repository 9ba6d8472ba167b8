"""Reads the bodies that servers of completions send back. Nothing is believed that can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from burnish.errors import brief


class UnfitReplyError(Exception):
    """The server answered with status 200, but not what was asked. The message says what came instead."""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """An answer. `ids` are its tokens with the one that ended it, or None if the server does not report them.

    `finished` is false if it was cut at the limit of tokens, and `tokens` counts the one that ended it.
    """

    text: str
    ids: tuple[int, ...] | None
    finished: bool
    tokens: int


class _Logprob(BaseModel):
    logprob: float


class _CompletionChoice(BaseModel):
    text: str
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    prompt_logprobs: list[dict[str, _Logprob] | None] | None = None


class _TokenUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _CompletionReply(BaseModel):
    model: str
    choices: list[_CompletionChoice] = Field(min_length=1, max_length=1)
    usage: _TokenUsage


class _Named(BaseModel):
    id: str
    max_model_len: int | None = None


class _Models(BaseModel):
    data: list[_Named]


class _Version(BaseModel):
    version: str


def read_answer(body: str, model: str, prompt: Sequence[int]) -> ServerAnswer:
    """Read the answer of `model` to a prompt of token ids. Raises UnfitReplyError if the body is none."""
    reply = _reply(body, model, prompt)
    choice = reply.choices[0]
    # Servers also say `abort` or `error`. Such an answer ends anywhere.
    if choice.finish_reason not in {"stop", "length"}:
        raise UnfitReplyError(f"an answer came that ended for the reason {brief(choice.finish_reason)}")
    ids = None if choice.token_ids is None else tuple(choice.token_ids)
    return ServerAnswer(
        text=choice.text,
        ids=ids,
        finished=choice.finish_reason == "stop",
        tokens=reply.usage.completion_tokens if ids is None else len(ids),
    )


def read_logprobs(body: str, model: str, row: Sequence[int], start: int) -> float:
    """Return the sum of log p(token | the tokens before it) in nats, over the tokens of a row from `start` on.

    Raises UnfitReplyError if the body does not hold these log-probabilities.
    """
    found = _reply(body, model, row).choices[0].prompt_logprobs
    if found is None or len(found) != len(row):
        count = "none" if found is None else f"{len(found)} places"
        raise UnfitReplyError(f"log-probabilities of {len(row)} tokens were asked for, and {count} came")
    total = 0.0
    for place in range(start, len(row)):
        # A place has the log-probabilities of the most likely tokens, too, if the server is set up so.
        one = (found[place] or {}).get(str(row[place]))
        if one is None:
            raise UnfitReplyError(f"the log-probability of token {row[place]} at place {place} did not come")
        total += one.logprob
    return total


def read_models(body: str) -> dict[str, int | None]:
    """Return {name: the most tokens of prompt and answer, or None} of the models on a server.

    Raises UnfitReplyError if the body is no list of models.
    """
    try:
        return {one.id: one.max_model_len for one in _Models.model_validate_json(body).data}
    except ValidationError:
        raise UnfitReplyError(f"no list of models came: {brief(body)}") from None


def read_version(body: str) -> str:
    """Return the version of a server. Raises UnfitReplyError if the body names none."""
    try:
        return public(_Version.model_validate_json(body).version)
    except ValidationError:
        raise UnfitReplyError(f"no version came: {brief(body)}") from None


def public(version: str) -> str:
    """Return a version without what follows a plus sign: the device for which it was built, which changes rounding."""
    return version.partition("+")[0]


def _reply(body: str, model: str, prompt: Sequence[int]) -> _CompletionReply:
    try:
        reply = _CompletionReply.model_validate_json(body)
    except ValidationError:
        raise UnfitReplyError(f"no completion came: {brief(body)}") from None
    # Some servers ignore the name of the model and answer with whatever they have.
    if reply.model != model:
        raise UnfitReplyError(f"the model {brief(reply.model)} answered, but {model!r} was asked")
    # Some servers put a token of their own before a prompt, or cut a long one.
    if reply.usage.prompt_tokens != len(prompt):
        raise UnfitReplyError(f"the server read {reply.usage.prompt_tokens} tokens of a prompt of {len(prompt)}")
    return reply
