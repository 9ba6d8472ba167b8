"""Finds queries in which `printf` or `format` makes a text that is too long. SQLite gives NULL for it, without an
error.

A query that uses these functions and has a result is run a second time. In the second run, our own functions replace
them and notice such texts. The rows of the first run are kept, because our functions cannot read text that is not
UTF-8. This module uses only the standard library.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from burnish.sql.guard import opened
from burnish.sql.outcome import Limits

NAMES = ("printf", "format")
_MENTIONED = re.compile("|".join(NAMES), re.IGNORECASE)


def mentions_formats(sql: str) -> bool:
    """Say whether a query may use one of these functions."""
    return _MENTIONED.search(sql) is not None


def outgrown(database: str, sql: str, limits: Limits, seconds: float) -> bool:
    """Run a query, and say whether one of these functions made a text that is too long.

    It is False if another error comes first. Raises sqlite3.Error if the database cannot be opened.
    """
    connection, _ = opened(database, limits, seconds)
    # On the query's connection, `printf` is replaced by ours. A second connection calls the real one, with the same
    # limit on the length of a text.
    with closing(connection), closing(sqlite3.connect(":memory:")) as helper:
        helper.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.result_bytes)
        watch = _Watch(helper)
        for name in NAMES:
            # -1 means any number of arguments.
            connection.create_function(name, -1, watch)
        try:
            for _ in connection.execute(sql):
                pass
        except (sqlite3.Error, sqlite3.Warning, UnicodeError, MemoryError):
            return watch.found  # an error that `watch` raises arrives here as an error of SQLite
    return watch.found


class _Watch:
    def __init__(self, helper: sqlite3.Connection) -> None:
        self.helper, self.found = helper, False

    def __call__(self, *values: int | float | str | bytes | None) -> int | float | str | bytes | None:
        result = self._formatted(values)
        # An empty text also comes as NULL. With one letter added, it is a text, unless it was too long.
        if result is None and values and values[0] is not None:
            self.found = self._formatted((f"{_as_text(values[0])}x", *values[1:])) is None
            if self.found:
                # The error ends the query, because one such text is enough to know.
                raise OverflowError
        return result

    def _formatted(self, values: tuple[int | float | str | bytes | None, ...]) -> int | float | str | bytes | None:
        marks = ", ".join("?" * len(values))
        (result,) = self.helper.execute(f"SELECT printf({marks})", values).fetchone()
        return result


def _as_text(value: int | float | str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
