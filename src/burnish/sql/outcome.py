"""What a query may cost, what became of it, and how a worker tells that to its parent: the standard library alone.

A message is its length in eight bytes and then JSON; in rows, a blob is a list of one base64 text.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Value: TypeAlias = int | float | str | bytes | None
ResultRow: TypeAlias = tuple[Value, ...]

MEGABYTE = 1 << 20
LENGTH = struct.Struct(">Q")


class Kind(StrEnum):
    """What became of a query. `unreadable` is the database's fault, all others but `rows` are the query's."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a query may cost. One that needs more gets an outcome that says so, never a part of its rows."""

    seconds: float = 30.0
    """BIRD's evaluation allows as many."""
    rows: int = 100_000
    """Of the result."""
    result_bytes: int = 16 * MEGABYTE
    """Of the result, a value counting at least 8; also of any single value that comes up on the way to it."""
    sql: int = 100_000
    """Characters of the query."""
    memory: int = 512 * MEGABYTE
    """Bytes that SQLite may hold; it sorts and joins in memory, never on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOutcome:
    """What became of a query: its rows, or why there are none."""

    kind: Kind
    rows: tuple[ResultRow, ...] = ()
    message: str = ""


def encoded(outcome: QueryOutcome) -> bytes:
    """Write an outcome as a message."""
    # JSON and not pickle: a worker that hostile SQL took over could make its parent run code through a pickle. Python's
    # json keeps infinity, and by default it escapes lone surrogates, which have no UTF-8.
    values = {"kind": outcome.kind, "message": outcome.message, "rows": outcome.rows}
    body = json.dumps(values, default=_blob).encode()
    return LENGTH.pack(len(body)) + body


def _blob(value: object) -> list[str]:
    assert isinstance(value, bytes), value
    # A list, because no other value in a row is one: so a blob is told from a text.
    return [base64.b64encode(value).decode()]


def decoded(body: bytes) -> QueryOutcome:
    """Read an outcome from a message's body. Raises ValueError for what is none."""
    read: dict[str, Any] = json.loads(body)
    try:
        rows = tuple(tuple(map(_value, row)) for row in read["rows"])
        return QueryOutcome(kind=Kind(read["kind"]), rows=rows, message=read["message"])
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"no outcome: {error}") from error


def _value(cell: Any) -> Value:
    return base64.b64decode(cell[0], validate=True) if isinstance(cell, list) else cell  # pyright: ignore[reportUnknownArgumentType]
