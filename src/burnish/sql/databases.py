"""SQLite files: whether one can be read, and its schema in words. They are the user's own: only queries are hostile."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from burnish.errors import DataError

MAGIC = b"SQLite format 3\0"
CELL = 40
"""Characters of a sample value that are shown."""


class Schema(StrEnum):
    """How a prompt shows a schema: as its CREATE TABLE statements, or as lists of columns (the released code's way)."""

    CREATE = "create"
    COLUMNS = "columns"


def check_database(path: Path, where: str) -> None:
    """Raise DataError naming `where` and the file unless this is a SQLite database at rest."""
    fix = "give the path of a SQLite database"
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
    except OSError as error:
        raise DataError(f"{where}: the database {str(path)!r} cannot be read ({error.strerror}); {fix}") from None
    if head != MAGIC:
        what = "is empty" if not head else "is no SQLite database"
        raise DataError(f"{where}: {str(path)!r} {what}; {fix}")
    for suffix in ("-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.is_file() and beside.stat().st_size:
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
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _tables(connection: sqlite3.Connection, form: Schema, sample_rows: int) -> Iterator[str]:
    made = connection.execute(
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
    text = text.replace("*/", "* /")
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."
