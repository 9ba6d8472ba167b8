"""Mappings from keys to the rows of JSONL files. A row is read from the disk when it is asked for.

The index needs about 30 bytes of memory for each row with short keys. The row itself would need about a kilobyte.
N counts the rows of an index.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from burnish.errors import DataError
from burnish.store.files import row_of
from burnish.store.keys import KeyReader, Keys, position, positions, texts_of
from burnish.store.keys import packed as packed_keys

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

    def __init__(self, path: Path | Sequence[Path], row_type: type[T], field: str, wanted: Keys | None = None) -> None:
        """Read the keys of the files. If `wanted` (sorted keys) is given, rows with other keys are left out."""
        self.row_type = row_type
        self.paths = (path,) if isinstance(path, Path) else tuple(path)
        indexes = [_index(one, field) for one in self.paths]
        key_N = np.concatenate([keys for keys, _ in indexes])
        start_N = np.concatenate([starts for _, starts in indexes])
        file_N = np.repeat(np.arange(len(indexes), dtype=np.uint16), [len(keys) for keys, _ in indexes])
        del indexes
        if wanted is not None:
            kept_N = positions(wanted, key_N) >= 0
            key_N, start_N, file_N = key_N[kept_N], start_N[kept_N], file_N[kept_N]
        # Most files are in the order of their keys already.
        if not bool((key_N[:-1] < key_N[1:]).all()):
            order_N = np.argsort(key_N, kind="stable")  # stable: the last of equal keys comes last
            key_N = key_N[order_N]
            order_N = order_N[np.append(key_N[:-1] != key_N[1:], True)] if len(key_N) else order_N
            key_N = key_N[np.append(key_N[:-1] != key_N[1:], True)] if len(key_N) else key_N
            start_N, file_N = start_N[order_N], file_N[order_N]
        self._key_N, self._start_N = key_N, start_N
        self._file_N = file_N if len(self.paths) > 1 else None
        self._files = [one.open("rb") for one in self.paths]

    def __del__(self) -> None:
        for file in getattr(self, "_files", ()):
            file.close()

    @property
    def sorted_keys(self) -> Keys:
        """The sorted keys."""
        return self._key_N

    def at(self, place: int) -> T:
        """Return the row at a place in the order of the keys."""
        number = 0 if self._file_N is None else int(self._file_N[place])
        file = self._files[number]
        file.seek(int(self._start_N[place]))
        return self._row(file.readline(), number)

    def rows_at(self, places: NDArray[np.int64] | None = None) -> Iterator[T]:
        """Yield the rows at these places, or all rows in the order of their keys."""
        chosen = slice(None) if places is None else places
        start_M = self._start_N[chosen]
        file_M = np.zeros(len(start_M), dtype=np.uint16) if self._file_N is None else self._file_N[chosen]
        # Files of its own, since `at` may be called between two rows.
        files = [path.open("rb") for path in self.paths]
        try:
            next_start = [0] * len(files)
            for piece in range(0, len(start_M), _PIECE):
                some = slice(piece, piece + _PIECE)
                for start, number in zip(start_M[some].tolist(), file_M[some].tolist(), strict=True):
                    file = files[number]
                    if start != next_start[number]:  # rows that follow one another need no search
                        file.seek(start)
                    line = file.readline()
                    next_start[number] = start + len(line)
                    yield self._row(line, number)
        finally:
            for file in files:
                file.close()

    def _row(self, line: bytes, number: int) -> T:
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise DataError(f"{self.paths[number]}: {line[:80]!r} is not JSON; the file is damaged") from None
        return row_of(values, self.row_type, self.paths[number])


_PIECE = 65_536
"""How many numbers of an array are Python objects at a time."""


class Changed(StreamedMapping[V], Generic[T, V]):
    """A mapping with the keys of another one. Each value is changed by a function when it is asked for."""

    def __init__(self, rows: StreamedMapping[T], change: Callable[[T], V]) -> None:
        self.rows, self.change = rows, change

    @property
    def sorted_keys(self) -> Keys:
        """The sorted keys."""
        return self.rows.sorted_keys

    def at(self, place: int) -> V:
        """Return the changed row at a place in the order of the keys."""
        return self.change(self.rows.at(place))

    def rows_at(self, places: NDArray[np.int64] | None = None) -> Iterator[V]:
        """Yield the changed rows at these places, or all rows in the order of their keys."""
        return map(self.change, self.rows.rows_at(places))


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


def lines_of(path: Path, row_type: type[T]) -> LazyRows[T]:
    """Return the rows of a JSONL file without blank lines, in the order of the file. Raises DataError as KeyedRows."""
    starts = array("q")
    with path.open("rb") as file:
        at = 0
        for line in file:
            starts.append(at)
            at += len(line)

    def item(place: int) -> T:
        with path.open("rb") as file:
            file.seek(starts[place])
            return row_of(orjson.loads(file.readline()), row_type, path)

    def every() -> Iterator[T]:
        with path.open("rb") as file:
            for line in file:
                yield row_of(orjson.loads(line), row_type, path)

    return LazyRows(len(starts), item, every)


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


def _index(path: Path, field: str) -> tuple[Keys, NDArray[np.int64]]:
    """Return the key of each row, and the position in bytes at which its line starts.

    Raises DataError if there is no such file, or if a line has no such field.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    starts = array("q")
    read = KeyReader(field)

    def keys() -> Iterator[bytes]:
        at = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    try:
                        yield read(line)
                    except (orjson.JSONDecodeError, KeyError, TypeError):
                        raise DataError(
                            f"{path}:{number}: not a JSON object with {field!r}; the file is damaged"
                        ) from None
                    starts.append(at)
                at += len(line)

    packed = packed_keys(keys())
    return packed, np.frombuffer(starts, dtype=np.int64) if len(starts) else np.array([], dtype=np.int64)
