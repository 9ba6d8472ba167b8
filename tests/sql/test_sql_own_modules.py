"""Tables of full-text search and R-trees that a user's own database has: read, and never written."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
import sql_data  # skips where sqlglot is missing

from burnish.sql.outcome import Kind, Limits, QueryOutcome
from burnish.sql.sandbox import Query, Sandbox
from burnish.store.files import checksum

assert sql_data


@pytest.fixture
def sandbox() -> Generator[Sandbox, None, None]:
    with Sandbox(Limits(seconds=5.0), workers=1) as pool:
        yield pool


def ask(sandbox: Sandbox, database: Path, sql: str) -> QueryOutcome:
    return sandbox.run(Query(database=database, sql=sql))


@pytest.fixture
def own_modules(tmp_path: Path) -> Path:
    """A database with tables of full-text search and an R-tree, as people have them."""
    path = tmp_path / "modules.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE VIRTUAL TABLE note USING fts5(title, body);
            INSERT INTO note VALUES ('cats', 'the cat sat'), ('dogs', 'a dog ran');
            CREATE VIRTUAL TABLE "old note" USING FTS4(title, body);
            INSERT INTO "old note" VALUES ('cats', 'the cat sat'), ('dogs', 'a dog ran');
            CREATE VIRTUAL TABLE box USING rtree(id, x0, x1, y0, y1);
            INSERT INTO box VALUES (1, 0, 1, 0, 1), (2, 5, 6, 5, 6);
            """
        )
    return path


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT title FROM note", (("cats",), ("dogs",))),
        ("SELECT title FROM note WHERE note MATCH 'ran' ORDER BY rank", (("dogs",),)),
        ("SELECT highlight(note, 1, '[', ']') FROM note('cat')", (("the [cat] sat",),)),
        ("SELECT title, bm25(note) < 0 FROM note WHERE note MATCH 'cat'", (("cats", 1),)),
        (
            "SELECT title, snippet(\"old note\") FROM 'old note' WHERE body MATCH 'cat'",
            (("cats", "the <b>cat</b> sat"),),
        ),
        ("SELECT id FROM box WHERE x0 < 2 AND y1 > 0", ((1,),)),
    ],
)
def test_own_tables_of_text_search_and_r_trees_are_read(
    sandbox: Sandbox, own_modules: Path, sql: str, rows: tuple[tuple[str | int, ...], ...]
) -> None:
    before = checksum(own_modules)
    outcome = ask(sandbox, own_modules, sql)
    if "no such module" in outcome.message:
        pytest.skip("this SQLite is built without the module")
    assert outcome == QueryOutcome(kind=Kind.ROWS, rows=rows)
    assert checksum(own_modules) == before


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO note VALUES ('x', 'y')",
        "INSERT INTO note(note) VALUES ('optimize')",
        "DELETE FROM box",
        "DROP TABLE note",
        'SELECT optimize("old note") FROM "old note"',
        "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
        "SELECT * FROM pragma_data_version",
        "PRAGMA query_only = OFF",
        "SELECT fts3_tokenizer('simple')",
    ],
)
def test_own_modules_open_no_way_to_write(sandbox: Sandbox, own_modules: Path, sql: str) -> None:
    before = checksum(own_modules)
    assert ask(sandbox, own_modules, sql).kind is Kind.REFUSED
    assert checksum(own_modules) == before
