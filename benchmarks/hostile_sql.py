"""What hostile SQL can do, and how many queries a second the sandbox runs.

    BURNISH_TEST_DATA=... python benchmarks/hostile_sql.py --out docs/results/hostile-sql.json

Every statement is run on a copy of the geoquery database in a folder of its own, with the sandbox's limits but less
time. After each one the database's bytes and the folder's listing are what they were, it has ended within its time and
the grace that a worker is given, and the next query runs. Then the gold queries of geoquery are timed: in this process
without any worker, in one worker, and in a pool.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from burnish.sql.outcome import Kind, Limits, QueryOutcome
from burnish.sql.sandbox import GRACE, Query, Sandbox
from burnish.sql.worker import execute
from burnish.store.files import checksum, read_objects

SECONDS = 2.0
LATE = 1.0
"""Seconds beyond time and grace that starting a fresh worker and a busy machine may take."""
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
AS = "a" * 40
CHAIN = ", ".join(f"v{n} AS (SELECT * FROM v{n - 1} UNION ALL SELECT * FROM v{n - 1})" for n in range(1, 300))
STATEMENTS: dict[str, str] = {
    # Writes
    "insert": "INSERT INTO city VALUES ('x', 1, 'x', 'x')",
    "insert from a select": "INSERT INTO city SELECT * FROM city",
    "replace": "REPLACE INTO city VALUES ('x', 1, 'x', 'x')",
    "update": "UPDATE city SET population = 0",
    "update returning": "UPDATE city SET population = 0 RETURNING *",
    "delete": "DELETE FROM city",
    "delete after with": "WITH x AS (SELECT 1) DELETE FROM city",
    "drop table": "DROP TABLE city",
    "drop in another case": "dRoP/**/tAbLe/**/city",
    "create table": "CREATE TABLE hostile (a)",
    "create temp table": "CREATE TEMP TABLE hostile AS SELECT * FROM city",
    "create view": "CREATE VIEW hostile AS SELECT 1",
    "create temp trigger": "CREATE TEMP TRIGGER t AFTER INSERT ON city BEGIN DELETE FROM city; END",
    "create index": "CREATE INDEX hostile ON city (population)",
    "create virtual table": "CREATE VIRTUAL TABLE hostile USING fts5(a)",
    "alter table": "ALTER TABLE city RENAME TO hostile",
    "write to the schema": "UPDATE sqlite_master SET sql = 'x'",
    "delete from the schema": "DELETE FROM sqlite_schema",
    # Files
    "attach a new file": "ATTACH DATABASE 'FOLDER/hostile.sqlite' AS hostile",
    "attach memory": "ATTACH ':memory:' AS hostile",
    "attach by uri": "ATTACH 'file:FOLDER/geography.sqlite?mode=rwc' AS hostile",
    "detach": "DETACH DATABASE main",
    "vacuum": "VACUUM",
    "vacuum into": "VACUUM INTO 'FOLDER/hostile.sqlite'",
    "writefile": "SELECT writefile('FOLDER/hostile', 'x')",
    "readfile": "SELECT readfile('/etc/passwd')",
    "edit": "SELECT edit('x', 'touch FOLDER/hostile')",
    "load_extension": "SELECT load_extension('FOLDER/hostile')",
    "load_extension, quoted": "SELECT \"load_extension\"('FOLDER/hostile', 'entry')",
    "fts3_tokenizer": "SELECT fts3_tokenizer('simple', x'0000000000000000')",
    "sqlite_log": "SELECT sqlite_log(1, 'x')",
    # Settings, transactions, what a connection knows
    "pragma writable_schema": "PRAGMA writable_schema = ON",
    "pragma journal_mode": "PRAGMA journal_mode = WAL",
    "pragma query_only": "PRAGMA query_only = OFF",
    "pragma after a comment": "/* SELECT */ PRAGMA user_version = 7",
    "pragma as a table": "SELECT * FROM pragma_user_version",
    "pragma as a table, counted": "SELECT count(*) FROM pragma_table_info('city')",
    "pragma as a table, in a subquery": "SELECT (SELECT journal_mode FROM pragma_journal_mode('wal'))",
    "sqlite_stmt": "SELECT * FROM sqlite_stmt",
    "dbstat": "SELECT count(*) FROM dbstat",
    "fts3tokenize": "SELECT * FROM fts3tokenize",
    "temp schema": "SELECT * FROM temp.sqlite_master",
    "begin": "BEGIN EXCLUSIVE",
    "commit": "COMMIT",
    "savepoint": "SAVEPOINT hostile",
    "release": "RELEASE hostile",
    "analyze": "ANALYZE",
    "reindex": "REINDEX",
    "explain": "EXPLAIN SELECT 1",
    "explain after comments": "-- x\n/* y */ EXPLAIN QUERY PLAN SELECT 1",
    # Chance
    "random": "SELECT random()",
    "randomblob": "SELECT hex(randomblob(8))",
    "order by random": "SELECT * FROM city ORDER BY random() LIMIT 1",
    # Too long
    "endless count": f"{ENDLESS} SELECT count(*) FROM n",
    "endless in where": f"{ENDLESS} SELECT 1 WHERE 0 IN (SELECT x FROM n)",
    "endless subquery of a row": f"SELECT (SELECT max(x) FROM ({ENDLESS} SELECT x FROM n)) FROM city",
    "endless recursion on text": (
        "WITH RECURSIVE n(x) AS (SELECT 'a' UNION ALL SELECT x || 'a' FROM n) SELECT count(*) FROM n"
    ),
    "cross join": "SELECT count(*) FROM city a, city b, city c, city d",
    "like with many wildcards": f"SELECT count(*) FROM city a, city b WHERE '{AS * 20}' LIKE '%{'a%' * 200}b'",
    "glob with many wildcards": f"SELECT count(*) FROM city a, city b WHERE '{AS * 20}' GLOB '*{'a*' * 200}b'",
    "like with a long pattern": f"SELECT '{AS * 20}' LIKE '%{'a%' * 4000}b'",
    "printf, wide": "SELECT printf('%.*c', 2000000000, 'x')",
    "printf, wide, often": "SELECT length(printf('%.*c', 900000000, 'x')) FROM city a, city b",
    "replace over and over": f"SELECT sum(length(replace('{AS * 200}', 'a', '{AS}'))) FROM city a, city b, city c",
    # Too large
    "ten million rows": f"{ENDLESS} SELECT x FROM n LIMIT 10000000",
    "rows without end": f"{ENDLESS} SELECT x FROM n",
    "a gigabyte by zeroblob": "SELECT zeroblob(1000000000)",
    "two gigabytes by zeroblob": "SELECT zeroblob(2147483647)",
    "a gigabyte by replace": "SELECT replace(hex(zeroblob(1000000)), '0', printf('%1000d', 1))",
    "a gigabyte by group_concat": (
        "SELECT group_concat(a.city_name || b.city_name || c.city_name) FROM city a, city b, city c"
    ),
    "a gigabyte by doubling": (
        "WITH RECURSIVE n(x) AS (SELECT 'aa' UNION ALL SELECT x || x FROM n) SELECT max(length(x)) FROM n"
    ),
    "many middling values": f"{ENDLESS} SELECT zeroblob(1000000) FROM n",
    "a wide result": f"SELECT {', '.join(['*'] * 500)} FROM city a, city b",
    "a sort of a cross join": "SELECT * FROM city a, city b, city c ORDER BY a.population, b.population, c.population",
    "distinct without end": f"{ENDLESS} SELECT DISTINCT x, x || 'a' FROM n ORDER BY 2 DESC",
    "json that doubles": (
        "WITH RECURSIVE j(x) AS (SELECT '[1]' UNION ALL SELECT json_array(json(x), json(x)) FROM j) "
        "SELECT max(length(x)) FROM j"
    ),
    "json tree of json": f"SELECT count(*) FROM json_tree('[{'[1,2],' * 5000}3]') a, json_tree('[{'1,' * 5000}1]') b",
    # Too deep
    "subqueries, 1000 deep": f"SELECT {'(SELECT ' * 1000}1{')' * 1000}",
    "brackets, 5000 deep": f"SELECT {'(' * 5000}1{')' * 5000}",
    "an expression, 10000 long": f"SELECT {'+'.join(['1'] * 10_000)}",
    "case, 1000 deep": f"SELECT {'CASE WHEN 1 THEN ' * 1000}1{' END' * 1000}",
    "json, 5000 deep": f"SELECT json('{'[' * 5000}{']' * 5000}')",
    "union of 2000": " UNION ALL ".join(["SELECT 1"] * 2000),
    "join of 100 tables": f"SELECT count(*) FROM {', '.join(f'city c{n}' for n in range(100))}",
    "tables from tables": f"WITH v0 AS (SELECT * FROM city), {CHAIN} SELECT count(*) FROM v299",
    # Text that is no query
    "a megabyte": f"SELECT '{'x' * (1 << 20)}'",
    "two statements": "SELECT 1; DROP TABLE city",
    "two statements after a comment": "SELECT 1 /* ; */ ; -- ;\n DELETE FROM city",
    "a nul byte": "SELECT 1\0; DROP TABLE city",
    "a nul byte in a text": "SELECT 'a\0b'",
    "a lone surrogate": "SELECT '\ud800'",
    "a no-break space": "SELECT\u00a01",
    "full-width letters": "\uff33\uff25\uff2c\uff25\uff23\uff34 1",
    "right to left": "\u202eSELECT 1",
    "a byte order mark": "\ufeffPRAGMA user_version = 7",
    "a comment without an end": "SELECT 1 /* DROP TABLE city",
    "many comments": f"{'/**/' * 20_000}DROP TABLE city",
    "a text without an end": "SELECT 'a",
    "only a comment": "-- nothing",
    "nothing": " ;; ",
    "a parameter": "SELECT ?",
    "text that is no utf-8": "SELECT CAST(x'ff' AS TEXT)",
}
"""{what it tries: statement}; FOLDER stands for the database's folder."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One statement's end: what became of it, after how long, and whether the folder is as it was."""

    name: str
    outcome: QueryOutcome
    seconds: float
    unchanged: bool
    next_runs: bool


def try_all(source: Path, limits: Limits) -> list[Tried]:
    """Run every statement on a copy of a database."""
    with tempfile.TemporaryDirectory() as where, Sandbox(limits, workers=1) as sandbox:
        folder = Path(where)
        database = folder / "geography.sqlite"
        shutil.copyfile(source, database)
        before = state(folder)
        return [
            tried(sandbox, name, sql.replace("FOLDER", where), database, before) for name, sql in STATEMENTS.items()
        ]


def tried(sandbox: Sandbox, name: str, sql: str, database: Path, before: dict[str, str]) -> Tried:
    """Run one statement, and a harmless one after it."""
    started = time.monotonic()
    outcome = sandbox.run(Query(database=database, sql=sql))
    seconds = time.monotonic() - started
    after = sandbox.run(Query(database=database, sql="SELECT count(*) FROM city"))
    return Tried(
        name=name,
        outcome=outcome,
        seconds=seconds,
        unchanged=state(database.parent) == before,
        next_runs=after.rows == ((386,),),
    )


def state(folder: Path) -> dict[str, str]:
    """Return {name: sha256} of all in a folder."""
    return {path.name: checksum(path) for path in sorted(folder.iterdir())}


def rates(data: Path) -> dict[str, float]:
    """Return gold queries a second: without a worker, in one, in as many as there are processors."""
    folder = data / "geoquery"
    database = folder / "geography.sqlite"
    queries = [Query(database=database, sql=row["sql"]) for _, row in read_objects(folder / "geography.jsonl")]
    limits, found = Limits(), {}
    started = time.monotonic()
    alone = [execute(str(database), query.sql, limits).kind for query in queries]
    found["no worker"] = len(queries) / (time.monotonic() - started)
    for workers in (1, os.cpu_count() or 1):
        with Sandbox(limits, workers) as sandbox:
            sandbox.run_all(queries[:workers], kind_of)  # the workers start
            started = time.monotonic()
            kinds = sandbox.run_all(queries, kind_of)
            found[f"{workers} workers" if workers > 1 else "1 worker"] = len(queries) / (time.monotonic() - started)
        assert kinds == alone == [Kind.ROWS] * len(queries), Counter(kinds)
    return {name: round(rate) for name, rate in found.items()}


def kind_of(_: Query, outcome: QueryOutcome) -> Kind:
    """Keep of an outcome what it was."""
    return outcome.kind


def main() -> None:
    """Run all, check all, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ["BURNISH_TEST_DATA"])
    limits = Limits(seconds=SECONDS)
    every = try_all(data / "geoquery" / "geography.sqlite", limits)
    for one in every:
        print(f"{one.seconds:7.3f} s  {one.outcome.kind:<15} {one.name}: {one.outcome.message[:60]!r}")
    broken = [one.name for one in every if not (one.unchanged and one.next_runs)]
    late = [one.name for one in every if one.seconds > SECONDS + GRACE + LATE]
    record: dict[str, Any] = {
        "command": "python benchmarks/hostile_sql.py --out docs/results/hostile-sql.json",
        "machine": {"system": platform.system(), "processors": os.cpu_count(), "sqlite": sqlite3.sqlite_version},
        "limits": dataclasses.asdict(limits),
        "statements": len(every),
        "changed_something": broken,
        "late": late,
        "longest_seconds": round(max(one.seconds for one in every), 1),
        "outcomes": dict(sorted(Counter(one.outcome.kind for one in every).items())),
        "each": {one.name: one.outcome.kind for one in every},
        "queries_a_second": rates(data),
    }
    print(json.dumps({name: value for name, value in record.items() if name != "each"}, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")
    assert not broken, broken
    assert not late, late


if __name__ == "__main__":
    main()
