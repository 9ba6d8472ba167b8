"""Mappings from keys to the rows of JSONL files. A row is read from the disk when it is asked for.

The index needs about 30 bytes of memory for each row with short keys. The row itself would need about a kilobyte.
N counts the rows of an index.
"""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from array import array
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from burnish.errors import DataError
from burnish.store.files import row_maker, row_of
from burnish.store.keys import Keys, packed, position, positions, texts_of
from burnish.store.line_index import line_index

T = TypeVar("T")
V = TypeVar("V")


class StreamedMapping(Mapping[str, T], Generic[T]):
    """A mapping whose keys are sorted. Its rows can be read one after the other, and by their place in this order."""

    @property
    @abstractmethod
    def sorted_keys(self) -> Keys:
        """The sorted keys."""

    @abstractmethod
    def rows_at(self, places: NDArray[np.int64] | None = None) -> Iterator[T]:
        """Yield the rows at these places, or all rows in the order of their keys.

        Places in ascending order are read the fastest.
        """

    @abstractmethod
    def at(self, place: int) -> T:
        """Return the row at a place in the order of the keys."""

    def __len__(self) -> int:
        return len(self.sorted_keys)

    def __iter__(self) -> Iterator[str]:
        return texts_of(self.sorted_keys)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and position(self.sorted_keys, key) >= 0

    def __getitem__(self, key: str) -> T:
        place = position(self.sorted_keys, key)
        if place < 0:
            raise KeyError(key)
        return self.at(place)

    def along(self, keys_M: Keys) -> Iterator[T]:
        """Yield the rows of these keys, in the order of the argument. Raises KeyError if a key is missing."""
        return self.rows_at(self.places(keys_M))

    def places(self, keys_M: Keys) -> NDArray[np.int64]:
        """Return the place of each of these keys in the order of the keys. Raises KeyError if a key is missing."""
        place_M = positions(self.sorted_keys, keys_M)
        if (missing := np.flatnonzero(place_M < 0)).size:
            raise KeyError(next(texts_of(keys_M[missing[:1]])))
        return place_M

    def items(self) -> ItemsView[str, T]:
        """Return a view of (key, row) in the order of the keys."""
        return _Items(self)

    def values(self) -> ValuesView[T]:
        """Return a view of the rows in the order of their keys."""
        return _Values(self)


