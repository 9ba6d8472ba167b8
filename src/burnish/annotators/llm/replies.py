"""The body of a chat completion, read defensively: servers differ in what they leave out."""

from __future__ import annotations

import re
from typing import Annotated, cast

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from burnish.annotators.llm.verdicts import kept_positions
from burnish.services.calls import Position, Reply


def _or_none(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError:
        return None


def _joined(value: object) -> object:
    """Return the text of content that comes in parts; a part that is no text, such as thinking, is left out."""
    if not isinstance(value, list):
        return value
    return "".join(map(_text_of, cast("list[object]", value)))


def _text_of(part: object) -> str:
    match part:
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
"""More is nonsense, and would not fit into the ledger."""


class _Usage(BaseModel):
    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None


class _Message(BaseModel):
    content: Annotated[str | None, BeforeValidator(_joined)] = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    # Servers differ in what they write here; a form that is not understood must not cost the reply.
    logprobs: Annotated[_LogProbs | None, WrapValidator(_or_none)] = None


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: Annotated[_Usage | None, WrapValidator(_or_none)] = None


def reply_of(text: str, explained: bool) -> Reply | None:
    """Read a response's body; None where it is no completion.

    Null content is an empty answer where the completion says that it ended (a refusal, thinking up to the limit): at
    temperature 0 a second call would be paid for the same. Without `finish_reason` it is no completion.
    """
    try:
        completion = _Completion.model_validate_json(text)
    except ValidationError:
        return None
    if not completion.choices:
        return None
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
    )


def usage_of(text: str) -> tuple[int, int] | None:
    """Return the tokens read and written that a body counts although it cannot be read, None where it counts none.

    The body may be cut off, or be a stream of events: the last numbers that stand in it count.
    """
    found = [_last(name, text) for name in ("prompt_tokens", "completion_tokens")]
    return None if found == [None, None] else (found[0] or 0, found[1] or 0)


def _last(name: str, text: str) -> int | None:
    numbers = re.findall(rf'(?<!\\)"{name}"\s*:\s*([0-9]{{1,12}})(?![0-9])', text)
    return int(numbers[-1]) if numbers else None


def _position(token: _Token) -> Position:
    top = [(other.token, other.logprob) for other in token.top_logprobs or ()]
    if all(other != token.token for other, _ in top):
        top.append((token.token, token.logprob))
    # Minus infinity and NaN have no JSON form; both count as probability 0, as a token that is not listed does.
    return Position(token=token.token, top=tuple(pair for pair in top if -1e9 < pair[1] < 1e9))
