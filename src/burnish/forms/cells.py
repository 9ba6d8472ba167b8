"""Cells of a row: texts, ids and references, and how each of them can be unusable. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import JsonValue


class UnusableError(Exception):
    """A row cannot be used; the text says what was found and what to do."""


class WrittenFloat(float):
    """A number with a point or an exponent, and the text that it was read from: 1.10 stays "1.10"."""

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        """Read a JSON number."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def as_text(value: JsonValue) -> JsonValue:
    """Return a number or a list of text parts as one text, anything else as it is."""
    # 1e999 is read as infinity. It is left as it is, so that the reader of texts refuses it with its place.
    if isinstance(value, WrittenFloat) and math.isfinite(value):
        return value.text
    # In Python, bool is a subclass of int. An answer `true` is not a number that somebody wrote.
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    parts = parts_of(value)
    return value if parts is None else "".join(parts)


def parts_of(value: JsonValue) -> list[str] | None:
    """Return the texts of a list of text parts ({"type": "text", "text": "..."}), None for anything else."""
    if not isinstance(value, list) or not value:
        return None
    texts = [part["text"] for part in value if isinstance(part, dict) and part.get("type") == "text" and "text" in part]
    # If one part is not text (an image, say), the result is None: a prompt without its image would be another prompt.
    strings = [text for text in texts if isinstance(text, str)]
    return strings if len(strings) == len(value) else None


def is_empty(value: JsonValue) -> bool:
    """Say whether a cell holds nothing, or an empty list or object, also one that is written as text."""
    # In a CSV file, an empty list is written as the text `[]`.
    return is_absent(value) or value in ([], {}) or (isinstance(value, str) and value.strip() in {"[]", "{}"})


def text_of(value: JsonValue, place: str, part: str) -> str:
    """Return a text as it stands. Raises UnusableError naming `place` if it is absent, blank or something else.

    `part` is what the text is for: a prompt or a completion.
    """
    if is_absent(value):
        found = "null" if value is None else "NaN" if isinstance(value, float) else "blank"
        raise UnusableError(f"empty {part}: {place} is {found}; fill it in or remove the row")
    return plain_text(value, place)


def plain_text(value: JsonValue, place: str) -> str:
    """Return a text, blank or not. Raises UnusableError naming `place` for anything else."""
    if not isinstance(value, str):
        raise UnusableError(f"{place} is {type(value).__name__}, found {shown(value)}; write text")
    # `isascii` is much faster than encoding, and most texts pass it.
    if not value.isascii() and has_surrogate(value):
        raise UnusableError(f"{place} holds half a surrogate pair, which is no character; remove it")
    return value


def has_surrogate(text: str) -> bool:
    """Say whether a text has a lone surrogate, which no file can hold as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def is_absent(value: JsonValue) -> bool:
    """Say whether a cell holds nothing: null, NaN (a missing value in a column of numbers), or white space."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def label_of(row: Mapping[str, JsonValue], column: str, what: str) -> str | None:
    """Return an id or a reference as text, None where there is none; 12 and 12.0 become "12".

    A column of whole numbers with gaps comes out of Parquet as floats, so a whole float is a whole number.
    """
    value = row.get(column)
    if is_absent(value):
        return None
    # From 2**53 on, floats leave out whole numbers, so that two different ids could become the same one.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    fitting = str | int if what == "id" else str | int | float
    if isinstance(value, bool) or not isinstance(value, fitting):
        wanted = "text or a whole number" if what == "id" else "text or a number"
        raise UnusableError(f"column {column!r} ({what}) is {shown(value)}; write {wanted}")
    return plain_text(str(value), f"column {column!r} ({what})")


def shown(value: object) -> str:
    """Return the beginning of a value for an error."""
    return f"{value!r:.80}"


def text_bytes(value: JsonValue) -> int:
    """Return how many bytes of UTF-8 the texts of a value hold, column names included."""
    if isinstance(value, str):
        # An ASCII text has one byte for each character, so it need not be encoded.
        return len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
    if isinstance(value, list):
        return sum(text_bytes(item) for item in value)
    if isinstance(value, dict):
        return sum(text_bytes(name) + text_bytes(item) for name, item in value.items())
    return 0
