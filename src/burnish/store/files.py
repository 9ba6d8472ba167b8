"""Files: JSON lines, appends that survive a kill, atomic writes, checksums, and errors that say what to do."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from burnish.errors import BurnishError, DataError, StageError
from burnish.store.depth import MAX_DEPTH, too_deep
from burnish.store.json_rows import as_json, dump_line

T = TypeVar("T")
PART = ".part"
"""The ending of the name of a file that is still being written."""
_BUFFER = 1024**2
# EDQUOT: the user's quota is used up. A full disk is ENOSPC.
_FULL = {errno.ENOSPC, errno.EDQUOT}
# Libraries written in Rust or C++ give only a text. They write either the system's words or its number.
_FULL_WORDS = ("No space left on device", f"os error {errno.ENOSPC}")
_LARGE_WORDS = ("File too large", f"os error {errno.EFBIG}")
# Errors that mean that the place cannot be written: no permission, a folder in place of a file, a missing parent.
_REFUSED = {
    *(errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOENT),
    errno.ENAMETOOLONG,
}


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each line of a JSONL file. The file may end in `.gz`.

    Blank lines are skipped. Raises DataError, which names the file and the line, if the file cannot be read or a line
    is not a JSON object.
    """
    for number, _, value in read_lines(path):
        yield number, value


