"""One limit for how deeply JSON values may be nested, wherever rows are read."""

from __future__ import annotations

MAX_DEPTH = 100
"""Lists and objects inside one another. Real rows have fewer than ten levels; orjson writes 254 and reads 1024."""


def too_deep(data: bytes, value: object) -> bool:
    """Say whether `value`, which was parsed from `data`, has more than MAX_DEPTH levels."""
    # Counting brackets is fast, and nearly every row has too few of them to be deep.
    return data.count(b"[") + data.count(b"{") > MAX_DEPTH and is_deep(value)


def is_deep(value: object) -> bool:
    """Say whether a value has more than MAX_DEPTH levels of lists and objects."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [item for one in level for item in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return [item for item in value.values() if isinstance(item, dict | list)]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict | list)]  # pyright: ignore[reportUnknownVariableType]
    return []
