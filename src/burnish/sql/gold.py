"""Keeps the results of queries, so that each query runs once on its database. They are kept in memory or in a folder.

Only the signature of a result is kept, never its rows. The name of an entry in the folder depends on the content of the
database, the query, the limits and SQLite's version. Timeouts and crashes are not written, because another try may
succeed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from burnish.errors import DataError
from burnish.sql.compare import Equality, Signature, signature
from burnish.sql.databases import what_is_missing
from burnish.sql.formats import mentions_formats
from burnish.sql.outcome import Kind, QueryOutcome
from burnish.sql.sandbox import Query, Sandbox
from burnish.store.files import checksum, row_of, write_atomic
from burnish.store.json_rows import dump_line
from burnish.types import short_hash

LASTING = frozenset(Kind) - {Kind.TIMEOUT, Kind.CRASHED, Kind.UNREADABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is kept of an outcome. `signature` is None if the query did not run."""

    kind: Kind
    message: str = ""
    signature: Signature | None = None

    @property
    def why(self) -> str:
        """How the query ended: the kind of its outcome, with the message if there is one."""
        return f"{self.kind}: {self.message}" if self.message else str(self.kind)


def same(a: Result, b: Result, equality: Equality) -> bool:
    """Say whether two results are the same. The result of a query that did not run equals no result, not even
    itself."""
    if a.signature is None or b.signature is None:
        return False
    return a.signature.of(equality) == b.signature.of(equality)


class QueryResults:
    """Runs queries and keeps their results, in memory and, if `folder` is given, in that folder."""

    def __init__(self, sandbox: Sandbox, folder: Path | None = None) -> None:
        self.sandbox, self.folder = sandbox, folder
        self._known: dict[str, Result] = {}
        self._contents: dict[str, str] = {}
        self._whole: set[str] = set()

    def get(self, query: Query) -> Result:
        """Return the result of one query. Raises DataError if its database cannot be read."""
        key = _key(query)
        if key not in self._known:
            self.fill([query])
        return self._known[key]

    def fill(self, queries: Iterable[Query]) -> None:
        """Run the queries whose results are not known yet, each once, in all workers.

        Raises DataError if a database cannot be read.
        """
        wanted = {_key(query): query for query in queries}
        new = [(key, query) for key, query in wanted.items() if key not in self._known]
        for database in {query.database for _, query in new}:
            self._check(database)
        todo = [query for key, query in new if not self._read(key, query)]
        for query, result in zip(todo, self.sandbox.run_all(todo, self._kept), strict=True):
            self._known[_key(query)] = result

    def _check(self, database: Path) -> None:
        """Check each database once. In a half-copied file, SQLite would read the missing rows as NULL."""
        if (version := _version(database)) not in self._whole:
            missing = what_is_missing(database)
            if missing is not None:
                raise DataError(f"{database}: the database cannot be read (it {missing}); fetch or copy it again")
            self._whole.add(version)

    def _kept(self, query: Query, outcome: QueryOutcome) -> Result:
        if outcome.kind is Kind.UNREADABLE:
            raise DataError(
                f"{query.database}: the database cannot be read ({outcome.message}); fetch or copy it again"
            )
        found = signature(outcome.rows) if outcome.kind is Kind.ROWS else None
        result = Result(kind=outcome.kind, message=outcome.message, signature=found)
        if self.folder is not None and result.kind in LASTING:
            write_atomic(self._place(query), dump_line(result))
        return result

    def _read(self, key: str, query: Query) -> bool:
        """Take a result from the folder, and say whether it was there and whole."""
        if self.folder is None:
            return False
        place = self._place(query)
        try:
            kept = row_of(orjson.loads(place.read_bytes()), Result, str(place))
        # A damaged entry is not an error. The query runs again, and the entry is replaced.
        except (OSError, orjson.JSONDecodeError, DataError):
            return False
        if kept.kind is Kind.REFUSED:  # to run it again costs nothing, and newer versions allow more
            return False
        self._known[key] = kept
        return True

    def _place(self, query: Query) -> Path:
        assert self.folder is not None, query
        limits = orjson.dumps(asdict(self.sandbox.limits)).decode()
        # The first version kept a text that was too long as a row with NULL.
        version = ["formats 2"] if mentions_formats(query.sql) else []
        # The name uses the database's content and not its path, so that a copied or moved database keeps its results.
        name = short_hash(self._content(query.database), query.sql, limits, sqlite3.sqlite_version, *version)
        return self.folder / name[:2] / f"{name}.json"

    def _content(self, database: Path) -> str:
        version = _version(database)
        if version not in self._contents:
            self._contents[version] = checksum(database)
        return self._contents[version]


def _key(query: Query) -> str:
    return short_hash(_version(query.database), query.sql)


def _version(database: Path) -> str:
    """Return a name for a file in its present state. Raises DataError if it cannot be found."""
    try:
        state = database.stat()
    except OSError as error:
        raise DataError(f"{database}: the database cannot be read ({error.strerror}); check the path") from None
    # Size and time of the last write show a change without reading the file. A hash would read it for each query.
    return f"{database.absolute()} {state.st_size} {state.st_mtime_ns}"
