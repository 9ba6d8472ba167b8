"""Files that are read to the end, and files that are replaced as a whole; packed with gzip or not."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from burnish.errors import DataError
from burnish.store.files import PART, full_disk, sync_directory, writable

_BUFFER = 1024**2
_LEVEL = 6
"""gzip's own default; Python's is 9, which takes several times as long for one percent."""


@contextmanager
def reading(path: Path) -> Generator[BinaryIO, None, None]:
    """Open a file, `.gz` too. Raises DataError naming it where it cannot be read or is not whole."""
    try:
        opener: Callable[..., Any] = gzip.open if is_packed(path) else open
        with opener(path, "rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name}: not a whole gzip file ({error}); fetch it again, or unpack it") from None
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def is_packed(path: Path) -> bool:
    """Say whether a file's name ends in `.gz`."""
    return path.suffix.lower() == ".gz"


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO, None, None]:
    """Write beside, sync, rename: an error leaves no new file, and the old one as it was.

    Raises StageError where nothing can be written there, as `writable` does.
    """
    path = writable(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    with full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb", buffering=_BUFFER) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            sync_directory(path.parent)
        finally:
            beside.unlink(missing_ok=True)  # gone already where all went well


@contextmanager
def packed(file: BinaryIO, like: Path) -> Generator[BinaryIO, None, None]:
    """Give a file to write into that packs if `like` is packed; equal data give equal bytes (no name, no time)."""
    if not is_packed(like):
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as gzipped:
        buffer = io.BufferedWriter(cast(io.RawIOBase, gzipped), _BUFFER)
        yield buffer
        buffer.flush()
        buffer.detach()
