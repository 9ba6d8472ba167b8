"""The process that runs SQL that may be hostile. It runs one query at a time, until its input ends.

It runs isolated and without site packages. So it can import only the standard library and modules of this folder that
do the same.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

import burnish
from burnish.sql.formats import mentions_formats, outgrown
from burnish.sql.guard import opened
from burnish.sql.outcome import LENGTH, MEGABYTE, Kind, Limits, QueryOutcome, ResultRow, encoded

MESSAGE = 300
"""The most characters of an error that are kept. A model chose the names in it, so it may be very long."""
CELL = 8
"""The least number of bytes that a value counts."""
SPARE = 512 * MEGABYTE
"""Bytes of memory for Python with a result, for its JSON text, and for memory that SQLite does not count."""
WATCH_SECONDS = 0.2
_NOTHING = re.compile(r"(?:[\s;\ufeff]|--[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_CODES = {
    sqlite3.SQLITE_INTERRUPT: Kind.TIMEOUT,
    sqlite3.SQLITE_TOOBIG: Kind.TOO_LARGE,
    sqlite3.SQLITE_FULL: Kind.TOO_LARGE,
    sqlite3.SQLITE_NOMEM: Kind.TOO_LARGE,
    sqlite3.SQLITE_AUTH: Kind.REFUSED,
    sqlite3.SQLITE_CORRUPT: Kind.UNREADABLE,
    sqlite3.SQLITE_NOTADB: Kind.UNREADABLE,
    sqlite3.SQLITE_CANTOPEN: Kind.UNREADABLE,
    sqlite3.SQLITE_IOERR: Kind.UNREADABLE,
    sqlite3.SQLITE_PERM: Kind.UNREADABLE,
}


def execute(database: str, sql: str, limits: Limits) -> QueryOutcome:
    """Run one query on the database at an absolute path.

    The limits of the connection cannot stop a single long instruction or a crash. The parent process has to end those.
    """
    if len(sql) > limits.sql:
        return QueryOutcome(kind=Kind.REFUSED, message=f"{len(sql):,} characters, a query has at most {limits.sql:,}")
    # Python's sqlite3 believes that `SELECT 1;;` is two statements.
    sql = sql.rstrip("; \t\r\n\f")
    before = _NOTHING.match(sql)
    assert before, sql
    # There may be comments before the word, so they are skipped first.
    if sql[before.end() :].lower().startswith("explain"):
        return QueryOutcome(kind=Kind.REFUSED, message="explain")  # the authorizer cannot see it
    begun = time.monotonic()
    try:
        connection, guard = opened(database, limits)
    except (sqlite3.Error, MemoryError) as error:
        return QueryOutcome(kind=Kind.UNREADABLE, message=str(error)[:MESSAGE])
    with closing(connection):
        try:
            outcome = _fetched(connection.execute(sql), limits)
        except (sqlite3.Error, sqlite3.Warning, UnicodeError, MemoryError) as error:
            return _failure(error, guard.refused)
    left = begun + limits.seconds - time.monotonic()
    if outcome.kind is Kind.ROWS and mentions_formats(sql) and outgrown(database, sql, limits, left):
        grown = f"printf or format made more than {limits.result_bytes:,} bytes"
        return QueryOutcome(kind=Kind.TOO_LARGE, message=grown)
    return outcome


def _fetched(cursor: sqlite3.Cursor, limits: Limits) -> QueryOutcome:
    if cursor.description is None:
        return QueryOutcome(kind=Kind.EMPTY, message="no statement")
    rows: list[ResultRow] = []
    size = 0
    for row in cursor:
        rows.append(row)
        size += sum(max(CELL, len(value)) if isinstance(value, str | bytes) else CELL for value in row)
        if len(rows) > limits.rows:
            return QueryOutcome(kind=Kind.TOO_LARGE, message=f"more than {limits.rows:,} rows")
        if size > limits.result_bytes:
            return QueryOutcome(kind=Kind.TOO_LARGE, message=f"more than {limits.result_bytes:,} bytes")
    return QueryOutcome(kind=Kind.ROWS, rows=tuple(rows))


def _failure(error: Exception, refused: str) -> QueryOutcome:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the other bits only give details
    said = str(error)[:MESSAGE]
    # The guard knows what was refused. SQLite's own error often says only "not authorized".
    if refused:
        return QueryOutcome(kind=Kind.REFUSED, message=refused[:MESSAGE])
    if isinstance(error, MemoryError):
        return QueryOutcome(kind=Kind.TOO_LARGE, message="out of memory")
    if "one statement at a time" in said:
        return QueryOutcome(kind=Kind.TWO_STATEMENTS, message="one statement is run, more were given")
    return QueryOutcome(kind=_CODES.get(code, Kind.ERROR), message=said)


def restrict(limits: Limits) -> None:
    """Limit this process to what a query can need: it may write no files and no core dump, and has limited memory."""
    for what, most in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits.memory + SPARE),
    ):
        with suppress(ValueError, OSError):  # some systems do not have all of these limits
            resource.setrlimit(what, (most, most))


def serve(questions: IO[bytes], answers: IO[bytes], limits: Limits) -> None:
    """Answer queries until the input ends. Each query is a message {database, sql}.

    The first message that it writes is empty. It says that the worker is ready.
    """
    answers.write(LENGTH.pack(0))
    answers.flush()
    while len(head := questions.read(LENGTH.size)) == LENGTH.size:
        query: dict[str, str] = json.loads(questions.read(*LENGTH.unpack(head)))
        try:
            # A result as JSON takes more memory than the rows, so this can fail although the query succeeded.
            message = encoded(execute(query["database"], query["sql"], limits))
        except MemoryError:
            message = encoded(QueryOutcome(kind=Kind.TOO_LARGE, message="out of memory"))
        answers.write(message)
        answers.flush()


def command(limits: Limits) -> list[str]:
    """Return the command line that starts a worker for this process.

    The folder of the package comes last on the path, so that other files in it hide no module of the standard library.
    """
    place = str(Path(burnish.__file__).resolve().parent.parent)
    code = "import sys; sys.path.append(sys.argv[1]); from burnish.sql.worker import main; main(sys.argv[2:])"
    return [sys.executable, "-I", "-S", "-c", code, place, str(os.getpid()), json.dumps(asdict(limits))]


def main(arguments: Sequence[str]) -> None:
    """Run the worker. `arguments` are the parent's process id and the limits as JSON."""
    parent, limits = int(arguments[0]), Limits(**json.loads(arguments[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    restrict(limits)
    serve(sys.stdin.buffer, sys.stdout.buffer, limits)


def _end_with(parent: int) -> None:
    """End this process when the parent has ended. A busy worker does not notice that its input ended."""
    # A process whose parent has died gets another parent.
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    # `sys.exit` would end only this thread.
    os._exit(1)
