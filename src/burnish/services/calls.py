"""The cache and the ledger of calls to a judge. Every reply is kept in one file, so that no call is paid for twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from burnish.config import Prices
from burnish.errors import ConfigError, StageError
from burnish.services.allowance import Allowance
from burnish.store.canonical import canonical
from burnish.store.files import explained_write_errors, writable
from burnish.store.stages import Alter
from burnish.types import short_hash

VERSION = 1
"""The version of the tables below."""
_WAIT = 60.0
"""Seconds to wait for another process that is writing. A write takes milliseconds."""
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, positions TEXT, prompt_tokens INTEGER, completion_tokens INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, calls INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
    unread INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cut (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_UNREAD = "ALTER TABLE runs ADD COLUMN unread INTEGER NOT NULL DEFAULT 0;"
"""Adds a column to an older file, which was made before answers that cannot be read were counted."""
# `cut` names the answers without an end. It is a table of its own, because an older burnish, which may share the file,
# could not write into `answers` with one more column.


CALLS = "calls.sqlite"
"""The file of the store that keeps every answered call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A name under which calls are counted, and the prices of the server that answers them."""

    run: str
    prices: Prices | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBudget:
    """What a run may spend in all its sessions together. None means no limit.

    `max_calls` counts answered calls. `max_cost` is money in the currency of the config's prices. `others` are more
    accounts that count against the same limits, for example that of a second server. Raises ConfigError if a limit is
    negative.
    """

    max_calls: int | None = None
    max_cost: float | None = None
    others: tuple[Account, ...] = ()

    def __post_init__(self) -> None:
        if self.max_calls is not None and self.max_calls < 0:
            raise ConfigError(f"--max-calls: {self.max_calls} found; give a number of calls, 0 or more")
        if self.max_cost is not None and not self.max_cost >= 0:
            raise ConfigError(f"--max-cost: {self.max_cost} found; give an amount of money, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run paid for in all its sessions together.

    `calls` is the number of answered calls. `unread` calls were answered, too, but their answers could not be read.
    `failed` calls were given up after their retries. `cached` is the number of answers that this process took from the
    cache. Tokens and cost are those of all answers, and `cost` is None without prices. What a server charged for an
    answer that did not arrive is unknown.
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
    """A generated token.

    `top` has the most likely tokens at its place, and the token itself, with their log-probabilities in nats.
    """

    token: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answered call.

    `positions` is None if the server gave no log-probabilities. A token count is None if the server did not report it.
    `finished` is false if the answer was cut at the limit of tokens.
    """

    text: str
    positions: tuple[Position, ...] | None
    prompt_tokens: int | None
    completion_tokens: int | None
    finished: bool = True


def request_key(base_url: str, body: Mapping[str, JsonValue], repeat: int) -> str:
    """Return the key of a request in the cache: a hash of the address, the body, and the number of the repeat.

    The headers are left out, because they hold the API key.
    """
    return hashlib.sha256(canonical({"base_url": base_url, "body": body, "repeat": repeat})).hexdigest()


def cost_of(prices: Prices, prompt_tokens: float, completion_tokens: float) -> float:
    """Return the cost of this many tokens, in the currency of `prices`."""
    return (prompt_tokens * prices.input_per_million + completion_tokens * prices.output_per_million) / 1e6


