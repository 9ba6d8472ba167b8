"""Splits a JSON object into its members as they were written, so that a row can get more columns and keep every digit.

If a row were parsed and written again, `12345678901234567890123` would become a float, and `1.10` would become 1.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from burnish.store.json_rows import dump_line

_SPACE = re.compile(r"[ \t\r\n]*")
# The decoder only has to find where a value ends, so it need not convert numbers.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a JSON object: its name, the text of its value, and the text of the whole member."""

    name: str
    value: str
    text: str


def members(line: bytes) -> list[Member]:
    """Return the members of a JSON object. The line must be valid JSON that is not nested too deeply."""
    # The first line of a file may begin with a byte order mark, which would be in the place of the brace.
    text = line.decode("utf-8").strip(" \t\r\n\ufeff")
    found: list[Member] = []
    place = _after_space(text, 1)
    while text[place] != "}":
        start = place
        name, place = _DECODER.raw_decode(text, start)
        value_start = _after_space(text, _after_space(text, place) + 1)  # there is a colon between them
        _, place = _DECODER.raw_decode(text, value_start)
        found.append(Member(name=name, value=text[value_start:place], text=text[start:place]))
        place = _after_space(text, place)
        if text[place] == ",":
            place = _after_space(text, place + 1)
    return found


def with_columns(row: list[Member], columns: Mapping[str, object]) -> bytes:
    """Return a row as a line with new or replaced columns. All other members stay as they were written."""
    # Columns of an earlier grading are replaced. New columns always come last, so that a second grading gives the same
    # line.
    kept = [member.text for member in row if member.name not in columns]
    new = dump_line(columns).decode().strip()[1:-1]
    return f"{{{', '.join([*kept, *([new] if new else [])])}}}\n".encode()


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    assert found, place
    return found.end()
