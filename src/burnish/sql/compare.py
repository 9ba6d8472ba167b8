"""When two results are the same: execution accuracy as BIRD defines it, and stricter forms of it. Pure.

BIRD compares sets of rows (`set(a) == set(b)`), so neither order nor repeats count, nor do column names. Values compare
as Python's: 1 equals 1.0, NULL equals NULL, a text never equals a number or a blob, floats have no tolerance. Rows
of different widths differ, but two results without rows are equal whatever their columns.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from burnish.sql.outcome import ResultRow, Value


class Equality(StrEnum):
    """When two results are the same: as sets of rows (BIRD), with how often each row comes, or in the same order."""

    SET = "set"
    MULTISET = "multiset"
    ORDERED = "ordered"


def equal(a: Sequence[ResultRow], b: Sequence[ResultRow], equality: Equality) -> bool:
    """Say whether two results are the same."""
    match equality:
        case Equality.SET:
            return set(a) == set(b)
        case Equality.MULTISET:
            return Counter(a) == Counter(b)
        case Equality.ORDERED:
            return list(a) == list(b)
        case _:
            assert_never(equality)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What is kept of a result: equal signatures, equal results, under each equality. 32 hex digits each."""

    rows: int
    set: str
    multiset: str
    ordered: str

    def of(self, equality: Equality) -> str:
        """Return the part that tells results apart under an equality."""
        match equality:
            case Equality.SET:
                return self.set
            case Equality.MULTISET:
                return self.multiset
            case Equality.ORDERED:
                return self.ordered
            case _:
                assert_never(equality)


def signature(rows: Sequence[ResultRow]) -> Signature:
    """Return what is kept of a result."""
    # Each row becomes a digest first. Rows themselves cannot be sorted, since Python does not order NULL, numbers and
    # texts among one another, but their digests can.
    digests = [_digest(map(_encoded, row)) for row in rows]
    return Signature(
        rows=len(rows),
        set=_digest(sorted(set(digests))).hex(),
        multiset=_digest(sorted(digests)).hex(),
        ordered=_digest(digests).hex(),
    )


def _digest(parts: Iterable[bytes]) -> bytes:
    """Hash parts with their lengths, so that no two lists of parts are one text."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(struct.pack(">Q", len(part)) + part)
    return hashed.digest()


def _encoded(value: Value) -> bytes:
    """Write a value so that Python's `==` and equality of bytes say the same."""
    match value:
        case None:
            return b"n"
        case bytes():
            return b"b" + value
        case str():
            # Text that is not UTF-8 arrives with lone surrogates in place of the wrong bytes, and a strict encoding
            # would raise.
            return b"t" + value.encode("utf-8", "surrogatepass")
        case float() if not value.is_integer():  # infinities too
            return b"f" + struct.pack(">d", value)
        case int() | float():
            # A whole float is written as an integer, since 1 equals 1.0 and 0.0 equals -0.0. NaN does not occur: SQLite
            # makes it NULL.
            return b"i%d" % int(value)
        case _:
            assert_never(value)
