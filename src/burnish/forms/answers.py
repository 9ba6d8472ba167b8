"""Finds the answer in a row, and puts another answer in its place. All other bytes stay as they are.

A path leads from a row to its answer. It consists of the name of a column, and then of places in lists and objects. The
step `TEXT` goes into a JSON value that is held as text, because a CSV file holds a conversation in this way. All
functions are pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pydantic import JsonValue

from burnish.forms.cells import parts_of
from burnish.forms.json_text import dump
from burnish.forms.turns import content_key, listed


class Inside(Enum):
    """A step into the JSON value that a text holds."""

    TEXT = "text"


TEXT = Inside.TEXT
PathStep: TypeAlias = str | int | Inside
AnswerPath: TypeAlias = tuple[PathStep, ...]

# Numbers are kept as texts. This decoder only finds where values begin and end, and Python makes no int of 5,000
# digits.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, strict=False)
_SPACE = re.compile(r"[ \t\n\r]*")
# A number as JSON writes it: an optional minus, then 0 or digits without a leading 0 (`-12`), an optional fraction
# (`.50`), an optional exponent (`E5`, `e-3`). `007` and `.5` are not numbers in JSON, so they become texts.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
# The longest form comes first: two escapes that stand for one character in Python (a surrogate pair such as
# `\ud83d\ude00`). Then comes one escape of four digits (`\u00e9`), and last a backslash with one character (`\n`,
# `\"`).
_ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.", re.DOTALL)
"""Matches an escape that stands for one character in a JSON text."""


def answer_path(column: str, value: JsonValue, *, turns: bool) -> AnswerPath:
    """Return the path to the answer in the cell `value` of a column.

    With `turns`, the cell is a conversation, and the answer is the text of its last turn. Otherwise the whole cell is
    the answer.
    """
    if not turns:
        return (column,)
    found = listed(value, column)
    last = found[-1]
    assert isinstance(last, dict), last
    # A CSV file has no lists. A conversation in it is a text that holds JSON, so the path has to step into this text.
    inside = (TEXT,) if isinstance(value, str) else ()
    return (column, *inside, len(found) - 1, content_key(last))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of a value in a JSON text.

    `start` and `end` are positions in characters. `wrapped` says how many times the value is held as text inside text.
    """

    start: int
    end: int
    wrapped: int

    def put(self, text: str, token: str) -> str:
        """Return `text` with another JSON value in this place. `token` is the JSON form of that value."""
        for _ in range(self.wrapped):
            # In a text inside a text, quotes and backslashes are escaped once for each level. The outer quotes are cut
            # off, because the quotes of the old text stay.
            token = dump(token).decode()[1:-1]
        return self.replaced(text, token)

    def replaced(self, text: str, piece: str) -> str:
        """Return `text` with `piece` in this place. The piece is written as it is."""
        return f"{text[: self.start]}{piece}{text[self.end :]}"


def place_of(text: str, path: Sequence[PathStep]) -> Place:
    """Find the place of a value in a JSON text.

    If a name occurs twice in an object, the last one counts, as in every parser.
    """
    # The text is searched, and never built again from its values. Building it again would also change other things than
    # the answer: spaces, `1.10`, the escape `\u00e9`, or a name that occurs twice.
    start = _after_space(text, 0)
    end = _DECODER.raw_decode(text, start)[1]
    for number, step in enumerate(path):
        if step is TEXT:
            # The rest of the path is searched in the decoded text. In that text, characters have other positions.
            return _inside(text, start, end, path[number + 1 :])
        start, end = _step(text, start, step)
    return Place(start=start, end=end, wrapped=0)


def _inside(text: str, start: int, end: int, path: Sequence[PathStep]) -> Place:
    """Find a value in the JSON text that is held by the string from `start` to `end`."""
    held: str = json.loads(text[start:end], strict=False)
    place = place_of(held, path)
    # The two quotes are left out. So position 0 of the body is position 0 of the decoded text.
    body = text[start + 1 : end - 1]
    first, last = (start + 1 + _written_at(body, at) for at in (place.start, place.end))
    return Place(start=first, end=last, wrapped=place.wrapped + 1)


