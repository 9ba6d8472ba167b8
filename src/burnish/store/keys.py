"""Many texts in little memory: the ids of a million rows take 16 MB here, and 100 MB as a set of Python's texts.

N counts the keys. An array of keys holds their UTF-8 bytes, whose order is also the order of the texts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

Keys: TypeAlias = NDArray[Any]
"""Keys as bytes: of a fixed width if all of them are short, else as objects."""
LONGEST = 64
"""The most bytes of a key in an array of fixed width. There, each key takes as much memory as the longest one."""
_PIECE = 65_536
"""How many keys are Python objects at a time."""


def packed(keys: Iterable[bytes]) -> Keys:
    """Return keys as an array, in their order."""
    waiting, pieces = iter(keys), list[Keys]()
    while piece := list(islice(waiting, _PIECE)):
        # numpy cuts zero bytes off the end of a text of fixed width.
        fits = len(max(piece, key=len)) <= LONGEST and not any(key.endswith(b"\0") for key in piece)
        pieces.append(np.array(piece, dtype=np.bytes_ if fits else np.object_))
    return joined(pieces)


def joined(pieces: list[Keys]) -> Keys:
    """Return the pieces of an array as one array, and empty the list: the pieces go while the array is filled."""
    # With one piece of objects among them, all keys become objects.
    kind = np.result_type(*pieces) if pieces else np.dtype("S1")
    whole_N, at = np.empty(sum(map(len, pieces)), dtype=kind), 0
    pieces.reverse()
    while pieces:
        piece = pieces.pop()
        whole_N[at : at + len(piece)] = piece
        at += len(piece)
    return whole_N


def packed_columns(rows: Iterable[Sequence[str]], columns: int) -> tuple[Keys, ...]:
    """Return each column of rows of texts as an array."""
    waiting, pieces = iter(rows), [list[Keys]() for _ in range(columns)]
    while some := list(islice(waiting, _PIECE)):
        for column, texts in zip(pieces, zip(*some, strict=True), strict=True):
            column.append(packed(text.encode() for text in texts))
    return tuple(map(joined, pieces))


def texts_of(keys: Keys) -> Iterator[str]:
    """Yield keys as texts."""
    for start in range(0, len(keys), _PIECE):
        for key in keys[start : start + _PIECE].tolist():
            yield key.decode()


def distinct(keys: Keys) -> Keys:
    """Return the keys sorted, each of them once."""
    # Most lists of ids are sorted already, and `np.unique` takes five times as long for texts as sorting does.
    if len(keys) > 1 and not bool((keys[:-1] < keys[1:]).all()):
        keys = np.sort(keys, kind="stable")
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
    return keys


def positions(keys_N: Keys, wanted_M: Keys) -> NDArray[np.int64]:
    """Return the position of each wanted key in the sorted keys, or -1 where it is not there."""
    if not len(keys_N):
        return np.full(len(wanted_M), -1, dtype=np.int64)
    if len(keys_N) == len(wanted_M) and bool((keys_N == wanted_M).all()):  # the usual case for files of the same rows
        return np.arange(len(keys_N))
    place_M = np.searchsorted(keys_N, wanted_M)
    place_M[place_M == len(keys_N)] = 0
    place_M[keys_N[place_M] != wanted_M] = -1
    return place_M


def position(keys_N: Keys, key: str) -> int:
    """Return the position of a key in the sorted keys, or -1 if it is not there."""
    wanted = key.encode(errors="surrogatepass")
    # numpy would copy all keys to the width of a longer one.
    if not len(keys_N) or (keys_N.dtype.kind == "S" and len(wanted) > keys_N.dtype.itemsize):
        return -1
    place = int(keys_N.searchsorted(wanted))  # pyright: ignore[reportUnknownMemberType]
    # Compared with `wanted` itself: an array of fixed width does not tell `a` from `a` with a zero byte.
    return place if place < len(keys_N) and keys_N[place] == wanted else -1


class KeySet(AbstractSet[str]):
    """A set of texts that does not change. Asking it takes about 2 microseconds, ten times as long as a Python set."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self.keys_N = distinct(packed(key.encode(errors="surrogatepass") for key in keys))

    def __contains__(self, key: object) -> bool:
        return bool(len(self.keys_N)) and isinstance(key, str) and position(self.keys_N, key) >= 0

    def positions(self, keys: Sequence[str]) -> list[int]:
        """Return the position of each key in the order of the keys, or -1 where it is not in the set."""
        return positions(self.keys_N, packed(key.encode(errors="surrogatepass") for key in keys)).tolist()

    def chosen(self, mask_N: NDArray[np.bool_]) -> Iterator[str]:
        """Yield the keys that a mask over the sorted keys chooses."""
        return texts_of(self.keys_N[mask_N])

    def __iter__(self) -> Iterator[str]:
        return texts_of(self.keys_N)

    def __len__(self) -> int:
        return len(self.keys_N)


