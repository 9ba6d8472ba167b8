"""Results kept by database and query; databases checked and shown."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest
from sql_data import people

from burnish.errors import DataError
from burnish.sql.compare import Equality
from burnish.sql.databases import Schema, check_database, describe
from burnish.sql.gold import QueryResults, same
from burnish.sql.outcome import Kind, Limits
from burnish.sql.sandbox import Query, Sandbox
from burnish.store.files import checksum
from burnish.types import short_hash


class Counting(Sandbox):
    """Remembers which queries were run."""

    def __init__(self) -> None:
        super().__init__(Limits(seconds=0.3, rows=1000), workers=1)
        self.ran: list[str] = []

    def run_all(self, queries: Sequence[Query], keep: Any) -> list[Any]:
        self.ran += [query.sql for query in queries]
        return super().run_all(queries, keep)


@pytest.fixture
def sandbox() -> Generator[Counting, None, None]:
    pool = Counting()
    yield pool
    pool.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return people(tmp_path / "people.sqlite")


def test_equal_results_and_two_failures(sandbox: Counting, database: Path) -> None:
    results = QueryResults(sandbox)

    def agree(a: str, b: str, equality: Equality = Equality.SET) -> bool:
        first, second = (results.get(Query(database=database, sql=sql)) for sql in (a, b))
        return same(first, second, equality)

    ages, distinct = "SELECT age FROM person", "SELECT DISTINCT age FROM person"
    assert agree(ages, distinct)
    assert not agree(ages, distinct, Equality.MULTISET)
    assert agree(ages, f"{ages} ORDER BY id", Equality.ORDERED)
    assert agree("SELECT 1 WHERE 0", "SELECT name, age FROM person WHERE 0")
    assert not agree("SELECT nobody", "SELECT nobody")
    assert not agree("SELECT nobody", ages)
    assert results.get(Query(database=database, sql="SELECT nobody")).why == "error: no such column: nobody"


def test_each_query_runs_once_for_each_database(sandbox: Counting, database: Path, tmp_path: Path) -> None:
    results, other = QueryResults(sandbox), people(tmp_path / "other.sqlite")
    queries = [
        Query(database=path, sql=sql) for path in (database, other) for sql in ("SELECT 1", "SELECT 2", "SELECT 1")
    ]
    results.fill(queries)
    results.fill(queries)
    assert sandbox.ran == ["SELECT 1", "SELECT 2"] * 2
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("DELETE FROM person")
    results.fill(queries)
    assert sandbox.ran == ["SELECT 1", "SELECT 2"] * 3


@pytest.mark.slow
def test_a_folder_keeps_what_lasts_by_content(sandbox: Counting, database: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    queries = [Query(database=database, sql=sql) for sql in ("SELECT age FROM person", "SELECT nobody", endless)]
    first = QueryResults(sandbox, cache)
    first.fill(queries)
    files = sorted(cache.rglob("*.json"))
    assert len(files) == 2
    moved = database.rename(tmp_path / "moved.sqlite")
    again = QueryResults(sandbox, cache)
    known = [again.get(Query(database=moved, sql=query.sql)) for query in queries]
    assert sandbox.ran[3:] == [endless]
    assert known[:2] == [
        QueryResults(Sandbox(sandbox.limits)).get(Query(database=moved, sql=query.sql)) for query in queries[:2]
    ]
    assert known[2].kind is Kind.TIMEOUT
    for file in files:
        file.write_bytes(b'{"kind": ')  # a damaged entry is computed anew
    QueryResults(sandbox, cache).fill([Query(database=moved, sql="SELECT nobody")])
    assert sandbox.ran[4:] == ["SELECT nobody"]


def test_what_an_older_version_kept_and_this_one_sees_otherwise_is_run_again(
    sandbox: Counting, database: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    QueryResults(sandbox, cache).fill([Query(database=database, sql="DROP TABLE person")])
    QueryResults(sandbox, cache).fill([Query(database=database, sql="DROP TABLE person")])
    assert sandbox.ran == ["DROP TABLE person"] * 2  # it may be allowed now
    plain, formatted = (Query(database=database, sql=sql) for sql in ("SELECT 1", "SELECT Printf('%d', 1)"))
    results = QueryResults(sandbox, cache)
    limits = orjson.dumps(asdict(sandbox.limits)).decode()
    first = [short_hash(checksum(database), query.sql, limits, sqlite3.sqlite_version) for query in (plain, formatted)]
    assert results._place(plain).stem == first[0]
    assert results._place(formatted).stem != first[1]


def test_an_unreadable_database_is_an_error_that_names_it(sandbox: Counting, tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with pytest.raises(DataError, match=r"x\.sqlite: the database cannot be read \(No such file"):
        QueryResults(sandbox).get(Query(database=path, sql="SELECT 1"))
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(DataError, match=r"x\.sqlite: the database cannot be read"):
        QueryResults(sandbox).get(Query(database=path, sql="SELECT 1"))
    with pytest.raises(DataError, match=r"x\.sqlite: the database cannot be read"):
        describe(path, Schema.CREATE)


def test_databases_that_are_none(database: Path, tmp_path: Path) -> None:
    check_database(database, "here")
    empty, text = tmp_path / "empty", tmp_path / "text"
    empty.touch()
    text.write_text("id,name\n")
    for path, told in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a directory"),
        (empty, "is empty"),
        (text, "is no SQLite database"),
    ):
        with pytest.raises(DataError, match=rf"^rows:3: .*{path.name}.*{told}.*give the path of a SQLite database"):
            check_database(path, "rows:3")


def test_a_half_copied_database_is_refused(tmp_path: Path) -> None:
    # SQLite reads the pages that are missing as zeros, and so a table's rows as NULL.
    path = people(tmp_path / "people.sqlite")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO person (name) VALUES (?)", [("x" * 500,)] * 100)
    whole = path.read_bytes()
    check_database(path, "here")
    for size in (len(whole) // 2, len(whole) - 1, 50):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"^rows:3: .*people\.sqlite' has [0-9,]+ bytes.*a part of it is missing"):
            check_database(path, "rows:3")
    path.write_bytes(whole + b"\0" * 4096)  # longer is no harm
    check_database(path, "here")


def test_results_are_not_taken_from_a_half_copied_database_either(sandbox: Counting, database: Path) -> None:
    database.write_bytes(database.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"people\.sqlite: the database cannot be read \(it has .* is missing\)"):
        QueryResults(sandbox).get(Query(database=database, sql="SELECT count(*) FROM person"))
    assert sandbox.ran == []


def test_a_page_of_65536_bytes_is_written_as_1(tmp_path: Path) -> None:
    path = tmp_path / "large.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA page_size = 65536")
        connection.execute("CREATE TABLE t (a)")
    check_database(path, "here")
    path.write_bytes(path.read_bytes()[:-65536])
    with pytest.raises(DataError, match="has 65,536 bytes, but its header says 131,072"):
        check_database(path, "here")


def test_a_count_of_pages_that_an_old_program_left_behind_is_not_trusted(database: Path) -> None:
    data = bytearray(database.read_bytes())
    data[28:32] = (10_000).to_bytes(4, "big")
    data[92:96] = (77).to_bytes(4, "big")  # another number than the counter of changes
    database.write_bytes(data)
    check_database(database, "here")


def test_paths_that_no_database_can_have(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.sqlite"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match=r"^rows:3: .*pipe\.sqlite' is no ordinary file"):
        check_database(pipe, "rows:3")
    with pytest.raises(DataError, match=r"^rows:3: .*null byte.*give the path"):
        check_database(tmp_path / "a\0b", "rows:3")
    with pytest.raises(DataError, match=r"^rows:3: .*File name too long.*give the path"):
        check_database(tmp_path / ("x" * 256), "rows:3")


def test_a_name_of_255_characters_is_one(tmp_path: Path) -> None:
    check_database(people(tmp_path / "x.sqlite").rename(tmp_path / ("x" * 255)), "here")


def test_unfinished_writes_are_not_passed_over(tmp_path: Path) -> None:
    path = people(tmp_path / "wal.sqlite", journal="wal")
    check_database(path, "here")  # closed in good order
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM person")
        connection.commit()
        with pytest.raises(DataError, match=r"unfinished writes in 'wal.sqlite-wal'; .*wal_checkpoint"):
            check_database(path, "here")


def test_a_journal_that_stays_after_its_transaction_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    journal = path.with_name("kept.sqlite-journal")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=persist")
        connection.execute("CREATE TABLE person (name TEXT)")
        connection.execute("INSERT INTO person VALUES ('Ann')")
    assert journal.stat().st_size > 0
    check_database(path, "here")
    # The first bytes of a journal whose transaction never ended.
    journal.write_bytes(bytes.fromhex("d9d505f920a163d7") + journal.read_bytes()[8:])
    with pytest.raises(DataError, match=r"unfinished writes in 'kept.sqlite-journal'"):
        check_database(path, "here")


def test_a_schema_in_words(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('CREATE TABLE maker (id INTEGER PRIMARY KEY AUTOINCREMENT, "full name" TEXT)')
        connection.execute("CREATE TABLE car (id INT, maker INT REFERENCES maker(id), photo BLOB)")
        connection.execute("INSERT INTO maker VALUES (1, ?)", (f"A */ {'x' * 50}\nB",))
        connection.execute("INSERT INTO car VALUES (1, 1, x'00'), (2, NULL, NULL), (3, 1, NULL)")
        connection.execute("CREATE VIEW v AS SELECT 1")
    assert describe(path, Schema.COLUMNS) == (
        "maker(id, `full name`)\ncar(id, maker, photo)\nForeign keys: car.maker = maker.id"
    )
    created = describe(path, Schema.CREATE, sample_rows=2).splitlines()
    assert created == [
        'CREATE TABLE maker (id INTEGER PRIMARY KEY AUTOINCREMENT, "full name" TEXT);',
        "/* 1 of its rows:",
        f"1 | A * / {'x' * 31}...",
        "*/",
        "CREATE TABLE car (id INT, maker INT REFERENCES maker(id), photo BLOB);",
        "/* 2 of its rows:",
        "1 | 1 | (binary)",
        "2 | NULL | NULL",
        "*/",
    ]