def _written_at(body: str, at: int) -> int:
    """Return where the character number `at` of a decoded string stands in the JSON form of the string."""
    # In the loop, `longer` says how many more characters the JSON form has than the decoded text, up to this escape.
    longer = 0
    for escape in _ESCAPE.finditer(body):
        # The escape stands at this position of the decoded text or after it, so it does not move the position.
        if escape.start() - longer >= at:
            break
        longer += len(escape[0]) - 1
    return at + longer


def _step(text: str, start: int, step: PathStep) -> tuple[int, int]:
    if isinstance(step, int):
        # All items before it are parsed too, because only the parser knows where an item ends.
        return next(span for number, span in enumerate(items(text, start)) if number == step)
    return [(begins, ends) for name, begins, ends in _members(text, start) if name == step][-1]


def items(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each item of a JSON list. The list begins at position `start` of the text."""
    at = _after_space(text, start + 1)
    while text[at] != "]":
        end = _DECODER.raw_decode(text, at)[1]
        yield at, end
        at = _after_comma(text, end)


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    at = _after_space(text, start + 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        # After the name come optional spaces, the colon (the + 1), and again optional spaces.
        begins = _after_space(text, _after_space(text, end) + 1)
        ends = _DECODER.raw_decode(text, begins)[1]
        yield name, begins, ends
        at = _after_comma(text, ends)


def _after_comma(text: str, at: int) -> int:
    at = _after_space(text, at)
    return _after_space(text, at + 1) if text[at] == "," else at


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def with_answer_text(text: str, path: AnswerPath, old: JsonValue, completion: str) -> str:
    """Return a JSON text with the answer `completion` at `path`. `old` is the value that stands there now."""
    parts = parts_of(old)
    # If the answer is a single text part, only the text in it is replaced. So its other keys keep their bytes (`"more":
    # 1.50`). Several parts become one part, so the whole list is replaced.
    inner: AnswerPath = (0, "text") if parts is not None and len(parts) == 1 else ()
    token = dump(_renewed(old, completion)).decode()
    if _stays_number(old, completion):
        token = completion  # as it is written: 1.10, or more digits than a float holds
    if inner:
        token = dump(completion).decode()
    return place_of(text, (*path, *inner)).put(text, token)


def with_answer(value: JsonValue, path: AnswerPath, completion: str) -> JsonValue:
    """Return a value with the answer `completion` at `path`.

    The old value is not changed. The lists and objects on the path are copied, and all other values are shared with it.
    """
    if not path:
        return _renewed(value, completion)
    step, rest = path[0], path[1:]
    if step is TEXT:
        assert isinstance(value, str), value
        return with_answer_text(value, rest, value_at(json.loads(value), rest), completion)
    if isinstance(step, int):
        assert isinstance(value, list), value
        # The list is copied, because the caller goes on to use the old row.
        return [with_answer(item, rest, completion) if at == step else item for at, item in enumerate(value)]
    assert isinstance(value, dict), value
    assert isinstance(step, str), step
    return {**value, step: with_answer(value[step], rest, completion)}


def value_at(value: JsonValue, path: AnswerPath) -> JsonValue:
    """Return the value that a path leads to."""
    for step in path:
        if step is TEXT:
            assert isinstance(value, str), value
            value = json.loads(value)
        elif isinstance(step, int):
            assert isinstance(value, list), value
            value = value[step]
        else:
            assert isinstance(value, dict), value
            assert isinstance(step, str), step
            value = value[step]
    return value


def _stays_number(old: JsonValue, completion: str) -> bool:
    """Say whether an answer that was a number can be a number again. 1e999 cannot: it is too large for a float."""
    return (
        isinstance(old, int | float) and _NUMBER.fullmatch(completion) is not None and math.isfinite(float(completion))
    )


def _renewed(old: JsonValue, completion: str) -> JsonValue:
    """Return an answer in the shape of the old answer.

    It is a number if the old one was a number and it can be one, a list of one text part if the old one was a list, and
    otherwise a text.
    """
    if _stays_number(old, completion):
        return json.loads(completion)
    if isinstance(old, list):
        first = old[0]
        assert isinstance(first, dict), first
        return [{**first, "text": completion}]
    return completion
