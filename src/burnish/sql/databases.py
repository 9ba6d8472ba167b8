"""Checks SQLite files and describes their schemas. The files are the user's own, so only queries can be hostile."""

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
"""Number of bytes at the start of a database that describe it."""
CELL = 40
"""The most characters of a sample value that are shown."""


class Schema(StrEnum):
    """How a prompt shows a schema: as CREATE TABLE statements, or as lists of columns (as the released code does)."""

    CREATE = "create"
    COLUMNS = "columns"


def check_database(path: Path, where: str) -> None:
    """Check that a file is a whole SQLite database without unfinished writes.

    Raises DataError otherwise, which names `where` (the row that uses the database) and the file.
    """
    fix = "give the path of a SQLite database"
    try:
        # A folder passes this check. It fails when it is opened, with a clear reason ("Is a directory").
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a named pipe would wait for ever
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
    """Say how much of a SQLite file is missing, or return None if it is whole. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        head, size = file.read(HEADER), os.fstat(file.fileno()).st_size
    whole = _whole_size(head) if head.startswith(MAGIC) else 0
    return _cut_off(size, whole) if whole > size else None


def _cut_off(size: int, whole: int) -> str:
    return f"has {size:,} bytes, but its header says {whole:,}, so a part of it is missing"


def _whole_size(head: bytes) -> int:
    """Return the least number of bytes that a database must have, from the number of its pages in the header.

    The number is used only where SQLite itself trusts it. See "The Database Header" in SQLite's description of its file
    format.
    """
    if len(head) < HEADER:
        return HEADER
    # At offset 16 is the size of a page, at 24 the counter of changes, and at 28 the number of pages. At 92 is the
    # value that the counter had when the number of pages was written. A size of 65,536 does not fit into two bytes, so
    # SQLite writes it as 1.
    (page,) = struct.unpack_from(">H", head, 16)
    changed, pages = struct.unpack_from(">II", head, 24)
    (valid_for,) = struct.unpack_from(">I", head, 92)
    # Old versions of SQLite change the counter but do not update the number of pages. Then the two counters differ, and
    # the number of pages may be wrong.
    return pages * (65536 if page == 1 else page) if changed == valid_for else HEADER


def _check_at_rest(path: Path, where: str) -> None:
    # Queries run with immutable=1. With it SQLite ignores these files, so the data in them would be missing. An empty
    # file is harmless. With journal_mode=TRUNCATE, SQLite leaves an empty file behind.
    for suffix in ("-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        try:
            if not beside.is_file():
                continue
            with beside.open("rb") as file:
                # With journal_mode=PERSIST, SQLite ends a transaction by writing zeros over the start of the journal.
                # Such a journal has no unfinished writes. A "-wal" file never starts with a zero.
                unfinished = file.read(1) not in {b"", b"\0"}
        except PermissionError:
            # SQLite could not read it either, so nobody can say that it is empty.
            unfinished = True
        except OSError:  # the name is too long for the system, so there can be no such file
            continue
        if unfinished:
            raise DataError(
                f"{where}: {str(path)!r} has unfinished writes in {beside.name!r}; open it once with sqlite3 and run "
                "PRAGMA wal_checkpoint(TRUNCATE), or copy the database when no program uses it"
            )


def describe(path: Path, form: Schema, sample_rows: int = 0) -> str:
    """Return the text with which a prompt describes a database's tables, in the order in which they were created.

    `sample_rows` is how many of its first rows follow each table. Raises DataError if the database cannot be read.
    """
    try:
        with closing(_reader(path)) as connection:
            return "\n".join(_tables(connection, form, sample_rows))
    except sqlite3.Error as error:
        raise DataError(f"{path}: the database cannot be read ({error}); fetch or copy it again") from None


def _reader(path: Path) -> sqlite3.Connection:
    # `immutable` tells SQLite that nobody writes. Then it takes no locks and needs no permission to write in the
    # folder.
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _tables(connection: sqlite3.Connection, form: Schema, sample_rows: int) -> Iterator[str]:
    made = connection.execute(
        # The underscore is escaped, because in LIKE it means any character. SQLite adds `sqlite_sequence` for
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
    # A PRAGMA takes no parameters, but its form as a function does. So no table's name can break out of the statement.
    found = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return [name if re.fullmatch(r"\w+", name) else f"`{name}`" for (name,) in found]


def _foreign_keys(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the foreign keys of a table. A key without a column refers to the other table's primary key."""
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
    # Samples are written into an SQL comment. A value with "*/" in it would end that comment.
    text = text.replace("*/", "* /")
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."
