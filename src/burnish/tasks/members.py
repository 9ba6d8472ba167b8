"""The members of a JSON object as they were written, so that a row can get more columns and keep every digit.

Parsed and written again, `12345678901234567890123` would be a float, and `1.10` would be 1.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from burnish.store.files import dump_line

_SPACE = re.compile(r"[ \t\r\n]*")
# The decoder only has to find where a value ends, so numbers need not be worked out.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A name, its value's text, and the text of both."""

    name: str
    value: str
    text: str


def members(line: bytes) -> list[Member]:
    """Return the members of an object that is known to be valid JSON, and not nested too deeply."""
    # The first line of a file may begin with a byte order mark, which would stand where the brace is expected.
    text = line.decode("utf-8").strip(" \t\r\n\ufeff")
    found: list[Member] = []
    place = _after_space(text, 1)
    while text[place] != "}":
        start = place
        name, place = _DECODER.raw_decode(text, start)
        value_start = _after_space(text, _after_space(text, place) + 1)  # a colon stands between
        _, place = _DECODER.raw_decode(text, value_start)
        found.append(Member(name=name, value=text[value_start:place], text=text[start:place]))
        place = _after_space(text, place)
        if text[place] == ",":
            place = _after_space(text, place + 1)
    return found


def with_columns(row: list[Member], columns: Mapping[str, object]) -> bytes:
    """Return a row as a line with other or more columns; all else stays as it was written."""
    # Columns of an earlier grading are replaced. The new ones always come last, so that a second grading gives the same
    # line.
    kept = [member.text for member in row if member.name not in columns]
    new = dump_line(columns).decode().strip()[1:-1]
    return f"{{{', '.join([*kept, *([new] if new else [])])}}}\n".encode()


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    assert found, place
    return found.end()
