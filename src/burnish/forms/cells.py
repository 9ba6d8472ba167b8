"""Reads the cells of a row: texts, ids and references. Says why a cell cannot be used. All functions are pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import JsonValue


class UnusableError(Exception):
    """A row cannot be used. The message says what was found and what to do."""


class WrittenFloat(float):
    """A number with a point or an exponent, together with the text that it was read from.

    So 1.10 stays "1.10" when it is written.
    """

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        """Read a JSON number."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def as_text(value: JsonValue) -> JsonValue:
    """Return a number or a list of text parts as one text. Any other value is returned as it is."""
    # 1e999 is read as infinity. It stays as it is, and the function that reads texts then refuses it and names its
    # place.
    if isinstance(value, WrittenFloat) and math.isfinite(value):
        return value.text
    # In Python, bool is a subclass of int. An answer `true` is not a number that somebody wrote.
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    parts = parts_of(value)
    return value if parts is None else "".join(parts)


def parts_of(value: JsonValue) -> list[str] | None:
    """Return the texts of a list of text parts ({"type": "text", "text": "..."}). Return None for any other value."""
    if not isinstance(value, list) or not value:
        return None
    texts = [part["text"] for part in value if isinstance(part, dict) and part.get("type") == "text" and "text" in part]
    # If one part is not text (for example an image), the result is None. A prompt without its image would be another
    # prompt.
    strings = [text for text in texts if isinstance(text, str)]
    return strings if len(strings) == len(value) else None


def is_empty(value: JsonValue) -> bool:
    """Say whether a cell holds nothing, or an empty list or object. `[]` and `{}` may also be written as text."""
    # In a CSV file, an empty list is written as the text `[]`.
    return is_absent(value) or value in ([], {}) or (isinstance(value, str) and value.strip() in {"[]", "{}"})


def text_of(value: JsonValue, place: str, part: str) -> str:
    """Return a text as it is. `part` says what the text is for, a prompt or a completion.

    Raises UnusableError, which names `place`, if the value is absent, blank or not a text.
    """
    if is_absent(value):
        found = "null" if value is None else "NaN" if isinstance(value, float) else "blank"
        raise UnusableError(f"empty {part}: {place} is {found}; fill it in or remove the row")
    return plain_text(value, place)


def plain_text(value: JsonValue, place: str) -> str:
    """Return a text as it is. It may be blank.

    Raises UnusableError, which names `place`, if the value is not a text or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        raise UnusableError(f"{place} is {type(value).__name__}, found {shown(value)}; write text")
    # `isascii` is much faster than encoding, and most texts pass it.
    if not value.isascii() and has_surrogate(value):
        raise UnusableError(f"{place} holds half a surrogate pair, which is no character; remove it")
    return value


def has_surrogate(text: str) -> bool:
    """Say whether a text has a lone surrogate (half a character). Such a text cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def is_absent(value: JsonValue) -> bool:
    """Say whether a cell holds nothing: null, NaN (a missing value in a column of numbers), or only white space."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def label_of(row: Mapping[str, JsonValue], column: str, what: str) -> str | None:
    """Return the id or the reference of a row as text, or None if its cell holds nothing.

    `what` is "id" or "reference". A whole float counts as a whole number, so that 12 and 12.0 both become "12". Parquet
    gives a column of whole numbers with gaps as floats. Raises UnusableError, which names the column, if an id is not a
    text or a whole number, or if a reference is not a text or a number.
    """
    value = row.get(column)
    if is_absent(value):
        return None
    # From 2**53 on, floats leave out some whole numbers. So two different ids could become the same one.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    fitting = str | int if what == "id" else str | int | float
    if isinstance(value, bool) or not isinstance(value, fitting):
        wanted = "text or a whole number" if what == "id" else "text or a number"
        raise UnusableError(f"column {column!r} ({what}) is {shown(value)}; write {wanted}")
    return plain_text(str(value), f"column {column!r} ({what})")


def shown(value: object) -> str:
    """Return the beginning of a value for an error message."""
    return f"{value!r:.80}"


def text_bytes(value: JsonValue) -> int:
    """Return how many bytes the texts in a value have as UTF-8. The names of columns count, too."""
    if isinstance(value, str):
        # An ASCII text has one byte for each character, so it need not be encoded.
        return len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
    if isinstance(value, list):
        return sum(text_bytes(item) for item in value)
    if isinstance(value, dict):
        return sum(text_bytes(name) + text_bytes(item) for name, item in value.items())
    return 0