class Calls:
    """The cache and the ledger of calls, in one SQLite file. Threads and processes may share it.

    It holds replies, log-probabilities and token counts, but no prompt, no header and no API key. Whenever the process
    is killed, a call is either in both the cache and the ledger or in neither. Raises StageError if the file cannot be
    used.
    """

    def __init__(self, path: Path, tallies: Callable[[str], Alter | None] = lambda _: None) -> None:
        """`tallies` returns what changes the object in which several hosts count the calls of an account, or None if
        this file is shared by all that use the store."""
        self.path, self._tallies = path, tallies
        self._allowances: dict[str, Allowance | None] = {}
        self._lock = threading.Lock()
        with self._understood(), explained_write_errors(path):
            writable(path)  # SQLite itself would create the missing target of a link
            path.parent.mkdir(parents=True, exist_ok=True)
            # Threads share the connection under `_lock`. Without an isolation level, Python begins no transactions
            # itself.
            self._connection = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False, isolation_level=None)
            # WAL lets other processes read during a write. FULL brings each paid answer to the disk before it counts.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._create()

    def _create(self) -> None:
        # SQLite keeps this number in the header of the file. It is 0 in a new file.
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in {0, VERSION}:
            raise StageError(f"{self.path}: written by another version of burnish (tables {version}); use that one")
        # One transaction, because two processes may open a new file at the same time.
        self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        with self._transaction() as connection:  # two processes may open the same old file
            # The version stays 1: with another number, an older burnish would refuse a file that it can still read.
            columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(runs)")}
            if "unread" not in columns:
                connection.execute(_UNREAD)

    def get(self, key: str) -> Reply | None:
        """Return the reply to a request, or None if it was never answered."""
        columns = "text, positions, prompt_tokens, completion_tokens, answers.key NOT IN (SELECT key FROM cut)"
        with self._lock, self._understood():
            row = self._connection.execute(f"SELECT {columns} FROM answers WHERE key = ?", (key,)).fetchone()  # noqa: S608 fixed text
        if row is None:
            return None
        text, positions, prompt_tokens, completion_tokens, finished = row
        return Reply(
            text=text,
            positions=None if positions is None else _decoded(positions),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            finished=bool(finished),
        )

    def put(self, key: str, reply: Reply, run: str) -> None:
        """Keep a reply and charge it to a run. When this method returns, both are on the disk."""
        # One transaction, so that a kill cannot keep the reply and lose its cost.
        with self._transaction() as connection:
            _keep(connection, key, reply)
            _charge(connection, run, 1, 0, (reply.prompt_tokens or 0, reply.completion_tokens or 0))

    def put_unread(self, run: str, tokens: tuple[int, int], key: str | None) -> None:
        """Charge an answer that cannot be read to a run.

        `tokens` are the tokens read and written. If a `key` is given, the answer is also kept as an empty reply, so
        that the same request is not paid for again.
        """
        with self._transaction() as connection:
            if key is not None:
                nothing = Reply(text="", positions=(), prompt_tokens=tokens[0], completion_tokens=tokens[1])
                _keep(connection, key, nothing)
            _charge(connection, run, 0, 1, tokens)

    def give_up(self, run: str) -> None:
        """Count a call that failed after all retries. It is not kept, so that it is made again when it is needed."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO runs (run, failed) VALUES (?, 1) ON CONFLICT (run) DO UPDATE SET failed = failed + 1",
                (run,),
            )

    def spent(self, run: str, prices: Prices | None) -> Spent:
        """Return what a run paid for in all its sessions together, at these prices."""
        columns = "calls, failed, prompt_tokens, completion_tokens, unread"
        with self._lock, self._understood():
            row = self._connection.execute(f"SELECT {columns} FROM runs WHERE run = ?", (run,)).fetchone()  # noqa: S608 fixed text
        counts = cast("tuple[int, int, int, int, int]", row or (0, 0, 0, 0, 0))
        calls, failed, prompt_tokens, completion_tokens, unread = counts
        return Spent(
            calls=calls,
            # The file does not record how many replies were taken from it. The code that asks the judge counts them.
            cached=0,
            failed=failed,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=None if prices is None else cost_of(prices, prompt_tokens, completion_tokens),
            unread=unread,
        )

    def spent_by(self, accounts: Iterable[Account]) -> Spent:
        """Return what several accounts paid for together, each at its own prices. The cost is None if it is not known
        for one of them."""
        every = [self.spent(account.run, account.prices) for account in accounts]
        costs = [one.cost for one in every]
        return Spent(
            calls=sum(one.calls for one in every),
            cached=0,
            failed=sum(one.failed for one in every),
            prompt_tokens=sum(one.prompt_tokens for one in every),
            completion_tokens=sum(one.completion_tokens for one in every),
            cost=None if None in costs else sum(cost for cost in costs if cost is not None),
            unread=sum(one.unread for one in every),
        )

    def allowance(self, accounts: Iterable[str]) -> Allowance | None:
        """Return what this process may take of a budget that other hosts share, or None if none does. The calls of all
        `accounts` count together."""
        name = short_hash(*sorted(accounts))
        if name not in self._allowances:
            alter = self._tallies(name)
            self._allowances[name] = None if alter is None else Allowance(alter)
        return self._allowances[name]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection, None, None]:
        # IMMEDIATE takes the write lock at once. Taken later, SQLite can fail without waiting for another writer.
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
    """Keep a reply. If another process has kept a reply to the same request meanwhile, the first reply stays."""
    positions = None if reply.positions is None else _encoded(reply.positions)
    values = (key, reply.text, positions, reply.prompt_tokens, reply.completion_tokens)
    kept = connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)", values).rowcount
    if kept and not reply.finished:
        connection.execute("INSERT OR IGNORE INTO cut VALUES (?)", (key,))


def _charge(connection: sqlite3.Connection, run: str, calls: int, unread: int, tokens: tuple[int, int]) -> None:
    connection.execute(
        """INSERT INTO runs (run, calls, unread, prompt_tokens, completion_tokens) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (run) DO UPDATE SET calls = calls + excluded.calls, unread = unread + excluded.unread,
        prompt_tokens = prompt_tokens + excluded.prompt_tokens,
        completion_tokens = completion_tokens + excluded.completion_tokens""",
        # The sums are made by SQLite, because another process may have added to the row since it was last read.
        (run, calls, unread, *tokens),
    )


def _encoded(positions: tuple[Position, ...]) -> str:
    return json.dumps([[position.token, position.top] for position in positions], separators=(",", ":"))


def _decoded(text: str) -> tuple[Position, ...]:
    stored: list[tuple[str, list[tuple[str, float]]]] = json.loads(text)
    return tuple(Position(token=token, top=tuple((other, logprob) for other, logprob in top)) for token, top in stored)
