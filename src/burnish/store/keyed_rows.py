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
from typing import Any, Generic, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from burnish.errors import DataError
from burnish.store.files import row_maker, row_of
from burnish.store.keys import Keys, position, positions, texts_of
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
        make: Callable[[dict[str, Any]], T] | None = None,
    ) -> None:
        """Read the keys of the files. If `wanted` (sorted keys) is given, rows with other keys are left out.

        `make` makes a row from the values of a line. Without it, each line is checked against the row type. It is for
        rows of which only a part is needed.
        """
        self.row_type = row_type
        self._make = make or row_maker(row_type)
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

    def made_by(self, make: Callable[[dict[str, Any]], T]) -> KeyedRows[T]:
        """Return the same rows, made by another function."""
        other = copy.copy(self)
        other._make, other._files = make, [path.open("rb") for path in self.paths]
        return other

    def only(self, mask_N: NDArray[np.bool_]) -> KeyedRows[T]:
        """Return the rows that a mask over the sorted keys chooses."""
        other = self.made_by(self._make)
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
        make, parse = self._make, orjson.loads
        for lines, numbers in self._pieces(places):
            for line, number in zip(lines, numbers, strict=True):
                try:
                    row = make(parse(line))
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
        for piece in range(0, count, _AT_ONCE):
            chosen = slice(piece, min(piece + _AT_ONCE, count))
            some = chosen if places is None else places[chosen]
            start_P, size_P, file_P = self._start_N[some], self._size_N[some], self._file_N[some]
            lines = [b""] * len(start_P)
            for number in set(file_P.tolist()):
                mine = np.flatnonzero(file_P == number)
                for place, line in zip(mine.tolist(), self._lines(number, start_P[mine], size_P[mine]), strict=True):
                    lines[place] = line
            yield lines, file_P.tolist()

    def _lines(self, number: int, start_P: NDArray[np.int64], size_P: NDArray[np.uint32]) -> list[bytes]:
        """Return some lines of one file."""
        file, first, last = self._files[number].fileno(), int(start_P.min()), int((start_P + size_P).max())
        starts, sizes = start_P.tolist(), size_P.tolist()
        # Rows that lie near one another are read at once, others one by one.
        if last - first <= _NEAR * sum(sizes):
            data = os.pread(file, last - first, first)
            return [data[start - first : start - first + size] for start, size in zip(starts, sizes, strict=True)]
        read = os.pread
        return [read(file, size, start) for start, size in zip(starts, sizes, strict=True)]

    def _row(self, line: bytes, number: int) -> T:
        try:
            return self._make(orjson.loads(line))
        except orjson.JSONDecodeError:
            raise DataError(f"{self.paths[number]}: {line[:80]!r} is not JSON; the file is damaged") from None
        except _FAULTS:
            return row_of(orjson.loads(line), self.row_type, self.paths[number])  # raises the error in words


_FAULTS = (ValidationError, KeyError, TypeError, ValueError)
"""What goes wrong if the values of a line do not fit, or if a line is not JSON."""
_AT_ONCE = 1024
"""How many rows are in memory at a time while all of them are read."""
_NEAR = 4
"""Rows are read at once if they take at least one in so many bytes of what lies between the first and the last."""


class LazyRows(Sequence[T]):
    """A sequence whose items are made when they are asked for.

    `count` is their number, `item` makes one of them, and `every` makes all of them in their order.
    """

    def __init__(self, count: int, item: Callable[[int], T], every: Callable[[], Iterator[T]]) -> None:
        self._count, self._item, self._every = count, item, every

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return self._every()

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._item(one) for one in range(*place.indices(self._count))]
        if not -self._count <= place < self._count:
            raise IndexError(place)
        return self._item(place % self._count)


def lines_of(path: Path, row_type: type[T], make: Callable[[dict[str, Any]], T] | None = None) -> LazyRows[T]:
    """Return the rows of a JSONL file in the order of the file. `make` is as in KeyedRows, and so are the errors."""
    made, file = make or row_maker(row_type), path.open("rb")
    starts = array("q", accumulate(map(len, file), initial=0))

    def row(line: bytes) -> T:
        values = orjson.loads(line)
        try:
            return made(values)
        except _FAULTS:
            return row_of(values, row_type, path)

    def item(place: int) -> T:
        return row(os.pread(file.fileno(), starts[place + 1] - starts[place], starts[place]))

    def every() -> Iterator[T]:
        with path.open("rb") as lines:
            yield from map(row, lines)

    return LazyRows(len(starts) - 1, item, every)


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
