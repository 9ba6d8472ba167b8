"""The canonical form of values that enter a fingerprint: equal values always give the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum

from burnish.errors import StageError, brief
from burnish.types import is_whole


def canonical(value: object) -> bytes:
    """Encode a value as JSON with sorted keys and without spaces.

    A float is written as the shortest text that reads back as the same float. Raises StageError if the value has no
    stable form. This holds for sets and other objects, NaN and infinity, keys that are not texts, and texts with half a
    character.
    """
    # Changing one byte of this form would change every fingerprint, and no finished stage would be found again.
    return json.dumps(_stable(value, "payload"), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _stable(value: object, where: str) -> object:
    match value:
        case Enum():  # before str: the members of a StrEnum are texts, too
            return _stable(value.value, where)
        case str() if not is_whole(value):
            raise StageError(
                f"{where}: {brief(value)} holds half a character (a lone surrogate); write the whole character"
            )
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case Mapping():
            items: dict[str, object] = {}
            for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
                if not isinstance(key, str):
                    raise StageError(f"{where}: the key {brief(key)} is not a text and has no stable form")  # pyright: ignore[reportUnknownArgumentType]
                items[key] = _stable(item, f"{where}.{key}")  # pyright: ignore[reportUnknownArgumentType]
            return items
        case list() | tuple():
            return [_stable(item, f"{where}[]") for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            raise StageError(f"{where}: {brief(value)} has no stable form and cannot enter a fingerprint")
