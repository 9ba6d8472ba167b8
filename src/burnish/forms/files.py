"""Reads and writes files that may be packed with gzip."""

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
"""The default level of the program gzip.

Python's default is 9, which takes several times as long and saves one percent.
"""


@contextmanager
def reading(path: Path) -> Generator[BinaryIO, None, None]:
    """Open a file for reading. A file that ends in `.gz` is unpacked.

    Raises DataError, which names the file, if it cannot be read or is not a whole gzip file.
    """
    try:
        opener: Callable[..., Any] = gzip.open if is_packed(path) else open
        with opener(path, "rb") as file:
            yield file
    # A file can be damaged in three ways: it is not gzip at all, its end is missing (after a download that broke off),
    # or it has wrong bytes in the middle.
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name}: not a whole gzip file ({error}); fetch it again, or unpack it") from None
    # Other errors of the system are not caught. The block that reads may also write another file, and a full disk is
    # not a fault of the file that is read.
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def is_packed(path: Path) -> bool:
    """Say whether a file's name ends in `.gz`."""
    return path.suffix.lower() == ".gz"


@contextmanager
def packed(file: BinaryIO, like: Path) -> Generator[BinaryIO, None, None]:
    """Give a file to write into. What is written is packed if the name of `like` ends in `.gz`.

    Equal data give equal bytes, because neither a name nor a time is written into the packed file.
    """
    if not is_packed(like):
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as gzipped:
        # Rows are short, and each write to a GzipFile calls zlib. The buffer makes one call for many rows.
        buffer = io.BufferedWriter(cast(io.RawIOBase, gzipped), _BUFFER)
        yield buffer
        buffer.flush()
        # The buffer is detached and not closed. The `with` closes the gzip file, which writes the checksum at its end.
        buffer.detach()
