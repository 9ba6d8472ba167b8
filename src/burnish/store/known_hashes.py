"""Remembers the hashes of large files between runs, so that weights of many gigabytes are not read each time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from burnish.errors import StageError
from burnish.store.files import checksum, write_atomic

HASHES = "hashes.json"
"""The file of the store with the hashes."""
SMALLEST = 2**20
"""The fewest bytes of a file that is remembered. Smaller files are hashed in a millisecond."""
SETTLED_NS = 2 * 10**9
"""How long a file must be unchanged before its hash is remembered, in nanoseconds. The clock of a file system may be
coarse: a write soon after the last one could leave the same time."""
MOST = 10_000
"""The most files that are remembered. The oldest ones are forgotten first."""
_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Known = tuple[tuple[int, int, int, int], _Hex]
_KNOWN: TypeAdapter[dict[str, _Known]] = TypeAdapter(dict[str, _Known])


class KnownHashes:
    """The hashes of files, by their absolute paths.

    A hash is used as long as the file has the same size, time of change, time of its last change of any kind (which no
    program can set back), and inode. A file of hashes that is damaged or cannot be written is as good as none.
    """

    def __init__(self, path: Path, kept: bool = True, clock: Callable[[], int] = time.time_ns) -> None:
        """New hashes are written into `path` if `kept` is true. A dry run writes nothing. `clock` returns nanoseconds;
        tests replace it."""
        self._path, self._kept, self._clock = path, kept, clock
        self._entries: dict[str, _Known] | None = None

    def checksum(self, path: Path) -> str:
        """Return the sha256 of a file's bytes, in hex."""
        before, name, now = _state(path), os.path.abspath(path), self._clock()
        if before[0] < SMALLEST:
            return checksum(path)
        if self._entries is None:
            self._entries = self._read()
        state, known = self._entries.get(name, (None, ""))
        if state == before:
            return known
        found = checksum(path)
        settled = now - max(before[1], before[2]) > SETTLED_NS
        # A file that was changed while it was read has a hash that nobody will see again.
        if settled and _state(path) == before:
            self._entries[name] = before, found
            self._write(name, self._entries[name])
        return found

    def _read(self) -> dict[str, _Known]:
        try:
            return _KNOWN.validate_python(orjson.loads(self._path.read_bytes()))
        except (OSError, orjson.JSONDecodeError, ValidationError):
            return {}

    def _write(self, name: str, entry: _Known) -> None:
        """Add an entry to the file. If two processes write at the same time, one entry is lost, and its file is hashed
        once more."""
        if not self._kept:
            return
        entries = self._read()
        entries.pop(name, None)
        entries[name] = entry
        # Without the file everything still works. So a full disk or a store that cannot be written is no error here.
        with suppress(StageError, OSError):
            # In the order of their writing and not of their names, so that the oldest ones can be told.
            write_atomic(self._path, orjson.dumps(dict(list(entries.items())[-MOST:])))


def _state(path: Path) -> tuple[int, int, int, int]:
    """Return what changes if a file does: size, time of the last write, time of the last change, inode."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
