"""Reads the body of a chat completion. It accepts many forms, because servers differ in what they leave out."""

from __future__ import annotations

import re
from typing import Annotated, cast

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from burnish.annotators.llm.verdicts import kept_positions
from burnish.services.calls import Position, Reply


def _or_none(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """Return the validated value, or None if it is not valid."""
    try:
        return handler(value)
    except ValidationError:
        return None


def _joined(value: object) -> object:
    """Return the text of content that comes in parts. Parts that are not text, such as thinking, are left out."""
    if not isinstance(value, list):
        return value
    return "".join(map(_text_of, cast("list[object]", value)))


def _text_of(part: object) -> str:
    match part:
        # Servers send three forms: a plain text, `text` of chat completions, and `output_text` of OpenAI's responses.
        case str(text) | {"type": "text" | "output_text", "text": str(text)}:
            return text
        case _:
            return ""


class _Likely(BaseModel):
    token: str
    logprob: float


class _Token(_Likely):
    top_logprobs: list[_Likely] | None = None


class _LogProbs(BaseModel):
    content: list[_Token] | None = None


_Tokens = Annotated[int, Field(ge=0, le=10**12)]
"""A number of tokens. A larger number is nonsense, and would not fit into the ledger."""


class _Usage(BaseModel):
    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None


class _Message(BaseModel):
    content: Annotated[str | None, BeforeValidator(_joined)] = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    # Servers differ in what they write here. If the form is not understood, the rest of the reply is still used.
    logprobs: Annotated[_LogProbs | None, WrapValidator(_or_none)] = None


_CUT = "length"
"""The `finish_reason` of an answer that was cut at the limit of tokens."""


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: Annotated[_Usage | None, WrapValidator(_or_none)] = None


def reply_of(text: str, explained: bool) -> Reply | None:
    """Read the body of a response. Return None if it is not a completion.

    If the content is null, the answer is empty, but only if the completion says that it ended (a refusal, or thinking
    up to the limit). It is not asked again, because at temperature 0 a second call would cost money and give the same.
    Null content without `finish_reason` is not a completion.
    """
    try:
        completion = _Completion.model_validate_json(text)
    except ValidationError:
        return None
    if not completion.choices:
        return None
    # Only one choice is asked for: `n` cannot be set.
    choice, usage = completion.choices[0], completion.usage or _Usage()
    content = choice.message.content
    if content is None and choice.finish_reason is None:
        return None
    tokens = choice.logprobs.content if choice.logprobs else None
    return Reply(
        text=content or "",
        positions=kept_positions([_position(token) for token in tokens], explained) if tokens else None,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        finished=choice.finish_reason != _CUT,
    )


def usage_of(text: str) -> tuple[int, int] | None:
    """Return the tokens (read, written) that a body reports although it cannot be read, or None if it reports none.

    The body may be cut off, or be a stream of events. Therefore the last numbers in its text are taken.
    """
    counts = [_last(name, text) for name in ("prompt_tokens", "completion_tokens")]
    return None if counts == [None, None] else (counts[0] or 0, counts[1] or 0)


def _last(name: str, text: str) -> int | None:
    # A quote after a backslash is inside a text, for example in an answer that quotes JSON.
    numbers = re.findall(rf'(?<!\\)"{name}"\s*:\s*([0-9]{{1,12}})(?![0-9])', text)
    return int(numbers[-1]) if numbers else None


def _position(token: _Token) -> Position:
    top = [(other.token, other.logprob) for other in token.top_logprobs or ()]
    # Some servers list only other tokens, or none at all.
    if all(other != token.token for other, _ in top):
        top.append((token.token, token.logprob))
    # Minus infinity and NaN have no JSON form, so they are dropped. A token that is not listed counts as probability 0.
    return Position(token=token.token, top=tuple(pair for pair in top if -1e9 < pair[1] < 1e9))
