"""Rows that a killed run left: what a damaged disk made of some of them is taken out before the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from burnish.store.files import write_atomic


def mend_lines(path: Path, put_aside: Callable[[], Path]) -> int:
    """Leave only the lines that are JSON objects in a file of rows, and return how many others there were.

    A last line without its end is not counted: a kill tears it, and the appender cuts it off. `put_aside` moves the
    damaged file away before the good lines are written.
    """
    if not path.is_file():
        return 0
    lost = sum(not _whole(line) for line in _lines(path))
    if lost:
        good = [line for line in _lines(path) if _whole(line)]
        put_aside()
        write_atomic(path, b"".join(good))
    return lost


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))


def _whole(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
