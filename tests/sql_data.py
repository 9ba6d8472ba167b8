"""Small databases and rows about them, for tests of text-to-SQL."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlglot")

PEOPLE = [(1, "Ada", 36, 1.5), (2, "Bo", 41, None), (3, "Cy", 36, 1.0)]


def people(path: Path, journal: str = "delete") -> Path:
    """Make a database with one table of three people: two of them 36 years old, one without a height."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, age INT, height REAL)")
        connection.executemany("INSERT INTO person VALUES (?, ?, ?, ?)", PEOPLE)
    return path


def rows_of(database: Path, count: int) -> list[dict[str, Any]]:
    """Return rows whose gold queries have a result of their own each."""
    return [
        {
            "question": f"How old is Ada plus {n}?",
            "sql": f"SELECT age + {n} FROM person WHERE id = 1",
            "database": database.name,
        }
        for n in range(count)
    ]


def write(path: Path, *rows: object) -> Path:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path
