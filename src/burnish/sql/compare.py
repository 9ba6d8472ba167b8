"""Says when two results are the same: execution accuracy as BIRD defines it, and two stricter rules.

BIRD compares sets of rows (`set(a) == set(b)`). So the order of rows, repeated rows and the names of columns do not
matter. Values are compared as in Python: 1 equals 1.0, NULL equals NULL, a text never equals a number or a blob, and
floats have no tolerance. Rows with different numbers of columns differ. Two results without rows are always equal.
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
    """The rules for when two results are the same.

    `set` (as in BIRD) compares only which rows there are. `multiset` also compares how often each row occurs. `ordered`
    also compares the order of the rows.
    """

    SET = "set"
    MULTISET = "multiset"
    ORDERED = "ordered"


def equal(a: Sequence[ResultRow], b: Sequence[ResultRow], equality: Equality) -> bool:
    """Say whether two results are the same under a rule."""
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
    """What is kept of a result: its number of rows, and one hash of 32 hex digits for each equality.

    Two results are the same under an equality if their hashes for it are equal.
    """

    rows: int
    set: str
    multiset: str
    ordered: str

    def of(self, equality: Equality) -> str:
        """Return the hash for an equality."""
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
    """Return the signature of a result."""
    # Each row is hashed first. The rows themselves cannot be sorted, because Python cannot compare NULL, numbers and
    # texts with one another. Their hashes can.
    digests = [_digest(map(_encoded, row)) for row in rows]
    return Signature(
        rows=len(rows),
        set=_digest(sorted(set(digests))).hex(),
        multiset=_digest(sorted(digests)).hex(),
        ordered=_digest(digests).hex(),
    )


def _digest(parts: Iterable[bytes]) -> bytes:
    """Hash parts together with their lengths, so that different lists of parts never give the same bytes to hash."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(struct.pack(">Q", len(part)) + part)
    return hashed.digest()


def _encoded(value: Value) -> bytes:
    """Write a value as bytes. Two values give equal bytes exactly if Python's `==` says that they are equal."""
    match value:
        case None:
            return b"n"
        case bytes():
            return b"b" + value
        case str():
            # Text that is not UTF-8 has lone surrogates in place of the wrong bytes. A strict encoding would raise an
            # error for them.
            return b"t" + value.encode("utf-8", "surrogatepass")
        case float() if not value.is_integer():  # infinities too
            return b"f" + struct.pack(">d", value)
        case int() | float():
            # A whole float is written as an integer, because 1 equals 1.0 and 0.0 equals -0.0. NaN does not occur,
            # because SQLite turns it into NULL.
            return b"i%d" % int(value)
        case _:
            assert_never(value)
