"""The limit on how deeply JSON values may be nested. It holds wherever rows are read."""

from __future__ import annotations

MAX_DEPTH = 100
"""The most levels of lists and objects inside one another.

Real rows have fewer than ten. Orjson reads up to 1024 levels but writes only 254. So without this limit, some rows
could be read and not written again.
"""


def too_deep(data: bytes, value: object) -> bool:
    """Say whether `value`, which was parsed from `data`, has more than MAX_DEPTH levels."""
    # Counting brackets is fast, and nearly every row has too few of them to be deep. Only the other rows are walked
    # through.
    return data.count(b"[") + data.count(b"{") > MAX_DEPTH and is_deep(value)


def is_deep(value: object) -> bool:
    """Say whether a value has more than MAX_DEPTH levels of lists and objects."""
    # Level by level, not by recursion: a deep value would end a recursion with a RecursionError.
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [item for container in level for item in _inside(container)]
        if not level:
            return False
    return True


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return [item for item in value.values() if isinstance(item, dict | list)]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict | list)]  # pyright: ignore[reportUnknownVariableType]
    return []
