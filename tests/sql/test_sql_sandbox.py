"""Hostile SQL changes nothing, ends in time, and costs itself alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from sql_data import PEOPLE, people

from burnish.errors import BackendError
from burnish.sql import sandbox as sandboxes
from burnish.sql.outcome import MEGABYTE, Kind, Limits, QueryOutcome
from burnish.sql.sandbox import Query, Sandbox
from burnish.sql.worker import command, execute
from burnish.store.files import checksum

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import hostile_sql  # noqa: E402

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
LIMITS = Limits(seconds=0.5, rows=1000, result_bytes=MEGABYTE, sql=20_000, memory=64 * MEGABYTE)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return people(tmp_path / "people.sqlite")


@pytest.fixture
def sandbox() -> Generator[Sandbox, None, None]:
    with Sandbox(LIMITS, workers=2) as pool:
        yield pool


@pytest.fixture
def patient() -> Generator[Sandbox, None, None]:
    """Its clock ends nothing before another limit does, on a busy machine too."""
    with Sandbox(replace(LIMITS, seconds=60), workers=1) as pool:
        yield pool


def run_instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    def line(_: Limits) -> list[str]:
        return [sys.executable, "-c", code]

    monkeypatch.setattr(sandboxes, "command", line)


def ask(sandbox: Sandbox, database: Path, sql: str) -> QueryOutcome:
    return sandbox.run(Query(database=database, sql=sql))


def test_rows_come_as_sqlite_has_them(sandbox: Sandbox, database: Path) -> None:
    assert ask(sandbox, database, "SELECT * FROM person").rows == tuple(PEOPLE)
    (row,) = ask(sandbox, database, "SELECT x'00ff', 'é', NULL, 1.5, 9e999, -9223372036854775808").rows
    assert row == (b"\0\xff", "é", None, 1.5, float("inf"), -(2**63))
    assert ask(sandbox, database, "SELECT * FROM person WHERE 0;") == QueryOutcome(kind=Kind.ROWS)
    first, second = (ask(sandbox, database, f"SELECT CAST(x'{byte}' AS TEXT)").rows for byte in ("ff", "fe"))
    assert first != second


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*), max(height), group_concat(name) FROM person",
        "WITH t AS (SELECT 1) SELECT count(*) FROM t",
        "SELECT count(*) FROM (SELECT name FROM PERSON) AS alias",
        "SELECT name, row_number() OVER (ORDER BY age) FROM person",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 5) SELECT x FROM n",
        "SELECT value FROM json_each('[1, 2]')",
        "SELECT name FROM sqlite_master",
        "SELECT iif(age > 40, 'old', 'young'), round(height, 1), strftime('%Y', '2020-01-01') FROM person",
        "VALUES (1), (2)",
    ],
)
def test_what_reads_is_let_through(sandbox: Sandbox, database: Path, sql: str) -> None:
    outcome = ask(sandbox, database, sql)
    assert (outcome.kind, outcome.message) == (Kind.ROWS, "")
    assert outcome.rows


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT printf('%05.1f|%s|%d', 1.5, 'é', 7), format('%.1000c', 'x')", ("001.5|é|7", "x" * 1000)),
        ("SELECT printf(NULL), printf('%s', ''), coalesce(printf(''), '')", (None, "", "")),  # 3.40: printf('') is NULL
        ("SELECT printf('%s', CAST(x'ff' AS TEXT))", ("\udcff",)),  # text that is not UTF-8
        ("SELECT 'printf'", ("printf",)),
    ],
)
def test_formats_within_the_limit_stay_as_sqlite_has_them(
    sandbox: Sandbox, database: Path, sql: str, rows: tuple[str | None, ...]
) -> None:
    assert ask(sandbox, database, sql) == QueryOutcome(kind=Kind.ROWS, rows=(rows,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "kind", "told"),
    [
        ("SELECT nobody FROM person", Kind.ERROR, "no such column: nobody"),
        ("Ich weiß es nicht", Kind.ERROR, "syntax error"),
        ("SELECT 1\0", Kind.ERROR, "null character"),
        ("SELECT '\ud800'", Kind.ERROR, "surrogates"),
        ("SELECT ?", Kind.ERROR, "bindings"),
        ("SELECT 1; SELECT 2", Kind.TWO_STATEMENTS, "one statement"),
        ("", Kind.EMPTY, "no statement"),
        ("-- nothing", Kind.EMPTY, "no statement"),
        ("DELETE FROM person", Kind.REFUSED, "delete person"),
        ("WITH x AS (SELECT 1) UPDATE person SET age = 0", Kind.REFUSED, "update person age"),
        ("ATTACH 'FOLDER/new.sqlite' AS x", Kind.REFUSED, "attach"),
        ("VACUUM INTO 'FOLDER/new.sqlite'", Kind.REFUSED, "attach"),
        ("PRAGMA query_only = OFF", Kind.REFUSED, "pragma query_only"),
        ("SELECT * FROM pragma_table_info('person')", Kind.REFUSED, "virtual table"),
        ("SELECT load_extension('x')", Kind.REFUSED, "function load_extension"),
        ("CREATE TEMP TABLE x (a)", Kind.REFUSED, "sqlite_temp_master"),
        ("SAVEPOINT x", Kind.REFUSED, "savepoint"),
        ("BEGIN", Kind.REFUSED, "transaction"),
        ("/* x */ EXPLAIN SELECT 1", Kind.REFUSED, "explain"),
        ("SELECT random()", Kind.REFUSED, "function random"),
        (f"SELECT '{'x' * MEGABYTE}'", Kind.REFUSED, "1,048,585 characters"),
        (ENDLESS, Kind.TIMEOUT, "interrupted"),
        ("SELECT count(*) FROM " + ", ".join(f"person p{n}" for n in range(40)), Kind.TIMEOUT, "interrupted"),
        (ENDLESS.replace("count(*)", "x") + " LIMIT 10000000", Kind.TOO_LARGE, "1,000 rows"),
        ("SELECT zeroblob(2000000000)", Kind.TOO_LARGE, "too big"),
        ("SELECT replace(hex(zeroblob(200000)), '0', '0123456789')", Kind.TOO_LARGE, "too big"),
        # SQLite gives NULL for these two.
        ("SELECT printf('%*d', 20000000, 1)", Kind.TOO_LARGE, "1,048,576 bytes"),
        ("SELECT length(\"Format\"('%.*c', 20000000, 'x'))", Kind.TOO_LARGE, "1,048,576 bytes"),
        ("SELECT printf('%1000d', a.x) FROM (" + ENDLESS.replace("count(*)", "x") + ") a", Kind.TOO_LARGE, "rows"),
        ("SELECT hex(zeroblob(40000)) FROM (" + ENDLESS.replace("count(*)", "x") + ")", Kind.TOO_LARGE, "bytes"),
        (ENDLESS.replace("count(*)", "DISTINCT hex(x || zeroblob(2000))") + " ORDER BY 1", Kind.TOO_LARGE, "memory"),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, str) else None,
)
def test_what_becomes_of_bad_queries(
    sandbox: Sandbox, patient: Sandbox, database: Path, sql: str, kind: Kind, told: str
) -> None:
    before = checksum(database)
    pool = sandbox if kind is Kind.TIMEOUT else patient
    outcome = ask(pool, database, sql.replace("FOLDER", str(database.parent)))
    assert (outcome.kind, outcome.rows) == (kind, ())
    assert told in outcome.message
    assert checksum(database) == before
    assert list(database.parent.iterdir()) == [database]
    assert ask(pool, database, "SELECT 1").rows == ((1,),)


@pytest.mark.slow
def test_a_query_that_no_clock_of_sqlite_sees_is_ended(
    sandbox: Sandbox, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "GRACE", 0.2)
    outcome = ask(sandbox, database, "SELECT printf('%.*c', 2000000000, 'x')")  # one instruction of many seconds
    assert (outcome.kind, outcome.message) == (Kind.TIMEOUT, "its worker was ended")
    assert ask(sandbox, database, "SELECT 1").rows == ((1,),)


@pytest.mark.slow
def test_a_crash_costs_one_query_alone(database: Path) -> None:
    with Sandbox(Limits(seconds=20), workers=2) as pool:
        ask(pool, database, "SELECT 1")  # a worker is there
        (worker,) = [one for one in pool._all if one.process]
        assert worker.process
        queries = [Query(database=database, sql=sql) for sql in (ENDLESS, *(f"SELECT {n}" for n in range(50)))]
        threading.Timer(0.5, os.kill, (worker.process.pid, signal.SIGSEGV)).start()
        outcomes = pool.run_all(queries, lambda _, outcome: outcome)
        assert outcomes[0].kind is Kind.CRASHED
        assert f"status {-signal.SIGSEGV}" in outcomes[0].message
        assert [one.rows for one in outcomes[1:]] == [((n,),) for n in range(50)]


def test_a_worker_that_died_idle_costs_nothing(sandbox: Sandbox, database: Path) -> None:
    assert ask(sandbox, database, "SELECT 1").kind is Kind.ROWS
    (worker,) = [one for one in sandbox._all if one.process]
    assert worker.process
    worker.process.kill()
    worker.process.wait()
    assert ask(sandbox, database, "SELECT 2").rows == ((2,),)


@pytest.mark.parametrize("says", [b"\0" * 7 + b"\2{}", b"\xff" * 8])
def test_what_a_broken_worker_says_is_a_crash(database: Path, says: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; o = sys.stdout.buffer; o.write(bytes(8)); o.flush(); sys.stdin.buffer.read(8); o.write(SAYS)"
    run_instead(monkeypatch, code.replace("SAYS", repr(says)))
    with Sandbox(LIMITS, workers=1) as pool:
        assert ask(pool, database, "SELECT 1").kind is Kind.CRASHED


def test_a_worker_that_does_not_start_is_an_error(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(monkeypatch, "import sys; sys.exit(5)")
    with Sandbox(LIMITS, workers=1) as pool, pytest.raises(BackendError, match=r"does not start \(status 5\)"):
        ask(pool, database, "SELECT 1")


def test_many_queries_keep_their_order(sandbox: Sandbox, database: Path) -> None:
    queries = [Query(database=database, sql=f"SELECT {n}") for n in range(200)]
    assert sandbox.run_all(queries, lambda _, outcome: outcome.rows) == [((n,),) for n in range(200)]
    with pytest.raises(ZeroDivisionError):
        sandbox.run_all(queries, lambda _, outcome: 1 / len(outcome.message))
    assert ask(sandbox, database, "SELECT 1").kind is Kind.ROWS


def test_the_same_query_has_the_same_outcome(sandbox: Sandbox, database: Path) -> None:
    for sql in (
        "SELECT * FROM person ORDER BY name",
        "SELECT zeroblob(2000000000)",
        "SELECT nothing",
        "DROP TABLE person",
    ):
        assert len({ask(sandbox, database, sql) for _ in range(3)}) == 1


@pytest.mark.parametrize("name", ["missing", "folder", "text", "garbled"])
def test_an_unreadable_database_is_not_the_querys_fault(sandbox: Sandbox, database: Path, name: str) -> None:
    path = database.with_name(name)
    match name:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("no database " * 100)
        case "garbled":
            path.write_bytes(database.read_bytes()[:4096] + b"\xff" * 4096)
        case _:
            pass
    assert ask(sandbox, path, "SELECT count(*) FROM person").kind is Kind.UNREADABLE


def test_odd_names_of_files(sandbox: Sandbox, tmp_path: Path) -> None:
    odd = tmp_path / "a?mode=rwc&x=%41#é b"
    odd.mkdir()
    assert ask(sandbox, people(odd / "people?.sqlite"), "SELECT count(*) FROM person").rows == ((3,),)


def test_a_worker_holds_nothing_but_the_standard_library(tmp_path: Path) -> None:
    line = command(LIMITS)
    code = "import burnish.sql.worker; print(*{name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    line[line.index("-c") + 1] = f"import sys; sys.path.append(sys.argv[1]); {code}"
    done = subprocess.run(line, check=True, capture_output=True, text=True, cwd=tmp_path, env={})
    assert set(done.stdout.split()) == {"__main__", "burnish"} - set(sys.stdlib_module_names)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
def test_a_busy_worker_dies_with_its_parent(database: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, threading, time\nfrom pathlib import Path\nfrom burnish.sql.sandbox import *\n"
        "pool = Sandbox(Limits(seconds=100), workers=1)\n"
        f"query = Query(database=Path({str(database)!r}), sql={ENDLESS!r})\n"
        "threading.Thread(target=pool.run, args=(query,), daemon=True).start()\n"
        "while not pool._all[0].process: time.sleep(0.01)\n"
        "time.sleep(0.3)\nprint(pool._all[0].process.pid, flush=True)\ntime.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        worker = int(parent.stdout.readline())
    assert alive(worker)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 30
    while alive(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(worker)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_in_process_and_in_a_worker_are_the_same(sandbox: Sandbox, database: Path) -> None:
    for sql in ("SELECT * FROM person", "SELECT nothing", "DROP TABLE person", "SELECT 1; SELECT 2", ""):
        assert execute(str(database), sql, LIMITS) == ask(sandbox, database, sql)


def test_the_list_of_hostile_statements_is_long() -> None:
    assert len(hostile_sql.STATEMENTS) >= 60


@pytest.mark.slow
def test_no_hostile_statement_changes_anything(data_dir: Path) -> None:
    limits = Limits(seconds=0.5)
    every = hostile_sql.try_all(data_dir / "geoquery" / "geography.sqlite", limits)
    assert [one.name for one in every if not one.unchanged or not one.next_runs] == []
    kinds = {one.name: one.outcome.kind for one in every}
    assert Kind.UNREADABLE not in kinds.values()
    assert {name for name, kind in kinds.items() if kind is Kind.CRASHED} == set()
