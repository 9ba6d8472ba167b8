"""The limits of a query, its outcome, and the messages with which a worker sends outcomes to its parent process.

A message is its length in eight bytes, and then JSON. In rows, a blob is a list with one base64 text. This module uses
only the standard library.
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
    """How a query ended. `rows` is a success. `unreadable` is the database's fault, all others are the query's
    fault."""

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
    """The limits of a query. A query that needs more gets an outcome that says so, and never a part of its rows."""

    seconds: float = 30.0
    """The longest time. It is the same as in BIRD's evaluation."""
    rows: int = 100_000
    """The most rows of the result."""
    result_bytes: int = 16 * MEGABYTE
    """The most bytes of the result, where each value counts at least 8. Also the most bytes of any single value."""
    sql: int = 100_000
    """The most characters of the query."""
    memory: int = 512 * MEGABYTE
    """The most bytes of memory that SQLite may use. It sorts and joins in memory, never on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOutcome:
    """How a query ended: its rows, or the reason why there are none."""

    kind: Kind
    rows: tuple[ResultRow, ...] = ()
    message: str = ""


def encoded(outcome: QueryOutcome) -> bytes:
    """Write an outcome as a message."""
    # It is JSON and not a pickle. If hostile SQL took over a worker, it could make the parent run code with a pickle.
    # Python's json keeps infinity, and it escapes lone surrogates, which cannot be written as UTF-8.
    values = {"kind": outcome.kind, "message": outcome.message, "rows": outcome.rows}
    body = json.dumps(values, default=_blob).encode()
    return LENGTH.pack(len(body)) + body


def _blob(value: object) -> list[str]:
    assert isinstance(value, bytes), value
    # No other value in a row is a list, so the list shows that it is a blob and not a text.
    return [base64.b64encode(value).decode()]


def decoded(body: bytes) -> QueryOutcome:
    """Read an outcome from a message's body. Raises ValueError if the body is not an outcome."""
    read: dict[str, Any] = json.loads(body)
    try:
        rows = tuple(tuple(map(_value, row)) for row in read["rows"])
        return QueryOutcome(kind=Kind(read["kind"]), rows=rows, message=read["message"])
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"no outcome: {error}") from error


def _value(cell: Any) -> Value:
    return base64.b64decode(cell[0], validate=True) if isinstance(cell, list) else cell  # pyright: ignore[reportUnknownArgumentType]