def contained(texts: Sequence[str], keys: AbstractSet[str]) -> list[bool]:
    """Say for each text whether it is among the keys."""
    if isinstance(keys, KeySet):
        return [place >= 0 for place in keys.positions(texts)]
    return [text in keys for text in texts]


class SeenNumbers:
    """Remembers numbers of 64 bits, such as hashes. Each takes about 10 bytes, where a Python set needs 60."""

    def __init__(self) -> None:
        # A bit for the lowest bits of a number says that it may be known. Most new numbers need no other look.
        self._bits = bytearray(1 << 22)
        self._known_N = array("Q")
        self._fresh: set[int] = set()

    def add(self, number: int) -> bool:
        """Remember a number, and say whether it is new."""
        place = number & (len(self._bits) * 8 - 1)
        bit = 1 << (place & 7)
        if self._bits[place >> 3] & bit and self._knows(number):
            return False
        self._bits[place >> 3] |= bit
        self._fresh.add(number)
        if len(self._fresh) >= max(_PIECE, len(self._known_N) // 8):
            self._settle()
        return True

    def _knows(self, number: int) -> bool:
        place = bisect_left(self._known_N, number)
        return number in self._fresh or (place < len(self._known_N) and self._known_N[place] == number)

    def _settle(self) -> None:
        """Move the fresh numbers into the sorted array. The bits grow with the numbers."""
        fresh_F = np.fromiter(self._fresh, dtype=np.uint64, count=len(self._fresh))
        number_N = np.sort(np.concatenate([np.array(self._known_N, dtype=np.uint64), fresh_F]))
        self._known_N, self._fresh = array("Q", number_N.tobytes()), set()
        if len(number_N) * 16 > len(self._bits) * 8:
            byte_B = np.zeros(len(self._bits) * 4, dtype=np.uint8)
            place_N = number_N & np.uint64(len(byte_B) * 8 - 1)
            bit_N = np.left_shift(np.uint64(1), place_N & np.uint64(7)).astype(np.uint8)
            np.bitwise_or.at(byte_B, (place_N >> np.uint64(3)).astype(np.int64), bit_N)
            self._bits = bytearray(byte_B.tobytes())


class KeyReader:
    """Reads the key of a line: the text in one of its fields. Lines that burnish wrote have it in front."""

    def __init__(self, field: str) -> None:
        self.field = field
        self.front = b'{"' + field.encode() + b'":"'

    def __call__(self, line: bytes) -> bytes:
        """Return the key as UTF-8. Raises orjson.JSONDecodeError, KeyError or TypeError if there is none."""
        start = len(self.front)
        if line.startswith(self.front) and (end := line.find(b'"', start)) >= 0:
            key = line[start:end]
            # With an escape, the text is another one, and the quote that was found may be part of it.
            if b"\\" not in key:
                return key
        value = orjson.loads(line)[self.field]
        if not isinstance(value, str):
            raise TypeError(value)
        return value.encode()
