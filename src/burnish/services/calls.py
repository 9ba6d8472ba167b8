"""Calls to a judge: what came back, kept in one file so that no call is paid twice, and what they cost."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from burnish.config import Prices
from burnish.errors import ConfigError, StageError
from burnish.store.canonical import canonical
from burnish.store.files import explained_write_errors, writable

VERSION = 1
"""Of the tables below."""
_WAIT = 60.0
"""Seconds to wait for another process that writes; a write takes milliseconds."""
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, positions TEXT, prompt_tokens INTEGER, completion_tokens INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, calls INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
    unread INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_UNREAD = "ALTER TABLE runs ADD COLUMN unread INTEGER NOT NULL DEFAULT 0;"
"""For a file that was made before answers were counted that cannot be read."""


CALLS = "calls.sqlite"
"""The file of a store in which every answered call is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may spend over all its sittings: answered calls, and money in the currency of the config's prices."""

    max_calls: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        if self.max_calls is not None and self.max_calls < 0:
            raise ConfigError(f"--max-calls: {self.max_calls} found; give a number of calls, 0 or more")
        if self.max_cost is not None and not self.max_cost >= 0:
            raise ConfigError(f"--max-cost: {self.max_cost} found; give an amount of money, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run paid for over all its sittings.

    `calls` were answered; `unread` were answered as well, but nothing could be read from what came; `failed` were given
    up after their retries; `cached` is how many answers this process took from the cache. Tokens and cost are those of
    all answers. `cost` is None without prices. What a server charged for an answer that did not arrive is unknown.
    """

    calls: int
    cached: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    unread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A generated token and log-probabilities, in nats, of the likeliest tokens in its place, itself among them."""

    token: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answered call. `positions` is None where the server gave no log-probabilities, a token count where it gave
    no usage."""

    text: str
    positions: tuple[Position, ...] | None
    prompt_tokens: int | None
    completion_tokens: int | None


def request_key(base_url: str, body: Mapping[str, JsonValue], repeat: int) -> str:
    """Return what a request is known by: a hash of all that is sent but the headers, and which repeat it is."""
    return hashlib.sha256(canonical({"base_url": base_url, "body": body, "repeat": repeat})).hexdigest()


def cost_of(prices: Prices, prompt_tokens: float, completion_tokens: float) -> float:
    """Return what so many tokens cost, in the currency of `prices`."""
    return (prompt_tokens * prices.input_per_million + completion_tokens * prices.output_per_million) / 1e6


class Calls:
    """Cache and ledger of calls in one SQLite file, which threads and processes may share.

    It holds replies, log-probabilities and token counts; no prompt, no header, no key. A call is in the cache and in
    the ledger, or in neither, whenever the process is killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._understood(), explained_write_errors(path):
            writable(path)  # SQLite would make what a link leads to
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._create()

    def _create(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in {0, VERSION}:
            raise StageError(f"{self.path}: written by another version of burnish (tables {version}); use that one")
        self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        with self._transaction() as connection:  # two processes may open the same old file
            columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(runs)")}
            if "unread" not in columns:
                connection.execute(_UNREAD)

    def get(self, key: str) -> Reply | None:
        """Return the reply to a request, None where it was never answered."""
        columns = "text, positions, prompt_tokens, completion_tokens"
        with self._lock, self._understood():
            row = self._connection.execute(f"SELECT {columns} FROM answers WHERE key = ?", (key,)).fetchone()  # noqa: S608 fixed text
        if row is None:
            return None
        text, positions, prompt_tokens, completion_tokens = row
        return Reply(
            text=text,
            positions=None if positions is None else _decoded(positions),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
        )

    def put(self, key: str, reply: Reply, run: str) -> None:
        """Keep a reply and charge it to a run; on return it is on disk."""
        with self._transaction() as connection:
            _keep(connection, key, reply)
            _charge(connection, run, 1, 0, (reply.prompt_tokens or 0, reply.completion_tokens or 0))

    def put_unread(self, run: str, tokens: tuple[int, int], key: str | None) -> None:
        """Charge an answer that cannot be read to a run. With a `key` it is kept as a reply that says nothing, so that
        nobody pays for the same again."""
        with self._transaction() as connection:
            if key is not None:
                nothing = Reply(text="", positions=(), prompt_tokens=tokens[0], completion_tokens=tokens[1])
                _keep(connection, key, nothing)
            _charge(connection, run, 0, 1, tokens)

    def give_up(self, run: str) -> None:
        """Count a call that failed for good; it is no answer and is asked again when it is needed again."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO runs (run, failed) VALUES (?, 1) ON CONFLICT (run) DO UPDATE SET failed = failed + 1",
                (run,),
            )

    def spent(self, run: str, prices: Prices | None) -> Spent:
        """Return what was paid for a run over all its sittings, at these prices."""
        columns = "calls, failed, prompt_tokens, completion_tokens, unread"
        with self._lock, self._understood():
            row = self._connection.execute(f"SELECT {columns} FROM runs WHERE run = ?", (run,)).fetchone()  # noqa: S608 fixed text
        counts = cast("tuple[int, int, int, int, int]", row or (0, 0, 0, 0, 0))
        calls, failed, prompt_tokens, completion_tokens, unread = counts
        return Spent(
            calls=calls,
            cached=0,
            failed=failed,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=None if prices is None else cost_of(prices, prompt_tokens, completion_tokens),
            unread=unread,
        )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection, None, None]:
        with self._lock, self._understood():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _understood(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StageError(
                f"{self.path}: the cache of calls cannot be used ({error}); free space, check permissions, or move the "
                "file away (then calls are paid again)"
            ) from error


def _keep(connection: sqlite3.Connection, key: str, reply: Reply) -> None:
    """Keep a reply. Another process may have paid for the same answer meanwhile: the first one stands."""
    positions = None if reply.positions is None else _encoded(reply.positions)
    values = (key, reply.text, positions, reply.prompt_tokens, reply.completion_tokens)
    connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)", values)


def _charge(connection: sqlite3.Connection, run: str, calls: int, unread: int, tokens: tuple[int, int]) -> None:
    connection.execute(
        """INSERT INTO runs (run, calls, unread, prompt_tokens, completion_tokens) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (run) DO UPDATE SET calls = calls + excluded.calls, unread = unread + excluded.unread,
        prompt_tokens = prompt_tokens + excluded.prompt_tokens,
        completion_tokens = completion_tokens + excluded.completion_tokens""",
        (run, calls, unread, *tokens),
    )


def _encoded(positions: tuple[Position, ...]) -> str:
    return json.dumps([[position.token, position.top] for position in positions], separators=(",", ":"))


def _decoded(text: str) -> tuple[Position, ...]:
    stored: list[tuple[str, list[tuple[str, float]]]] = json.loads(text)
    return tuple(Position(token=token, top=tuple((other, logprob) for other, logprob in top)) for token, top in stored)
