"""Conversations: lists of {role, content} with the last assistant turn as the label. Pure."""

from __future__ import annotations

from pydantic import JsonValue

from burnish.forms.cells import UnusableError, is_absent, plain_text, shown, text_of
from burnish.forms.json_text import dump, parse, parse_exactly
from burnish.types import Message, Role

_CALLS = ("tool_calls", "function_call", "tool_call_id")


def turns_of(value: JsonValue, column: str) -> tuple[Message, ...]:
    """Return the turns of a cell: a list of messages, or the same as JSON text (all that a CSV file can hold).

    Raises UnusableError naming the turn whose role or content cannot be used.
    """
    if is_absent(value):
        found = "NaN" if isinstance(value, float) else "null" if value is None else "blank"
        raise UnusableError(f"column {column!r} is {found}; write a list of {{role, content}} or remove the row")
    listed = parse(value.encode(errors="surrogatepass")) if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        raise UnusableError(f"column {column!r} is {shown(value)}; write a list of {{role, content}}")
    return tuple(_turn(turn, f"{column}[{index}]") for index, turn in enumerate(listed))


def _turn(turn: JsonValue, place: str) -> Message:
    if not isinstance(turn, dict):
        raise UnusableError(f"{place} is {shown(turn)}; write {{role, content}}")
    role = turn.get("role")
    if role not in tuple(Role):
        raise UnusableError(f"{place}.role is {shown(role)}; only system, user and assistant turns can be used")
    if called := [key for key in _CALLS if turn.get(key)]:
        raise UnusableError(f"{place} has {called[0]}, and rows with tool calls cannot be used; remove the row")
    content = turn.get("content")
    if isinstance(content, list):
        raise UnusableError(f"{place}.content is a list of parts, found {shown(content)}; only text can be used")
    if content is None:
        raise UnusableError(f"{place}.content is null; write text or remove the row")
    return Message(role=Role(role), content=plain_text(content, f"{place}.content"))


def labelled(turns: tuple[Message, ...], column: str) -> tuple[tuple[Message, ...], str]:
    """Split a conversation into what comes before the last assistant turn, and that turn's text."""
    answered = [index for index, turn in enumerate(turns) if turn.role is Role.ASSISTANT]
    if not answered:
        raise UnusableError(f"column {column!r} has no assistant turn; add the answer or remove the row")
    last = answered[-1]
    if last < len(turns) - 1:
        raise UnusableError(
            f"column {column!r} ends with a {turns[-1].role} turn after the last answer; end with an assistant turn"
        )
    prompt = prompt_turns(turns[:last], column)
    return prompt, text_of(turns[last].content, f"{column}[{last}].content", "completion")


def prompt_turns(turns: tuple[Message, ...], column: str) -> tuple[Message, ...]:
    """Return the turns of a prompt; the one that is answered must not be blank, a system turn before it may be."""
    if not turns:
        raise UnusableError(f"empty prompt: column {column!r} begins with the answer; put a user turn before it")
    text_of(turns[-1].content, f"{column}[{len(turns) - 1}].content", "prompt")
    return turns


def only_answer(turns: tuple[Message, ...], column: str) -> str:
    """Return the text of a conversational completion, which is one assistant turn."""
    if len(turns) != 1 or turns[0].role is not Role.ASSISTANT:
        roles = ", ".join(turn.role for turn in turns)
        raise UnusableError(f"column {column!r} has the turns {roles:.80}; write exactly one assistant turn")
    return text_of(turns[0].content, f"{column}[0].content", "completion")


def with_last_content(value: JsonValue, content: str) -> JsonValue:
    """Return a conversation with another text in its last turn; other keys stay, and JSON text stays JSON text."""
    listed = parse_exactly(value.encode()) if isinstance(value, str) else value
    assert isinstance(listed, list), listed
    last = listed[-1]
    assert isinstance(last, dict), last
    changed: JsonValue = [*listed[:-1], {**last, "content": content}]
    return dump(changed).decode() if isinstance(value, str) else changed
