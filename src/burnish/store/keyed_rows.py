"""Mappings from keys to the rows of JSONL files. A row is read from the disk when it is asked for.

The index needs 30 bytes of memory for each row. The row itself would need about a kilobyte.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from heapq import merge
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import orjson

from burnish.errors import DataError
from burnish.store.files import row_of

T = TypeVar("T")
V = TypeVar("V")


class StreamedMapping(Mapping[str, T], Generic[T]):
    """A mapping that yields all of its rows in one pass through the file."""

    @abstractmethod
    def pairs(self) -> Iterator[tuple[str, T]]:
        """Yield (key, row) in the order of the keys.

        Each line is read once. Raises NotImplementedError unless a subclass defines it.
        """
        raise NotImplementedError

    def items(self) -> ItemsView[str, T]:
        """Return a view of (key, row) in the order of the keys."""
        return _Items(self)

    def values(self) -> ValuesView[T]:
        """Return a view of the rows in the order of their keys."""
        return _Values(self)


class KeyedRows(StreamedMapping[T]):
    """The rows of a file. The key of a row is the text in one of its fields, and the rows are in the order of the keys.

    If several rows have the same key, the last one counts. The file must not change while this object is used. Raises
    DataError if the file is damaged. Reading a row raises DataError as `read_rows` does.
    """

    def __init__(self, path: Path, row_type: type[T], field: str, wanted: AbstractSet[str] | None = None) -> None:
        """Read the keys of the file. If `wanted` is given, rows with other keys are left out."""
        self.path, self.row_type, self.field = path, row_type, field
        keys, starts = _index(path, field, wanted)
        # N counts the rows that are kept. Only a hash of each key is stored: the keys themselves would fill the memory.
        order = sorted(range(len(keys)), key=keys.__getitem__)  # a stable sort: the last of equal keys comes last
        last = [i for i, j in pairwise([*order, None]) if i is not None and (j is None or keys[i] != keys[j])]
        self._start_N = np.array([starts[i] for i in last], dtype=np.int64)
        self._hash_N = np.array([hash(keys[i]) for i in last], dtype=np.int64)
        self._by_hash_N = np.argsort(self._hash_N, kind="stable")
        self._hash_N = self._hash_N[self._by_hash_N]
        self._file = path.open("rb") if last else None

    def __del__(self) -> None:
        if file := getattr(self, "_file", None):
            file.close()

    def __len__(self) -> int:
        return len(self._start_N)

    def __iter__(self) -> Iterator[str]:
        for start in self._start_N:
            yield self._values(int(start))[self.field]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str) -> T:
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        return row_of(found, self.row_type, f"{self.path}: {key}")

    def pairs(self) -> Iterator[tuple[str, T]]:
        """Yield (key, row) in the order of the keys."""
        for start in self._start_N:
            values = self._values(int(start))
            yield values[self.field], row_of(values, self.row_type, str(self.path))

    def _find(self, key: str) -> dict[str, Any] | None:
        wanted = hash(key)  # Python's hash differs between processes, but the arrays never leave this process
        index = int(np.searchsorted(self._hash_N, wanted))
        while index < len(self._hash_N) and self._hash_N[index] == wanted:
            values = self._values(int(self._start_N[self._by_hash_N[index]]))
            if values[self.field] == key:
                return values
            index += 1  # another key had the same hash
        return None

    def _values(self, start: int) -> dict[str, Any]:
        assert self._file is not None, self.path
        self._file.seek(start)
        return orjson.loads(self._file.readline())


class MergedRows(StreamedMapping[T]):
    """The rows of several files, in the order of their keys. No key may be in two of the files."""

    def __init__(self, parts: Sequence[KeyedRows[T]]) -> None:
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __iter__(self) -> Iterator[str]:
        return merge(*self.parts)

    def __contains__(self, key: object) -> bool:
        return any(key in part for part in self.parts)

    def __getitem__(self, key: str) -> T:
        for part in self.parts:
            if key in part:
                return part[key]
        raise KeyError(key)

    def pairs(self) -> Iterator[tuple[str, T]]:
        """Yield (key, row) in the order of the keys."""
        return merge(*(part.pairs() for part in self.parts), key=itemgetter(0))


class Changed(Mapping[str, V], Generic[T, V]):
    """A mapping with the keys of another one. Each value is changed by a function when it is asked for."""

    def __init__(self, rows: Mapping[str, T], change: Callable[[T], V]) -> None:
        self.rows, self.change = rows, change

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __contains__(self, key: object) -> bool:
        return key in self.rows

    def __getitem__(self, key: str) -> V:
        return self.change(self.rows[key])


class _Items(ItemsView[str, T]):
    """Iterates over the lines of the file. The view of the standard library would look up each key."""

    def __init__(self, mapping: StreamedMapping[T]) -> None:
        super().__init__(mapping)
        self._rows = mapping

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return self._rows.pairs()


class _Values(ValuesView[T]):
    """Iterates over the lines of the file. The view of the standard library would look up each key."""

    def __init__(self, mapping: StreamedMapping[T]) -> None:
        super().__init__(mapping)
        self._rows = mapping

    def __iter__(self) -> Iterator[T]:
        return (row for _, row in self._rows.pairs())


def _index(path: Path, field: str, wanted: AbstractSet[str] | None) -> tuple[list[str], array[int]]:
    """Return the key of each row, and the position in bytes at which its line starts.

    Raises DataError if there is no such file, or if a line has no such field.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    keys: list[str] = []
    starts: array[int] = array("q")
    position = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                key = orjson.loads(line)[field] if line.strip() else None
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise DataError(f"{path}:{number}: not a JSON object with {field!r}; the file is damaged") from None
            if key is not None and (wanted is None or key in wanted):
                keys.append(key)
                starts.append(position)
            position += len(line)
    return keys, starts
