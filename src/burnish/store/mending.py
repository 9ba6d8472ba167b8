"""Repairs the files of rows that a killed run left. Damaged lines are removed before the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from burnish.store.files import write_atomic


def mend_lines(path: Path, put_aside: Callable[[], object]) -> int:
    """Keep only the lines of a file that are JSON objects, and return the number of other lines.

    A last line without a newline is not counted. A kill can leave such a line, and `Appender` cuts it off. `put_aside`
    moves the damaged file away before the good lines are written.
    """
    # The file is read twice, so that a whole file, the usual case, never lies in memory.
    if not path.is_file():
        return 0
    lost = sum(not _whole(line) for line in _lines(path))
    # The damaged file is kept, so that people can look at it. `gc` deletes it.
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
