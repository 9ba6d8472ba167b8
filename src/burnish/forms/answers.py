"""Where the answer stands in a row, and another one in its place with every other byte as it was. Pure.

A path leads from a row to its answer: the name of a column, then places in lists and objects. `TEXT` steps into a JSON
value that is held as text, which is how a CSV file holds a conversation.
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

# Numbers are kept as texts here: values are only walked over, and a number of 5,000 digits is no int in Python.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, strict=False)
_SPACE = re.compile(r"[ \t\n\r]*")
# A number as JSON writes it: an optional minus, then 0 or digits without a leading 0 (`-12`), an optional fraction
# (`.50`), an optional exponent (`E5`, `e-3`). `007` and `.5` are not numbers in JSON, so they become texts.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
# The longest form comes first. Two escapes that are one character in Python (a surrogate pair such as `\ud83d\ude00`),
# then one escape of four digits (`\u00e9`), then a backslash with one sign (`\n`, `\"`).
_ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.", re.DOTALL)
"""What stands for one character in a JSON text."""


def answer_path(column: str, value: JsonValue, *, turns: bool) -> AnswerPath:
    """Return where the answer stands: a whole column, or the content of the last turn in it."""
    if not turns:
        return (column,)
    found = listed(value, column)
    last = found[-1]
    assert isinstance(last, dict), last
    # A CSV file has no lists, so a conversation in it is a text that holds JSON. The path has to step into this text.
    inside = (TEXT,) if isinstance(value, str) else ()
    return (column, *inside, len(found) - 1, content_key(last))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value stands in a JSON text, and how many times it is held as text inside text."""

    start: int
    end: int
    wrapped: int

    def put(self, text: str, token: str) -> str:
        """Return the text with a JSON value in this place."""
        for _ in range(self.wrapped):
            # A text inside a text has its quotes and backslashes escaped once for each level. The outer quotes are cut
            # off, because those of the old text stay.
            token = dump(token).decode()[1:-1]
        return self.replaced(text, token)

    def replaced(self, text: str, piece: str) -> str:
        """Return the text with a piece in this place, as it is."""
        return f"{text[: self.start]}{piece}{text[self.end :]}"


def place_of(text: str, path: Sequence[PathStep]) -> Place:
    """Find a value in a JSON text. Of names that come twice the last one counts, as for every parser."""
    # The text is searched and never written again from its values. Writing it again would change what is not the
    # answer: spaces, `1.10`, the escape `\u00e9`, a name that comes twice.
    start = _after_space(text, 0)
    end = _DECODER.raw_decode(text, start)[1]
    for number, step in enumerate(path):
        if step is TEXT:
            # The rest of the path is searched in the decoded text, where the positions of characters are other ones.
            return _inside(text, start, end, path[number + 1 :])
        start, end = _step(text, start, step)
    return Place(start=start, end=end, wrapped=0)


def _inside(text: str, start: int, end: int, path: Sequence[PathStep]) -> Place:
    """Find a value in the JSON text that the string from `start` to `end` holds."""
    held: str = json.loads(text[start:end], strict=False)
    place = place_of(held, path)
    # Without the two quotes, so that position 0 of the body is position 0 of the decoded text.
    body = text[start + 1 : end - 1]
    first, last = (start + 1 + _written_at(body, at) for at in (place.start, place.end))
    return Place(start=first, end=last, wrapped=place.wrapped + 1)


def _written_at(body: str, at: int) -> int:
    """Return where the character number `at` of a string stands in its JSON form."""
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
    """Yield where each item of a list stands; the list begins at `start`."""
    at = _after_space(text, start + 1)
    while text[at] != "]":
        end = _DECODER.raw_decode(text, at)[1]
        yield at, end
        at = _after_comma(text, end)


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    at = _after_space(text, start + 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        # After the name come optional spaces, the colon (the + 1) and optional spaces again.
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
    """Return a JSON text with another answer at `path`, where `old` stands now."""
    parts = parts_of(old)
    # Of a single text part only its text is replaced, so that its other keys keep their bytes (`"more": 1.50`). Several
    # parts become one part, so that the whole list is replaced.
    inner: AnswerPath = (0, "text") if parts is not None and len(parts) == 1 else ()
    token = dump(_renewed(old, completion)).decode()
    if _stays_number(old, completion):
        token = completion  # as it is written: 1.10, or more digits than a float holds
    if inner:
        token = dump(completion).decode()
    return place_of(text, (*path, *inner)).put(text, token)


def with_answer(value: JsonValue, path: AnswerPath, completion: str) -> JsonValue:
    """Return a value with another answer at `path`. A list or an object is copied, and what it holds is not."""
    if not path:
        return _renewed(value, completion)
    step, rest = path[0], path[1:]
    if step is TEXT:
        assert isinstance(value, str), value
        return with_answer_text(value, rest, value_at(json.loads(value), rest), completion)
    if isinstance(step, int):
        assert isinstance(value, list), value
        # Copied, because the caller goes on to use the old row.
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
    """Say whether an answer that was a number can be one again; 1e999 is beyond what a float holds."""
    return (
        isinstance(old, int | float) and _NUMBER.fullmatch(completion) is not None and math.isfinite(float(completion))
    )


def _renewed(old: JsonValue, completion: str) -> JsonValue:
    """Return an answer in the shape of the old one: a number where it can be one, a list of one text part, a text."""
    if _stays_number(old, completion):
        return json.loads(completion)
    if isinstance(old, list):
        first = old[0]
        assert isinstance(first, dict), first
        return [{**first, "text": completion}]
    return completion
