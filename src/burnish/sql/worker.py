"""The process that runs hostile SQL: the standard library alone, one query at a time, until its input ends.

It is started by its path in Python's isolated mode, so it must import nothing of the package. A message is its length
in eight bytes and then JSON; in rows, a blob is a list of one base64 text.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import resource
import signal
import sqlite3
import struct
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, TypeAlias

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = tuple[Value, ...]

MEGABYTE = 1 << 20
MESSAGE = 300
"""Characters of an error that are kept: names in it are the model's."""
CELL = 8
"""Bytes that any value counts at least."""
STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock, about 0.3 ms."""
WATCH_SECONDS = 0.2
LENGTH = struct.Struct(">Q")

FUNCTIONS = frozenset(
    """-> ->> abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce concat concat_ws cos cosh count
    cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format
    glob group_concat hex if ifnull iif instr json json_array json_array_length json_error_position json_extract
    json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote json_remove
    json_replace json_set json_type json_valid julianday lag last_value lead length like likelihood likely ln log log10
    log2 lower ltrim max median min mod nth_value ntile nullif octet_length percent_rank percentile percentile_cont
    percentile_disc pi pow power printf quote radians rank replace round row_number rtrim sign sin sinh soundex sqrt
    strftime string_agg substr substring sum tan tanh time timediff total trim trunc typeof unhex unicode unistr
    unixepoch unlikely upper zeroblob""".split()
)
"""What a query may call: built in, without effect, and the same result at each call (but for the time 'now')."""
VIRTUAL = ("json_each", "json_tree")
CATALOGUE = frozenset({"sqlite_master", "sqlite_schema", *VIRTUAL})
"""What a query may read besides the database's own tables."""
_BEFORE = re.compile(r"(?:[\s;\ufeff]|--[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_READ_FAILURES = {
    *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR),
    sqlite3.SQLITE_PERM,
}


class Kind(StrEnum):
    """What became of a query."""

    ROWS = "rows"
    ERROR = "error"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    CRASHED = "crashed"
    REFUSED = "refused"
    TWO_STATEMENTS = "two_statements"
    EMPTY = "empty"
    NOT_SQL = "not_sql"
    UNREADABLE = "unreadable"
    """The database's fault, not the query's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a query may cost. One that needs more has an outcome that says so, not a part of its rows."""

    seconds: float = 30.0
    """BIRD's evaluation allows as many."""
    rows: int = 100_000
    result_bytes: int = 16 * MEGABYTE
    """Of the whole result, a value counting at least 8; also the longest single value, in the middle of a query too."""
    sql: int = 100_000
    """Characters of the query."""
    memory: int = 512 * MEGABYTE
    """Bytes that SQLite may hold; sorting and joining never go to disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a query: its rows, or why there are none."""

    kind: Kind
    rows: tuple[Row, ...] = ()
    message: str = ""

    @property
    def ran(self) -> bool:
        """Whether there is a result, if only one of no rows."""
        return self.kind is Kind.ROWS


class Guard:
    """Lets a query read the database's tables and call harmless functions; remembers the first thing refused."""

    def __init__(self, tables: frozenset[str], modules: frozenset[str]) -> None:
        self.tables, self.modules = tables, modules
        self.refused = ""

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """Answer SQLite's authorizer."""
        if self._allows(action, first or "", second or ""):
            return sqlite3.SQLITE_OK
        self.refused = self.refused or " ".join(part for part in (_NAMES.get(action, str(action)), first, second) if part)
        return sqlite3.SQLITE_DENY

    def _allows(self, action: int, first: str, second: str) -> bool:
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                return True
            case sqlite3.SQLITE_FUNCTION:
                return second.lower() in FUNCTIONS
            case sqlite3.SQLITE_READ:
                name = first.lower()
                # Without a column it may be the name of a subquery, of which only the rows are counted.
                unknown = not second and name not in self.modules and not name.startswith(("pragma_", "sqlite_"))
                return name in self.tables or name in CATALOGUE or unknown
            case _:
                return False


