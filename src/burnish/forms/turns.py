"""Conversations: lists of {role, content} or {from, value}.

The last assistant turn is the label. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from burnish.forms.cells import UnusableError, is_absent, parts_of, plain_text, shown, text_of
from burnish.forms.json_text import parse
from burnish.types import Message, Role

_CALLS = ("tool_calls", "function_call", "tool_call_id")
_TRAINED = ("train", "training")
_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("system", "developer"), Role.SYSTEM),
    **dict.fromkeys(("user", "human"), Role.USER),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot"), Role.ASSISTANT),
}
"""The roles by the names that people give to speakers, in small letters."""


def listed(value: JsonValue, column: str) -> list[JsonValue]:
    """Return a cell as a list of turns. The list may also be written as JSON text, because a CSV file has only texts.

    Raises UnusableError, which names the column, if the cell holds no such list.
    """
    if is_absent(value):
        found = "NaN" if isinstance(value, float) else "null" if value is None else "blank"
        raise UnusableError(f"column {column!r} is {found}; write a list of {{role, content}} or remove the row")
    # `surrogatepass` lets half a surrogate pair through to the parser, which says where it stands.
    turns = parse(value.encode(errors="surrogatepass")) if isinstance(value, str) else value
    if not isinstance(turns, list) or not turns:
        raise UnusableError(f"column {column!r} is {shown(value)}; write a list of {{role, content}}")
    return turns


def turns_of(turns: list[JsonValue], column: str) -> tuple[Message, ...]:
    """Return turns as messages. Raises UnusableError, which names the turn, if its role or content cannot be used."""
    return tuple(_turn(turn, f"{column}[{index}]") for index, turn in enumerate(turns))


def role_key(turn: Mapping[str, JsonValue]) -> str:
    """Return the key of a turn that says who speaks: `role`, or `from` in the form of ShareGPT."""
    # ShareGPT's keys are `from` and `value`. They count only if the turn has no `role` and no `content`. So an extra
    # key `from` in an ordinary message does no harm.
    return "from" if "from" in turn and "role" not in turn else "role"


def content_key(turn: Mapping[str, JsonValue]) -> str:
    """Return the key of a turn that holds its text: `content`, or `value` in the form of ShareGPT."""
    return "value" if "value" in turn and "content" not in turn else "content"


def _turn(turn: JsonValue, place: str) -> Message:
    if not isinstance(turn, dict):
        raise UnusableError(f"{place} is {shown(turn)}; write {{role, content}}")
    role = turn.get(role_key(turn))
    # Turns of tools (`tool`, `function`, `observation`) cannot be used. Without the calls their text means nothing.
    speaker = _ROLES.get(role.casefold()) if isinstance(role, str) else None
    if speaker is None:
        raise UnusableError(
            f"{place}.{role_key(turn)} is {shown(role)}; only system, user and assistant turns can be used"
        )
    # Only keys with a value count. Arrow gives every turn the same keys, so `tool_calls` is often there with the value
    # null.
    if called := [key for key in _CALLS if turn.get(key)]:
        raise UnusableError(f"{place} has {called[0]}, and rows with tool calls cannot be used; remove the row")
    return Message(role=speaker, content=_content(turn.get(content_key(turn)), f"{place}.{content_key(turn)}"))


def _content(content: JsonValue, place: str) -> str:
    if isinstance(content, list):
        parts = parts_of(content)
        if parts is None:
            raise UnusableError(f"{place} is a list of parts, found {shown(content)}; only text can be used")
        content = "".join(parts)
    if content is None:
        raise UnusableError(f"{place} is null; write text or remove the row")
    return plain_text(content, place)


def is_untrained(turn: JsonValue) -> bool:
    """Say whether a turn is marked as one that must not be learned.

    The marks are `weight: 0`, `train: false` and `training: false`.
    """
    if not isinstance(turn, dict):
        return False
    weight = turn.get("weight")
    # False equals 0 in Python, and a weight of false can mean nothing else.
    return (isinstance(weight, int | float) and weight == 0) or any(turn.get(key) is False for key in _TRAINED)


def check_label(turn: JsonValue, place: str) -> None:
    """Check that the answer may be learned.

    Raises UnusableError, which names `place`, if the answer is marked as one that must not be learned. Then there is no
    label to refine.
    """
    if is_untrained(turn):
        raise UnusableError(
            f"{place} is the answer and is marked as not to be trained on (weight 0, or train false); remove the mark "
            "or the row"
        )


def labelled(turns: tuple[Message, ...], column: str) -> tuple[tuple[Message, ...], str]:
    """Split a conversation into the turns before the last assistant turn, and the text of that turn.

    Raises UnusableError, which names the column, if there is no assistant turn, if another turn follows it, or if the
    prompt or the answer is empty.
    """
    answered = [index for index, turn in enumerate(turns) if turn.role is Role.ASSISTANT]
    if not answered:
        raise UnusableError(f"column {column!r} has no assistant turn; add the answer or remove the row")
    last = answered[-1]
    # A conversation that ends with a question has no answer to it. Its last answer comes earlier, and the turns after
    # that answer would be lost.
    if last < len(turns) - 1:
        raise UnusableError(
            f"column {column!r} ends with a {turns[-1].role} turn after the last answer; end with an assistant turn"
        )
    prompt = prompt_turns(turns[:last], column)
    return prompt, text_of(turns[last].content, f"{column}[{last}].content", "completion")


def prompt_turns(turns: tuple[Message, ...], column: str) -> tuple[Message, ...]:
    """Return the turns of a prompt as they are.

    Raises UnusableError, which names the column, if there are no turns or the last turn is blank. A turn before it may
    be blank.
    """
    if not turns:
        raise UnusableError(f"empty prompt: column {column!r} begins with the answer; put a user turn before it")
    text_of(turns[-1].content, f"{column}[{len(turns) - 1}].content", "prompt")
    return turns


def only_answer(turns: tuple[Message, ...], column: str) -> str:
    """Return the text of a completion that is written as a list of messages.

    Raises UnusableError, which names the column, unless the list is one assistant turn with a text that is not blank.
    """
    if len(turns) != 1 or turns[0].role is not Role.ASSISTANT:
        roles = ", ".join(turn.role for turn in turns)
        raise UnusableError(f"column {column!r} has the turns {roles:.80}; write exactly one assistant turn")
    return text_of(turns[0].content, f"{column}[0].content", "completion")


def earlier_turns(value: JsonValue, column: str) -> tuple[Message, ...]:
    """Return a history as messages. It is a list of [question, answer] pairs or of messages, and it must not be empty.

    Raises UnusableError, which names the column, if the cell holds no such list.
    """
    turns: list[Message] = []
    # LLaMA-Factory's Alpaca files hold a history as pairs.
    for index, one in enumerate(listed(value, column)):
        place = f"{column}[{index}]"
        if isinstance(one, list) and len(one) == 2:
            asked, answered = (plain_text(text, place) for text in one)
            turns += [Message(role=Role.USER, content=asked), Message(role=Role.ASSISTANT, content=answered)]
        elif isinstance(one, dict):
            turns.append(_turn(one, place))
        else:
            raise UnusableError(f"{place} is {shown(one)}; write a pair [question, answer] or {{role, content}}")
    return tuple(turns)
