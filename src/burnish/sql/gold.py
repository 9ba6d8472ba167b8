"""Results by database and query, each computed once: in memory, and those of gold queries in a folder if one is given.

What is kept is a result's signature, never its rows. A folder's entries go by the content of the database, the query,
the limits and SQLite's version; timeouts and crashes are not written, since another try may end otherwise.
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
from burnish.store.files import checksum, dump_line, row_of, write_atomic
from burnish.types import short_hash

LASTING = frozenset(Kind) - {Kind.TIMEOUT, Kind.CRASHED, Kind.UNREADABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is kept of an outcome; `signature` is None unless the query ran."""

    kind: Kind
    message: str = ""
    signature: Signature | None = None

    @property
    def why(self) -> str:
        """Say what became of the query."""
        return f"{self.kind}: {self.message}" if self.message else str(self.kind)


def same(a: Result, b: Result, equality: Equality) -> bool:
    """Say whether two queries have equal results; one that did not run agrees with nothing, itself included."""
    if a.signature is None or b.signature is None:
        return False
    return a.signature.of(equality) == b.signature.of(equality)


class QueryResults:
    """Results of queries. `fill` runs many at once, `get` one; both raise DataError for an unreadable database."""

    def __init__(self, sandbox: Sandbox, folder: Path | None = None) -> None:
        self.sandbox, self.folder = sandbox, folder
        self._known: dict[str, Result] = {}
        self._contents: dict[str, str] = {}
        self._whole: set[str] = set()

    def get(self, query: Query) -> Result:
        """Return the result of one query."""
        key = _key(query)
        if key not in self._known:
            self.fill([query])
        return self._known[key]

    def fill(self, queries: Iterable[Query]) -> None:
        """Run those that are not known yet, each once, in all workers."""
        wanted = {_key(query): query for query in queries}
        new = [(key, query) for key, query in wanted.items() if key not in self._known]
        for database in {query.database for _, query in new}:
            self._check(database)
        todo = [query for key, query in new if not self._read(key, query)]
        for query, result in zip(todo, self.sandbox.run_all(todo, self._kept), strict=True):
            self._known[_key(query)] = result

    def _check(self, database: Path) -> None:
        """Look at each file once: of a half-copied one SQLite reads the rows that are missing as NULL."""
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
        """Take a result from the folder, if it is there and whole."""
        if self.folder is None:
            return False
        place = self._place(query)
        try:
            kept = row_of(orjson.loads(place.read_bytes()), Result, str(place))
        # A damaged entry is no error: the query is run again and the entry is replaced.
        except (OSError, orjson.JSONDecodeError, DataError):
            return False
        if kept.kind is Kind.REFUSED:  # it costs nothing to ask again, and what is allowed has grown with versions
            return False
        self._known[key] = kept
        return True

    def _place(self, query: Query) -> Path:
        assert self.folder is not None, query
        limits = orjson.dumps(asdict(self.sandbox.limits)).decode()
        # Before the second version a text that grew too long was kept as a row with NULL.
        version = ["formats 2"] if mentions_formats(query.sql) else []
        # The database's content and not its path, so that a copied or moved database keeps its results.
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
    """Name a file as it is at this moment. Raises DataError where there is none."""
    try:
        state = database.stat()
    except OSError as error:
        raise DataError(f"{database}: the database cannot be read ({error.strerror}); check the path") from None
    # Size and time of the last write tell a changed file without reading it, as hashing for each query would.
    return f"{database.absolute()} {state.st_size} {state.st_mtime_ns}"