def read_lines(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Yield (line number from 1, the bytes of the line, its object) for each line of a JSONL file.

    Blank lines are skipped. Raises DataError as `read_objects` does.
    """
    if not os.path.isfile(path):  # Path.is_file raises OSError for a name that is too long
        raise DataError(f"{path!s:.300}: no such file; check the path")
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not JSON ({error}); each line must be one JSON object") from None
            if too_deep(line, value):
                raise DataError(
                    f"{path}:{number}: more than {MAX_DEPTH} lists and objects inside one another; flatten the row"
                )
            if not isinstance(value, dict):
                raise DataError(f"{path}:{number}: {type(value).__name__} found, each line must be one JSON object")
            yield number, line, value


def _lines(path: Path) -> Iterator[bytes]:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as lines:
            yield from lines  # errors of gzip come while lines are read, not when the file is opened
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); fetch it again, or unpack it") from None
    except (PermissionError, IsADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def read_rows(path: Path, row_type: type[T]) -> list[T]:
    """Read a JSONL file whose rows are objects of one dataclass.

    Raises DataError, which names the file, line and field, if a row does not fit. An unknown field is an error.
    """
    return list(iter_rows(path, row_type))


def iter_rows(path: Path, row_type: type[T]) -> Iterator[T]:
    """Yield the rows of a JSONL file of one dataclass. Raises DataError as `read_rows` does."""
    make = row_maker(row_type)
    for number, _, value in read_lines(path):
        try:
            yield make(value)
        except ValidationError:
            row_of(value, row_type, f"{path}:{number}")  # raises the error in words


def row_of(values: Mapping[str, Any], row_type: type[T], where: object) -> T:
    """Return the values of a line as an object of a dataclass.

    Raises DataError, which names `where` and the field, if a value does not fit or a field is unknown.
    """
    try:
        return _adapter(row_type).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{where}: {field}: {first['msg']}, found {first['input']!r}") from None


def row_maker(row_type: type[T]) -> Callable[[dict[str, Any]], T]:
    """Return a function that makes a row from the values of a line, or raises pydantic's ValidationError."""
    return _adapter(row_type).validator.validate_python


def _adapter(row_type: type[T]) -> TypeAdapter[T]:
    # Building an adapter takes time, and a file can have a million rows. So one adapter of each type is kept.
    if row_type not in _ADAPTERS:
        # A plain dataclass has no pydantic settings, and without this one pydantic ignores unknown fields.
        row_type.__pydantic_config__ = {"extra": "forbid"}  # pyright: ignore[reportAttributeAccessIssue]
        _ADAPTERS[row_type] = TypeAdapter(row_type)
    return _ADAPTERS[row_type]


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def write_rows(path: Path, rows: Iterable[object]) -> int:
    """Write rows as JSONL, bring the file to the disk, and return the number of rows.

    The file must not lie in the folder of a finished stage. Raises StageError if it cannot be written.
    """
    count = 0
    with writing(path) as write:
        for row in rows:
            write(row)
            count += 1
    return count


@contextmanager
def writing(path: Path) -> Generator[Callable[[object], None], None, None]:
    """Give a function that writes a row into a JSONL file. At the end the file is brought to the disk.

    The file must not lie in the folder of a finished stage. Raises StageError if it cannot be written.
    """
    with explained_write_errors(path), path.open("wb", buffering=_BUFFER) as file:
        yield lambda row: file.write(dump_line(row))  # pyright: ignore[reportReturnType]
        _sync(file)


def writable(path: Path) -> Path:
    """Return the path that is really written. For a link, this is its target, so that the link stays a link.

    Raises StageError if the path is a folder, a device or a pipe. It also raises StageError for a link to a file that
    does not exist. The user did not name that file, so it is not created.
    """
    with explained_write_errors(path):
        if path.is_symlink() and not path.exists():
            raise StageError(f"{path}: is a link to {os.readlink(path)!r}, which is not there; remove it")
        real = path.resolve()
        if real.exists() and not real.is_file():
            raise StageError(f"{real}: is no ordinary file and would be replaced; name another one")
        return real


@contextmanager
def replacing(path: Path, sync_folder: bool = True) -> Generator[BinaryIO, None, None]:
    """Give a file to write into. It takes the place of `path` when it is complete.

    The file is written beside `path`, brought to the disk, and then renamed. So a reader sees the old file or the new
    one, but never a part of it, and an error leaves the old file unchanged. Without `sync_folder` a power cut may undo
    the renaming. Raises StageError if `path` cannot be written.
    """
    path = writable(path)
    # Two processes that write the same file must not write into one temporary file.
    beside = path.with_name(f".{path.name}.{unique()}{PART}")
    with explained_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb", buffering=_BUFFER) as file:
                yield file
                _sync(file)
            beside.replace(path)
            if sync_folder:
                sync_directory(path.parent)
        finally:
            beside.unlink(missing_ok=True)  # after success it is already gone, because it was renamed


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file by one with this content. Raises StageError if it cannot be written."""
    # This is called after every batch. Syncing the folder each time would cost more than the rare power cut does.
    with replacing(path, sync_folder=False) as file:
        file.write(data)


def pretty(value: object) -> bytes:
    """Encode as JSON that people can read: two spaces of indent, sorted keys, a newline at the end."""
    return orjson.dumps(
        value, default=as_json, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    )


class Appender:
    """Appends batches of rows to a JSONL file.

    A batch is one write, so that a kill can leave at most one incomplete line, the last one. Opening the file cuts such
    a line off; all lines before it are complete. Raises StageError if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path = writable(path)
        with explained_write_errors(path):
            if path.exists():
                _cut_torn_line(path)
            self._file = path.open("ab", buffering=0)

    def append(self, rows: Iterable[object], sync: bool = True) -> None:
        """Append one batch and, with `sync`, bring it to the disk. Raises StageError if it cannot be written."""
        data = b"".join(dump_line(row) for row in rows)
        with explained_write_errors(self.path):
            while data:  # an unbuffered write may take only a part of the bytes
                data = data[self._file.write(data) :]
        if sync:
            self.sync()

    def sync(self) -> None:
        """Bring all batches to the disk. Raises StageError if they cannot be written."""
        with explained_write_errors(self.path):
            # fdatasync does not write the time stamps, which are not needed here. macOS does not have it.
            os.fdatasync(self._file.fileno()) if hasattr(os, "fdatasync") else os.fsync(self._file.fileno())

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _cut_torn_line(path: Path) -> None:
    with path.open("r+b") as file:
        at, found = (end := file.seek(0, os.SEEK_END)), -1
        while at and found < 0:  # from the end on, piece by piece: the file may be larger than memory
            at = file.seek(max(0, at - _BUFFER))
            found = file.read(min(_BUFFER, end - at)).rfind(b"\n")
        if at + found + 1 < end:
            file.truncate(at + found + 1)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Bring a folder to the disk, so that a rename inside it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checksum(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_checksums(root: Path, sum_of: Callable[[Path], str] = checksum) -> dict[str, str]:
    """Return {relative path: sha256} of every file below `root`, sorted by path. `sum_of` returns the sha256 of a
    file."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): sum_of(path) for path in files}


def tree_size(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder. What is removed in the meantime counts as 0."""
    size = 0
    for file in [path] if path.is_file() else path.rglob("*"):
        with suppress(FileNotFoundError):
            size += file.lstat().st_size if file.is_file() else 0
    return size


def remove_tree(path: Path) -> None:
    """Remove a directory or a file, if it is there. It is first renamed, so that no reader finds a half of it."""
    away = path.with_name(f".{path.name}.{unique()}.gone")
    with suppress(FileNotFoundError):
        path.replace(away)
        if away.is_dir():
            shutil.rmtree(away)
        else:
            away.unlink()


def unique() -> str:
    """Return a part of a file name that no other process uses, also on another host with the same process id."""
    return f"{os.getpid()}.{secrets.token_hex(4)}"


@contextmanager
def explained_write_errors(path: Path) -> Generator[None, None, None]:
    """Turn an error of writing into a StageError that says what to do.

    Raises StageError for a full disk or quota, a file that is too large, and a place where the user must not write. All
    other errors are raised unchanged.
    """
    try:
        yield
    except BurnishError:
        raise
    except Exception as error:
        # Libraries written in Rust or C++ raise errors of their own, with the system's number only in the text.
        if getattr(error, "errno", None) in _FULL or any(words in str(error) for words in _FULL_WORDS):
            raise StageError(
                f"{path}: no space left on the device; free some (`burnish gc` removes what no run refers to) and run "
                "the same command again: finished work is kept"
            ) from error
        if getattr(error, "errno", None) == errno.EFBIG or any(words in str(error) for words in _LARGE_WORDS):
            raise StageError(
                f"{path}: the file would be larger than the disk or a limit of this shell allows; raise the limit "
                "(`ulimit -f unlimited`) or use another disk, and run the same command again"
            ) from error
        if isinstance(error, OSError) and error.errno in _REFUSED and _about(error, path):
            raise StageError(
                f"{path}: cannot be written ({error.strerror}); choose another --store or --out"
            ) from error
        raise


def _about(error: OSError, path: Path) -> bool:
    """Say whether an error is about `path`, a place in it, a folder above it or a file beside it."""
    # A missing file anywhere else is no error of writing `path`.
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return any(name.is_relative_to(path) or path.is_relative_to(name) or name.parent == path.parent for name in named)


def as_mapping(row: object) -> dict[str, Any]:
    """Return a dataclass as a plain dictionary, one level deep."""
    assert dataclasses.is_dataclass(row), row
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