_NAMES = {
    sqlite3.SQLITE_READ: "read",
    sqlite3.SQLITE_FUNCTION: "function",
    sqlite3.SQLITE_ATTACH: "attach",
    sqlite3.SQLITE_DETACH: "detach",
    sqlite3.SQLITE_PRAGMA: "pragma",
    sqlite3.SQLITE_INSERT: "insert",
    sqlite3.SQLITE_UPDATE: "update",
    sqlite3.SQLITE_DELETE: "delete",
    sqlite3.SQLITE_TRANSACTION: "transaction",
    sqlite3.SQLITE_SAVEPOINT: "savepoint",
    sqlite3.SQLITE_ANALYZE: "analyze",
    sqlite3.SQLITE_REINDEX: "reindex",
    sqlite3.SQLITE_ALTER_TABLE: "alter table",
    sqlite3.SQLITE_CREATE_VTABLE: "create virtual table",
}


def execute(database: str, sql: str, limits: Limits) -> Outcome:
    """Run one query. The process should be a restricted one: what no limit here catches is for its parent to end."""
    if len(sql) > limits.sql:
        return Outcome(kind=Kind.REFUSED, message=f"a query of {len(sql):,} characters, at most {limits.sql:,}")
    if sql[_BEFORE.match(sql).end() :][:7].lower() == "explain":  # pyright: ignore[reportOptionalMemberAccess]
        return Outcome(kind=Kind.REFUSED, message="explain")  # the authorizer cannot see it
    try:
        connection, guard = _opened(database, limits)
    except (sqlite3.Error, MemoryError) as error:
        return Outcome(kind=Kind.UNREADABLE, message=str(error)[:MESSAGE])
    with closing(connection):
        try:
            return _fetched(connection.execute(sql.rstrip("; \t\r\n\f")), limits)
        except (sqlite3.Error, sqlite3.Warning, UnicodeError, MemoryError) as error:
            return _failure(error, guard.refused)


def _opened(database: str, limits: Limits) -> tuple[sqlite3.Connection, Guard]:
    uri = f"{Path(database).as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=0)
    try:
        for pragma in (f"hard_heap_limit={limits.memory}", "temp_store=MEMORY", "trusted_schema=OFF", "query_only=ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        modules = frozenset(name.lower() for (name,) in connection.execute("PRAGMA module_list"))
        tables = frozenset(name.lower() for (name,) in connection.execute("SELECT name FROM sqlite_master"))
        for name in VIRTUAL:
            # Connecting one writes into the schema in memory, which the guard would refuse: it is done before.
            with suppress(sqlite3.OperationalError):
                connection.execute(f"SELECT 1 FROM {name}('[]')").fetchall()  # noqa: S608 a name of ours
        _restrict_connection(connection, limits)
    except BaseException:
        connection.close()
        raise
    guard = Guard(tables, modules)
    connection.set_authorizer(guard)
    ends = time.monotonic() + limits.seconds
    connection.set_progress_handler(lambda: int(time.monotonic() > ends), STEPS)
    return connection, guard


def _restrict_connection(connection: sqlite3.Connection, limits: Limits) -> None:
    for category, most in (
        (sqlite3.SQLITE_LIMIT_LENGTH, limits.result_bytes),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4 * limits.sql),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
        (sqlite3.SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 500),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 1000),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(category, most)
    connection.text_factory = _text


def _text(data: bytes) -> str:
    """Real databases hold text that is not UTF-8: its bytes are kept apart, so that different ones stay different."""
    return data.decode("utf-8", "surrogateescape")


