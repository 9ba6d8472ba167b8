"""Turns pydantic's errors about settings into lines that name the field, the value and the fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

from pydantic import ValidationError

from burnish.errors import brief

_LONGEST = 500
"""The most characters of one error message. Pydantic's messages can contain the whole value."""
_SHOULD = "input should be "
# pydantic names the member of a union that it has tried: `str`, `constrained-int`, `literal['auto']`, `Needs`,
# `function-after[...]`. `[key]` says that the key of a mapping is wrong.
_MEMBER = re.compile(r"[A-Z\[].*|(?:str|int|float|bool|none)$|(?:constrained|model|nullable)-.*|\S*\[.*")


def explained(error: ValidationError, values: object) -> list[str]:
    """Return one line for each field of `values` that is wrong.

    If a field allows several types, pydantic has an error for each of them. They become one line.
    """
    grouped: dict[str, list[Any]] = {}
    for item in error.errors(include_url=False):
        grouped.setdefault(_field_of(item["loc"], values), []).append(item)
    return [_line(field, items) for field, items in grouped.items()]


def _line(field: str, items: Sequence[Any]) -> str:
    lines = list(dict.fromkeys(_explained(field, item) for item in items))
    start = f"{_found(field, items[0])}{_SHOULD}"
    if len(lines) > 1 and all(line.startswith(start) for line in lines):
        return f"{lines[0]}{''.join(f', or {line.removeprefix(start)}' for line in lines[1:])}"
    return "; ".join([lines[0], *(line.removeprefix(f"{field}: ") for line in lines[1:])])


def _field_of(place: Sequence[str | int], values: object) -> str:
    """Return the name of a field as the user writes it. pydantic puts the kind of a setting into the name, such as the
    word embedding_server between `differs` and `base_url`, and the member of a union. They are left out."""
    parts: list[str] = []
    for part in place:
        if isinstance(values, dict):
            fields = cast(dict[Any, Any], values)
            if part not in fields and (fields.get("kind") == part or _is_member(part)):
                continue
            values = fields.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = cast(list[Any], values)[part]
        elif _is_member(part):
            continue
        else:
            values = None
        parts.append(str(part)[:80])
    return ".".join(parts) or "config"


def _is_member(part: str | int) -> bool:
    return isinstance(part, str) and _MEMBER.match(part) is not None


def _found(field: str, item: Any) -> str:
    return f"{field}: {brief(_without_password(field, item['input']))} found: "


def _explained(field: str, item: Any) -> str:
    """Turn one of pydantic's errors into a line that names the field, the value and the fix."""
    found = _found(field, item)
    match item["type"]:
        case "union_tag_not_found":
            line = f"{field}.kind: is missing; add it"
        case "union_tag_invalid":
            line = f"{field}.kind: {brief(item['ctx']['tag'])} found: {_SHOULD}{_or(item['ctx']['expected_tags'])}"
        case "extra_forbidden":
            line = f"{field}: no such field; remove it or correct its name"
        case "kind":
            line = f"{field}.{item['msg']}"  # the message of `OneOf` begins with `kind:`
        case "missing":
            line = f"{field}: is missing; add it"
        case "dict_type" | "model_type" | "model_attributes_type":
            line = f"{found}{_SHOULD}a mapping, such as {{field: value}}"
        case _:
            message = item["msg"].removeprefix("Value error, ")
            if len(message) > _LONGEST:  # the fix stands at the end of a message
                message = f"{message[:100]} ... {message[-300:]}"
            whole = not item["loc"] and item["type"] == "value_error"  # the value is the whole config
            line = message if whole else f"{found}{message[:1].lower()}{message[1:]}"
    return line


def _or(tags: str) -> str:
    """Return `'a', 'b' or 'c'` for `'a', 'b', 'c'`."""
    *others, last = tags.split(", ")
    return f"{', '.join(others)} or {last}" if others else last


def _without_password(field: str, value: object) -> object:
    """Return a value as an error may show it: an address without the name and the password in it."""
    if not field.endswith("base_url") or not isinstance(value, str):
        return value
    # Everything up to the @ may be a secret, also an @ that is written as %40.
    hidden = re.split("@|%40", value)
    return value if len(hidden) == 1 else f"***@{hidden[-1]}"
