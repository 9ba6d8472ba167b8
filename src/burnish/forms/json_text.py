"""Reads and writes JSON without losing a value, and says what is wrong with a text that is not JSON.

All functions are pure.
"""

from __future__ import annotations

import json
import math

import orjson
from pydantic import JsonValue

from burnish.forms.cells import UnusableError, WrittenFloat, has_surrogate
from burnish.store.depth import MAX_DEPTH, too_deep

TOO_DEEP = f"more than {MAX_DEPTH} lists and objects inside one another; flatten the row or remove it"


def parse(data: bytes) -> JsonValue:
    """Parse a JSON value.

    Whole numbers beyond 64 bits become floats; `parse_exactly` keeps them. Raises UnusableError, which says whether the
    encoding, the syntax, a value or the depth is wrong.
    """
    try:
        # orjson is about three times as fast as Python's parser. It is also stricter: it refuses NaN, infinity and half
        # a surrogate pair.
        value: JsonValue = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnusableError(_why_not(data, error)) from None
    if too_deep(data, value):
        raise UnusableError(TOO_DEEP)
    return value


def _why_not(data: bytes, error: orjson.JSONDecodeError) -> str:
    syntax = f"not JSON ({error}); each row must be one JSON object"
    try:
        # orjson says only that the text is not JSON. Python's parser accepts more, so that the value itself can be
        # searched for what is wrong with it. Only a line that failed is parsed twice.
        return flaw(json.loads(data.decode())) or syntax
    except UnicodeDecodeError as wrong:
        return f"invalid UTF-8 (byte {wrong.start + 1} is 0x{data[wrong.start]:02x}); save the file as UTF-8"
    except (ValueError, RecursionError):
        return syntax


def parse_exactly(data: str | bytes) -> JsonValue:
    """Parse a text that `parse` accepts, and keep its numbers exactly.

    Whole numbers may have any size, and other numbers keep the text that they had. A text with a whole number of more
    than 4,300 digits is read as `parse` reads it.
    """
    try:
        return json.loads(data, parse_float=WrittenFloat)
    except ValueError:  # a whole number of more than 4300 digits
        # `parse` accepted the text, so orjson can read it: the whole number becomes a float.
        return orjson.loads(data)


def flaw(value: JsonValue, place: str = "") -> str | None:
    """Return what in a value has no JSON form, and where it is. Return None if there is no such thing.

    NaN, an infinity and half a surrogate pair have no JSON form. `place` is the name of the value in the message.
    """
    if isinstance(value, dict):
        items = [(f"{place}.{name}" if place else f"column {name!r}", item) for name, item in value.items()]
        if any(not name.isascii() and has_surrogate(name) for name in value):
            return f"{place or 'a column'} has half a surrogate pair in a name; remove it"
        return next((found for where, item in items if (found := flaw(item, where))), None)
    if isinstance(value, list):
        items = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
        return next((found for where, item in items if (found := flaw(item, where))), None)
    if isinstance(value, str) and not value.isascii() and has_surrogate(value):
        return f"{place} holds half a surrogate pair, which is no character; remove it"
    if isinstance(value, float) and not math.isfinite(value):
        found = "NaN" if math.isnan(value) else "infinite"
        return f"{place} is {found}, which JSON does not have; write a number, null or text"
    return None


def dump(value: JsonValue) -> bytes:
    """Encode a value as JSON, so that parsing the text gives the value back.

    Characters beyond ASCII are written as they are. A value that JSON does not have (see `flaw`) can be encoded, too;
    then these characters are written as escapes.
    """
    flawed = flaw(value) is not None
    if not flawed:
        try:
            return orjson.dumps(value)
        except TypeError:  # a whole number beyond 64 bits, or more than 254 levels
            pass
    # Half a surrogate pair cannot be encoded as UTF-8, but the escape `\ud800` can hold it. NaN comes out as `NaN`.
    return json.dumps(value, ensure_ascii=flawed, separators=(",", ":")).encode()
