"""Opens a connection that can only read.

The file is opened as immutable, an authorizer has a list of what is allowed, a clock stops long queries, and SQLite's
own limits are set. This module uses only the standard library, because a worker imports nothing else.
"""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from burnish.sql.outcome import Limits

STEPS = 10_000
"""Number of instructions of SQLite's virtual machine between two checks of the clock, about 0.3 ms."""
_LISTED = """
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce concat concat_ws cos cosh count
    cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format
    glob group_concat hex if ifnull iif instr json json_array json_array_length json_error_position json_extract
    json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote json_remove
    json_replace json_set json_type json_valid julianday lag last_value lead length like likelihood likely ln log log10
    log2 lower ltrim max median min mod nth_value ntile nullif octet_length percent_rank percentile percentile_cont
    percentile_disc pi pow power printf quote radians rank replace round row_number rtrim sign sin sinh soundex sqrt
    strftime string_agg substr substring sum tan tanh time timediff total trim trunc typeof unhex unicode unistr
    unixepoch unlikely upper zeroblob
"""
FUNCTIONS = frozenset(_LISTED.split())
"""The functions that a query may call. They are built in, have no side effects, and always give the same result (except
for the time 'now')."""
VIRTUAL = ("json_each", "json_tree")
CATALOGUE = frozenset({"sqlite_master", "sqlite_schema", *VIRTUAL})
"""The tables that a query may read besides the database's own tables."""
OWN_MODULES = frozenset({"fts3", "fts4", "fts5", "rtree", "rtree_i32"})
"""The modules whose virtual tables a query may read if the database has some: full-text search and R-trees."""
OWN_FUNCTIONS = frozenset({"match", "bm25", "highlight", "snippet", "offsets", "matchinfo"})
"""The functions that a query may also call if the database has such tables. `optimize` is left out, as it writes."""
OWN_PRAGMAS = frozenset({"data_version", "page_size"})
"""The pragmas that these modules themselves use while they read."""
_MODULE = re.compile(r"""CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+["'`\[]?(\w+)""", re.IGNORECASE | re.DOTALL)
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


class Guard:
    """An authorizer for SQLite. It lets a query read tables and call harmless functions.

    `tables` are all names in the database's schema, and `modules` those of all modules of SQLite. `virtual`
    says whether the database has virtual tables of an allowed module. `refused` is the first thing that it refused.
    """

    def __init__(self, tables: frozenset[str], modules: frozenset[str], virtual: bool) -> None:
        self.tables, self.modules, self.virtual = tables, modules, virtual
        self.refused = ""

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """Return whether a query may do an action, as one of SQLite's codes."""
        if self._allows(action, (first or "").lower(), (second or "").lower()):
            return sqlite3.SQLITE_OK
        words = [_NAMES.get(action, f"action {action}"), first, second]
        if (action, first) == (sqlite3.SQLITE_UPDATE, "sqlite_master"):  # connecting a virtual table looks the same
            words = ["a virtual table, or a write to the schema"]
        self.refused = self.refused or " ".join(word for word in words if word)
        return sqlite3.SQLITE_DENY

    def _allows(self, action: int, first: str, second: str) -> bool:
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                return True
            case sqlite3.SQLITE_FUNCTION:
                return second in FUNCTIONS or (self.virtual and second in OWN_FUNCTIONS)
            case sqlite3.SQLITE_PRAGMA:
                return self.virtual and first in OWN_PRAGMAS and not second
            case sqlite3.SQLITE_READ:
                # Without the name of a column, it may be a subquery whose rows are counted. `first` is then its alias.
                alias = not second and first not in self.modules and not first.startswith(("pragma_", "sqlite_"))
                return alias or first in self.tables or first in CATALOGUE
            case _:
                return False


def opened(database: str, limits: Limits, seconds: float | None = None) -> tuple[sqlite3.Connection, Guard]:
    """Open a database for one query. The query's time starts now.

    The query has `seconds`, or the limits' time if that is None. Raises sqlite3.Error if the database cannot be read,
    or any other error of the preparation, and then closes the connection.
    """
    uri = f"{Path(database).as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=0)
    try:
        guard = _prepared(connection, limits)
    except BaseException:
        connection.close()
        raise
    connection.text_factory = _text
    connection.set_authorizer(guard)
    ends = time.monotonic() + (limits.seconds if seconds is None else seconds)
    # A result other than 0 makes SQLite end the query with the error "interrupted".
    connection.set_progress_handler(lambda: int(time.monotonic() > ends), STEPS)
    return connection, guard


def _prepared(connection: sqlite3.Connection, limits: Limits) -> Guard:
    """Do the preparations that the guard would refuse, and return the guard."""
    for pragma in (f"hard_heap_limit={limits.memory}", "temp_store=MEMORY", "trusted_schema=OFF", "query_only=ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    modules = frozenset(name.lower() for (name,) in connection.execute("PRAGMA module_list"))
    made = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
    own = [name for name, sql in made if (found := _MODULE.match(sql or "")) and found[1].lower() in OWN_MODULES]
    # Connecting a virtual table writes into the schema in memory, so it must happen before the guard forbids writing.
    for name in (*(f"{name}('[]')" for name in VIRTUAL), *(_quoted(name) for name in own)):
        with suppress(sqlite3.OperationalError):
            connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchall()  # noqa: S608 ours, or quoted
    _limit(connection, limits)
    return Guard(frozenset(name.lower() for name, _ in made), modules, bool(own))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _limit(connection: sqlite3.Connection, limits: Limits) -> None:
    for category, most in (
        (sqlite3.SQLITE_LIMIT_LENGTH, limits.result_bytes),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4 * limits.sql),  # in bytes
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),  # the time of LIKE grows with a power of this length
        (sqlite3.SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 500),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 1000),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(category, most)


def _text(data: bytes) -> str:
    """Decode a text. Real databases have text that is not UTF-8, and different wrong bytes must stay different."""
    return data.decode("utf-8", "surrogateescape")