def _fetched(cursor: sqlite3.Cursor, limits: Limits) -> Outcome:
    if cursor.description is None:
        return Outcome(kind=Kind.EMPTY, message="no statement")
    rows: list[Row] = []
    size = 0
    for row in cursor:
        rows.append(row)
        size += sum(max(CELL, len(value)) if isinstance(value, str | bytes) else CELL for value in row)
        if len(rows) > limits.rows:
            return Outcome(kind=Kind.TOO_LARGE, message=f"more than {limits.rows:,} rows")
        if size > limits.result_bytes:
            return Outcome(kind=Kind.TOO_LARGE, message=f"more than {limits.result_bytes:,} bytes")
    return Outcome(kind=Kind.ROWS, rows=tuple(rows))


def _failure(error: Exception, refused: str) -> Outcome:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    said = str(error)[:MESSAGE]
    if refused:
        return Outcome(kind=Kind.REFUSED, message=refused[:MESSAGE])
    if isinstance(error, MemoryError) or code == sqlite3.SQLITE_NOMEM:
        return Outcome(kind=Kind.TOO_LARGE, message="out of memory")
    if "one statement at a time" in said:
        return Outcome(kind=Kind.TWO_STATEMENTS, message="only one statement is run")
    match code:
        case sqlite3.SQLITE_INTERRUPT:
            return Outcome(kind=Kind.TIMEOUT, message="stopped")
        case sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_FULL:
            return Outcome(kind=Kind.TOO_LARGE, message=said)
        case sqlite3.SQLITE_AUTH:
            return Outcome(kind=Kind.REFUSED, message=said)
        case _ if code in _READ_FAILURES:
            return Outcome(kind=Kind.UNREADABLE, message=said)
        case _:
            return Outcome(kind=Kind.ERROR, message=said)


def encoded(outcome: Outcome) -> bytes:
    """Write an outcome as a message."""
    body = json.dumps({"kind": outcome.kind, "message": outcome.message, "rows": outcome.rows}, default=_blob).encode()
    return LENGTH.pack(len(body)) + body


def _blob(value: object) -> list[str]:
    assert isinstance(value, bytes), value
    return [base64.b64encode(value).decode()]


def decoded(body: bytes) -> Outcome:
    """Read an outcome from a message's body. Raises ValueError or KeyError for what is none."""
    read: dict[str, Any] = json.loads(body)
    rows = tuple(tuple(_value(cell) for cell in row) for row in read["rows"])
    return Outcome(kind=Kind(read["kind"]), rows=rows, message=read["message"])


def _value(cell: Any) -> Value:
    try:
        return base64.b64decode(cell[0], validate=True) if isinstance(cell, list) else cell
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def restrict(limits: Limits) -> None:
    """Give up what a query cannot need: files to write, memory without end, a core dump."""
    spare = 512 * MEGABYTE  # Python with a result, its JSON text and what SQLite's count leaves out
    for what, most in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits.memory + spare),
    ):
        with suppress(ValueError, OSError):  # macOS knows no limit of addresses
            resource.setrlimit(what, (most, most))


def _end_with(parent: int) -> None:
    """A busy worker does not see that its input ended: a thread looks five times a second whether the parent lives."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve(questions: IO[bytes], answers: IO[bytes], limits: Limits) -> None:
    """Answer queries, each a message {database, sql}, until they end; an empty message says that this can begin."""
    answers.write(LENGTH.pack(0))
    answers.flush()
    while len(head := questions.read(LENGTH.size)) == LENGTH.size:
        query: dict[str, str] = json.loads(questions.read(*LENGTH.unpack(head)))
        try:
            message = encoded(execute(query["database"], query["sql"], limits))
        except MemoryError:
            message = encoded(Outcome(kind=Kind.TOO_LARGE, message="out of memory"))
        answers.write(message)
        answers.flush()


def command(limits: Limits) -> list[str]:
    """Return the command line of a worker."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), json.dumps(asdict(limits))]


def main(arguments: Sequence[str]) -> None:
    """Work for a parent under limits."""
    parent, limits = int(arguments[0]), Limits(**json.loads(arguments[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when its user interrupts
    _end_with(parent)
    restrict(limits)
    serve(sys.stdin.buffer, sys.stdout.buffer, limits)


if __name__ == "__main__":
    main(sys.argv[1:])
