"""Rows of a JSONL file by key, read when they are asked for: 30 bytes of memory a row instead of a kilobyte."""

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
    """A mapping that is read through in one pass."""

    @abstractmethod
    def pairs(self) -> Iterator[tuple[str, T]]:
        """Yield keys and rows in order, each line read once."""
        raise NotImplementedError

    def items(self) -> ItemsView[str, T]:
        """Return keys and rows in the order of the keys."""
        return _Items(self)

    def values(self) -> ValuesView[T]:
        """Return the rows in the order of their keys."""
        return _Values(self)


class KeyedRows(StreamedMapping[T]):
    """A file's rows by the text in one of their fields, in the order of that text; of equal keys the last row counts.

    The file must not change while it is read. Raises DataError as `read_rows` does, when a row is read.
    """

    def __init__(self, path: Path, row_type: type[T], field: str, wanted: AbstractSet[str] | None = None) -> None:
        """`wanted`: only rows with these keys are there."""
        self.path, self.row_type, self.field = path, row_type, field
        keys, starts = _index(path, field, wanted)
        order = sorted(range(len(keys)), key=keys.__getitem__)  # stable: of equal keys the last stands last
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
        """Yield keys and rows in order."""
        for start in self._start_N:
            values = self._values(int(start))
            yield values[self.field], row_of(values, self.row_type, str(self.path))

    def _find(self, key: str) -> dict[str, Any] | None:
        wanted = hash(key)  # of this process alone, as the arrays are
        place = int(np.searchsorted(self._hash_N, wanted))
        while place < len(self._hash_N) and self._hash_N[place] == wanted:
            values = self._values(int(self._start_N[self._by_hash_N[place]]))
            if values[self.field] == key:
                return values
            place += 1  # another key of the same hash
        return None

    def _values(self, start: int) -> dict[str, Any]:
        assert self._file is not None, self.path
        self._file.seek(start)
        return orjson.loads(self._file.readline())


class MergedRows(StreamedMapping[T]):
    """Several files' rows, no key of which is in two of them, in the order of their keys."""

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
        """Yield keys and rows in order."""
        return merge(*(part.pairs() for part in self.parts), key=itemgetter(0))


class Changed(Mapping[str, V], Generic[T, V]):
    """Another mapping's values, each changed when it is asked for."""

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
    """Iterates over lines instead of looking each key up."""

    def __init__(self, mapping: StreamedMapping[T]) -> None:
        super().__init__(mapping)
        self._rows = mapping

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return self._rows.pairs()


class _Values(ValuesView[T]):
    """Iterates over lines instead of looking each key up."""

    def __init__(self, mapping: StreamedMapping[T]) -> None:
        super().__init__(mapping)
        self._rows = mapping

    def __iter__(self) -> Iterator[T]:
        return (row for _, row in self._rows.pairs())


def _index(path: Path, field: str, wanted: AbstractSet[str] | None) -> tuple[list[str], array[int]]:
    """Return each row's key and where its line starts."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    keys: list[str] = []
    starts: array[int] = array("q")
    place = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                key = orjson.loads(line)[field] if line.strip() else None
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise DataError(f"{path}:{number}: no JSON object with {field!r}; the file is damaged") from None
            if key is not None and (wanted is None or key in wanted):
                keys.append(key)
                starts.append(place)
            place += len(line)
    return keys, starts