class KeyedRows(StreamedMapping[T]):
    """The rows of one or more files. The key of a row is the text in one of its fields, and the keys are sorted.

    If several rows have the same key, the last one counts. The files must not change while this object is used. Raises
    DataError if a file is damaged. Reading a row raises DataError as `read_rows` does.
    """

    def __init__(
        self,
        path: Path | Sequence[Path],
        row_type: type[T],
        field: str,
        wanted: Keys | None = None,
        decode: Callable[[bytes], T] | None = None,
    ) -> None:
        """Read the keys of the files. If `wanted` (sorted keys) is given, rows with other keys are left out.

        `decode` makes a row from a line. Without it, each line is checked against the row type. It is for rows that
        were checked before, and for rows of which only a part is needed.
        """
        self.row_type = row_type
        self._decode = decode or _checked(row_type)
        self.paths = (path,) if isinstance(path, Path) else tuple(path)
        key_N, start_N, size_N, file_N = line_index(self.paths, field, wanted)
        # Most files are in the order of their keys already.
        if not bool((key_N[:-1] < key_N[1:]).all()):
            order_N = np.argsort(key_N, kind="stable")  # stable: the last of equal keys comes last
            key_N = key_N[order_N]
            last_N = np.append(key_N[:-1] != key_N[1:], True)
            if not last_N.all():
                key_N, order_N = key_N[last_N], order_N[last_N]
            start_N, size_N, file_N = start_N[order_N], size_N[order_N], file_N[order_N]
        self._key_N, self._start_N, self._size_N, self._file_N = key_N, start_N, size_N, file_N
        self._files = [one.open("rb") for one in self.paths]

    def __del__(self) -> None:
        for file in getattr(self, "_files", ()):
            file.close()

    def made_by(self, decode: Callable[[bytes], T]) -> KeyedRows[T]:
        """Return the same rows, made by another function."""
        other = copy.copy(self)
        other._decode = decode
        other._files = [path.open("rb") for path in self.paths]
        return other

    def only(self, mask_N: NDArray[np.bool_]) -> KeyedRows[T]:
        """Return the rows that a mask over the sorted keys chooses."""
        other = self.made_by(self._decode)
        other._key_N, other._start_N = self._key_N[mask_N], self._start_N[mask_N]
        other._size_N, other._file_N = self._size_N[mask_N], self._file_N[mask_N]
        return other

    @property
    def sorted_keys(self) -> Keys:
        """The sorted keys."""
        return self._key_N

    def at(self, place: int) -> T:
        """Return the row at a place in the order of the keys."""
        number = int(self._file_N[place])
        line = os.pread(self._files[number].fileno(), int(self._size_N[place]), int(self._start_N[place]))
        return self._row(line, number)

    def rows_at(self, places: NDArray[np.int64] | None = None) -> Iterator[T]:
        """Yield the rows at these places, or all rows in the order of their keys."""
        decode = self._decode
        for lines, numbers in self._pieces(places):
            for line, number in zip(lines, numbers, strict=True):
                try:
                    row = decode(line)
                except _FAULTS:
                    row = self._row(line, number)
                yield row

    def fields_at(self, places: NDArray[np.int64] | None, *names: str) -> Iterator[tuple[Any, ...]]:
        """Yield fields of the rows at these places. This takes half the time that it takes to make whole rows."""
        for lines, _ in self._pieces(places):
            for line in lines:
                values = orjson.loads(line)
                yield tuple([values[name] for name in names])

    def _pieces(self, places: NDArray[np.int64] | None) -> Iterator[tuple[list[bytes], list[int]]]:
        """Yield some lines, and the numbers of their files."""
        count = len(self._start_N) if places is None else len(places)
        for piece in range(0, count, AT_ONCE):
            chosen = slice(piece, min(piece + AT_ONCE, count))
            some = chosen if places is None else places[chosen]
            start_P, size_P, file_P = self._start_N[some], self._size_N[some], self._file_N[some]
            lines = [b""] * len(start_P)
            numbers: list[int] = file_P.tolist()
            for number in set(numbers):
                mine = np.flatnonzero(file_P == number)
                for place, line in zip(
                    mine.tolist(), _lines(self._files[number], start_P[mine], size_P[mine]), strict=True
                ):
                    lines[place] = line
            yield lines, numbers

    def _row(self, line: bytes, number: int) -> T:
        try:
            return self._decode(line)
        except _FAULTS:
            return _row_of(line, self.row_type, self.paths[number])  # raises the error in words


def _lines(file: BinaryIO, start_P: NDArray[np.int64], size_P: NDArray[np.integer[Any]]) -> list[bytes]:
    """Return the lines of a file that begin at these places and have these sizes."""
    handle, first, last = file.fileno(), int(start_P.min()), int((start_P + size_P).max())
    starts, sizes = start_P.tolist(), size_P.tolist()
    # Rows that lie near one another are read at once, others one by one.
    if last - first <= _NEAR * sum(sizes):
        data = os.pread(handle, last - first, first)
        return [data[start - first : start - first + size] for start, size in zip(starts, sizes, strict=True)]
    read = os.pread
    return [read(handle, size, start) for start, size in zip(starts, sizes, strict=True)]


def _checked(row_type: type[T]) -> Callable[[bytes], T]:
    """Return a function that makes a row from a line, and checks each value against the row type."""
    make, parse = row_maker(row_type), orjson.loads
    return lambda line: make(parse(line))


