"""Reading and writing of files that may be packed with gzip."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from burnish.errors import DataError

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
    # Three ways to be damaged: no gzip at all, cut off at the end (a download that broke), and wrong bytes in the
    # middle.
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name}: not a whole gzip file ({error}); fetch it again, or unpack it") from None
    # Not every OSError: the block that reads may also write another file, and a full disk is no fault of the file that
    # is read.
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def is_packed(path: Path) -> bool:
    """Say whether a file's name ends in `.gz`."""
    return path.suffix.lower() == ".gz"


@contextmanager
def packed(file: BinaryIO, like: Path) -> Generator[BinaryIO, None, None]:
    """Give a file to write into that packs if `like` is packed; equal data give equal bytes (no name, no time)."""
    if not is_packed(like):
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as gzipped:
        # Rows are short, and each write to a GzipFile calls zlib. The buffer makes one call of many rows.
        buffer = io.BufferedWriter(cast(io.RawIOBase, gzipped), _BUFFER)
        yield buffer
        buffer.flush()
        # Detached and not closed: the `with` closes the gzip file, which writes the checksum at its end.
        buffer.detach()
