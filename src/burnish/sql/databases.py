"""SQLite files: whether one can be read, and its schema in words. They are the user's own: only queries are hostile."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import struct
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from burnish.errors import DataError

MAGIC = b"SQLite format 3\0"
HEADER = 100
"""Bytes at the beginning of a database that describe it."""
CELL = 40
"""Characters of a sample value that are shown."""


class Schema(StrEnum):
    """How a prompt shows a schema: as its CREATE TABLE statements, or as lists of columns (the released code's way)."""

    CREATE = "create"
    COLUMNS = "columns"


def check_database(path: Path, where: str) -> None:
    """Raise DataError naming `where` and the file unless this is a whole SQLite database at rest."""
    fix = "give the path of a SQLite database"
    try:
        # A folder passes this check, because opening it fails with words of its own ("Is a directory").
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # to open a named pipe would wait for ever
            raise DataError(f"{where}: the database {str(path)!r} is no ordinary file; {fix}")
        with path.open("rb") as file:
            head = file.read(HEADER)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DataError(f"{where}: the database {str(path)!r:.300} cannot be read ({error.strerror}); {fix}") from None
    except ValueError as error:  # a NUL in the name
        raise DataError(f"{where}: the database {str(path)!r:.300} cannot be read ({error}); {fix}") from None
    if not head.startswith(MAGIC):
        what = "is empty" if not head else "is no SQLite database"
        raise DataError(f"{where}: {str(path)!r} {what}; {fix}")
    if (whole := _whole_size(head)) > size:
        raise DataError(f"{where}: {str(path)!r} {_cut_off(size, whole)}; copy or fetch it again")
    _check_at_rest(path, where)


def what_is_missing(path: Path) -> str | None:
    """Say what is missing of a SQLite file, None where nothing is. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        head, size = file.read(HEADER), os.fstat(file.fileno()).st_size
    whole = _whole_size(head) if head.startswith(MAGIC) else 0
    return _cut_off(size, whole) if whole > size else None


def _cut_off(size: int, whole: int) -> str:
    return f"has {size:,} bytes, and by its header {whole:,}: a part of it is missing"


def _whole_size(head: bytes) -> int:
    """Return how many bytes a database has at least: its pages by its header, where SQLite itself trusts the header.

    See "The Database Header" in SQLite's description of its file format.
    """
    if len(head) < HEADER:
        return HEADER
    # Offset 16 has the size of a page, 24 the counter of changes, 28 the number of pages, and 92 the value that the
    # counter had when that number was written. A page of 65,536 bytes does not fit into two bytes and is written as 1.
    (page,) = struct.unpack_from(">H", head, 16)
    changed, pages = struct.unpack_from(">II", head, 24)
    (valid_for,) = struct.unpack_from(">I", head, 92)
    # Old versions leave the count as it was; then the counter of changes differs.
    return pages * (65536 if page == 1 else page) if changed == valid_for else HEADER


def _check_at_rest(path: Path, where: str) -> None:
    # Queries are run with immutable=1, with which SQLite ignores these files: what they hold would be missing. An empty
    # one is harmless; journal_mode=TRUNCATE leaves such a file behind.
    for suffix in ("-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        try:
            if not beside.is_file():
                continue
            with beside.open("rb") as file:
                # With journal_mode=PERSIST, SQLite ends a transaction by writing zeros over the start of the journal.
                # Such a journal holds nothing that is unfinished. A file of the other kind never starts with a zero.
                unfinished = file.read(1) not in {b"", b"\0"}
        except PermissionError:
            # SQLite could not read it either, so nobody can say that it is empty.
            unfinished = True
        except OSError:  # it cannot be there: the name would be too long for the system
            continue
        if unfinished:
            raise DataError(
                f"{where}: {str(path)!r} has unfinished writes in {beside.name!r}; open it once with sqlite3 and run "
                "PRAGMA wal_checkpoint(TRUNCATE), or copy the database when no program uses it"
            )


def describe(path: Path, form: Schema, sample_rows: int = 0) -> str:
    """Return a database's tables as a prompt shows them, in the order in which they were made.

    With `sample_rows`, each table's first rows follow it. Raises DataError where the database cannot be read.
    """
    try:
        with closing(_reader(path)) as connection:
            return "\n".join(_tables(connection, form, sample_rows))
    except sqlite3.Error as error:
        raise DataError(f"{path}: the database cannot be read ({error}); fetch or copy it again") from None


def _reader(path: Path) -> sqlite3.Connection:
    # `immutable` promises that nobody writes, so that SQLite takes no locks and needs no right to write beside the
    # file.
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _tables(connection: sqlite3.Connection, form: Schema, sample_rows: int) -> Iterator[str]:
    made = connection.execute(
        # The underscore is escaped, because LIKE takes it for any character. `sqlite_sequence` comes with
        # AUTOINCREMENT.
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
        "AND sql IS NOT NULL ORDER BY rowid"
    ).fetchall()
    keys: list[str] = []
    for name, statement in made:
        match form:
            case Schema.CREATE:
                yield f"{statement.strip()};"
            case Schema.COLUMNS:
                yield f"{name}({', '.join(_columns(connection, name))})"
                keys += _foreign_keys(connection, name)
            case _:
                assert_never(form)
        if sample_rows:
            yield from _samples(connection, name, sample_rows)
    if keys:
        yield f"Foreign keys: {', '.join(keys)}"


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    # A PRAGMA takes no parameters. Its form as a function does, so that no name of a table can break out of the
    # statement.
    found = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return [name if re.fullmatch(r"\w+", name) else f"`{name}`" for (name,) in found]


def _foreign_keys(connection: sqlite3.Connection, table: str) -> list[str]:
    """A key without a column refers to the other table's primary key."""
    found = connection.execute(
        'SELECT "from", "table", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq', (table,)
    )
    return [f"{table}.{column} = {other}{f'.{key}' if key else ''}" for column, other, key in found]


def _samples(connection: sqlite3.Connection, table: str, count: int) -> Iterator[str]:
    quoted = '"' + table.replace('"', '""') + '"'
    rows = connection.execute(f"SELECT * FROM {quoted} LIMIT ?", (count,)).fetchall()  # noqa: S608 quoted
    if rows:
        yield f"/* {len(rows)} of its rows:"
        yield from (" | ".join(map(_shown, row)) for row in rows)
        yield "*/"


def _shown(value: Any) -> str:
    text = "NULL" if value is None else "(binary)" if isinstance(value, bytes) else re.sub(r"\s+", " ", str(value))
    # Samples stand in a comment of SQL, which such a value would end.
    text = text.replace("*/", "* /")
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."