def _row_of(line: bytes, row_type: type[T], path: Path) -> T:
    """Return the row of a line. Raises DataError, which says what is wrong with the line."""
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise DataError(f"{path}: {line[:80]!r} is not JSON; the file is damaged") from None
    return row_of(values, row_type, path)


def first_checked(path: Path, row_type: type[T]) -> Path:
    """Check that the first line of a file has only fields of the row type, and return the path.

    A decoder ignores unknown fields, and all lines of a file were written in the same way. Raises DataError if the line
    does not fit.
    """
    if path.is_file():
        with path.open("rb") as lines:
            if (line := lines.readline()).strip():
                _row_of(line, row_type, path)
    return path


_FAULTS = (ValidationError, KeyError, TypeError, ValueError)
"""What goes wrong if the values of a line do not fit, or if a line is not JSON. msgspec raises ValueErrors."""
AT_ONCE = 1024
"""How many rows are in memory at a time while all of them are read."""
_NEAR = 4
"""Rows are read at once if they take at least one in so many bytes of what lies between the first and the last."""


def rows_of(mapping: Mapping[str, T], keys: Sequence[str]) -> Iterator[T]:
    """Yield the rows of some keys, in their order. The rows of a file are read at once. Raises KeyError if a key is
    missing."""
    if isinstance(mapping, StreamedMapping):
        return mapping.along(packed(key.encode() for key in keys))
    return map(mapping.__getitem__, keys)


class LazyRows(Sequence[T]):
    """A sequence whose items are made when they are asked for.

    `count` is their number. `some` makes the items at some places, or all of them in their order. Who asks for one item
    after the other gets them from a list of the next items, which are made at once.
    """

    def __init__(self, count: int, some: Callable[[NDArray[np.int64] | None], Iterator[T]]) -> None:
        self._count, self._some = count, some
        self._ahead: tuple[int, list[T]] = (0, [])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return self._some(None)

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return list(self._some(np.arange(*place.indices(self._count))))
        if not -self._count <= place < self._count:
            raise IndexError(place)
        place %= self._count
        first, items = self._ahead  # read once, since several threads may ask
        if 0 <= place - first < len(items):
            return items[place - first]
        if place != first + len(items):
            return next(self._some(np.array([place])))
        items = list(self._some(np.arange(place, min(place + _AHEAD, self._count))))
        self._ahead = place, items
        return items[0]


_AHEAD = 128
"""How many items are made at once for who asks for them one by one."""


def lines_of(path: Path, row_type: type[T], decode: Callable[[bytes], T]) -> LazyRows[T]:
    """Return the rows of a JSONL file in the order of the file. `decode` is as in KeyedRows, and so are the errors."""
    file = path.open("rb")
    start_N = np.frombuffer(array("q", accumulate(map(len, file), initial=0)), dtype=np.int64)

    def row(line: bytes) -> T:
        try:
            return decode(line)
        except _FAULTS:
            return _row_of(line, row_type, path)

    def some(places: NDArray[np.int64] | None) -> Iterator[T]:
        if places is not None:
            yield from map(row, _lines(file, start_N[places], start_N[places + 1] - start_N[places]))
            return
        with path.open("rb") as lines:
            yield from map(row, lines)

    return LazyRows(len(start_N) - 1, some)


class _Items(ItemsView[str, T]):
    """Iterates over the lines of the file. The view of the standard library would look up each key."""

    def __init__(self, mapping: StreamedMapping[T]) -> None:
        super().__init__(mapping)
        self._rows = mapping

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return zip(self._rows, self._rows.rows_at(), strict=True)


class _Values(ValuesView[T]):
    """Iterates over the lines of the file. The view of the standard library would look up each key."""

    def __init__(self, mapping: StreamedMapping[T]) -> None:
        super().__init__(mapping)
        self._rows = mapping

    def __iter__(self) -> Iterator[T]:
        return self._rows.rows_at()
