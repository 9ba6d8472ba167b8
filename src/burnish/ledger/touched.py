"""The rows of a ledger that were changed, and the texts of their answers, without holding them in memory.

C counts the lines that change a row, R the rows that they change, and A the answers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from burnish.errors import DataError
from burnish.ledger.replay import ChangedRow, replayed
from burnish.store.files import row_of
from burnish.store.keys import KeyReader, Keys, packed, positions, texts_of
from burnish.types import Reason, Refinement

_MARKS = {reason: f'"reason":"{reason}"'.encode() for reason in (Reason.ACCEPTED, Reason.REVERTED)}
"""What a line of these reasons holds. Most lines have another reason, and are passed over without being parsed."""
_LINES = 4096
"""How many lines are looked up at a time."""


def has_reverts(ledger: Path) -> bool:
    """Say whether a ledger has the line of a revert."""
    return any(True for _ in _marked(ledger, _MARKS[Reason.REVERTED]))


def touched_rows(ledger: Path) -> Iterator[tuple[str, ChangedRow]]:
    """Yield (row id, what happened to the row) for each row that was ever changed, in the order of the first changes.

    Nothing is yielded if there is no ledger. Raises DataError if a line cannot be read.
    """
    starts, order_C, first_R = _grouped(ledger)
    if not len(order_C):
        return
    end_R = np.append(first_R[1:], len(order_C))
    with ledger.open("rb") as file:

        def line(place: int) -> Refinement:
            file.seek(starts[place])
            return row_of(orjson.loads(file.readline()), Refinement, ledger)

        # The order is stable, so that the first line of a row is its earliest one.
        for row in np.argsort(order_C[first_R]).tolist():
            lines = [line(place) for place in order_C[first_R[row] : end_R[row]].tolist()]
            yield from replayed(lines).rows.items()


def _grouped(ledger: Path) -> tuple[array[int], NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the lines that change rows, their order by row, and where each row begins in this order."""
    starts, read = array("q"), KeyReader("example_id")

    def keys() -> Iterator[bytes]:
        for start, text in _marked(ledger, *_MARKS.values()):
            starts.append(start)
            yield read(text)

    key_C = packed(keys())
    order_C = np.argsort(key_C, kind="stable")
    key_C = key_C[order_C]
    first_R = np.flatnonzero(np.append([True], key_C[1:] != key_C[:-1])) if len(key_C) else order_C
    return starts, order_C, first_R


def _marked(path: Path, *marks: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (place, line) for each line of a ledger that holds one of the marks and has one of their reasons."""
    if not path.exists():
        return
    at = 0
    with path.open("rb") as lines:
        for line in lines:
            # The mark may also be a part of an id, so the line itself decides.
            if any(mark in line for mark in marks) and orjson.loads(line)["reason"] in _MARKS:
                yield at, line
            at += len(line)


class Texts:
    """The texts of some answers, by the position of a row in the dataset. A text is read when it is asked for."""

    def __init__(self, answers: Path, place_of: array[int]) -> None:
        self._file, self._place_of = answers.open("rb"), place_of

    def __del__(self) -> None:
        self._file.close()

    def at(self, position: int) -> str | None:
        """Return the text for a row, or None if it has none."""
        if position >= len(self._place_of) or (place := self._place_of[position]) < 0:
            return None
        self._file.seek(place)
        return orjson.loads(self._file.readline())["completion"]


def texts_at(examples: Path, answers: Path, wanted: Iterable[tuple[str, str]]) -> Texts:
    """Return the texts of the answers that rows have. `wanted` has (row id, answer id).

    Raises DataError if an answer is missing.
    """
    pairs = list(zip(*wanted, strict=True))
    if not pairs:
        return Texts(answers, array("q"))
    ids, answer_ids = pairs
    key_R, answer_R = packed(id_.encode() for id_ in ids), packed(id_.encode() for id_ in answer_ids)
    order_R = np.argsort(key_R, kind="stable")
    key_R, answer_R = key_R[order_R], answer_R[order_R]
    place_R = _found(answers, np.unique(answer_R), lambda start, _: start, answer_R)
    position_R = _found(examples, key_R, lambda _, line: int(str(orjson.loads(line)["metadata"]["position"])), key_R)
    place_of = np.full(int(position_R.max()) + 1, -1, dtype=np.int64)
    place_of[position_R] = place_R
    return Texts(answers, array("q", place_of.tobytes()))


def _found(path: Path, keys: Keys, value: Callable[[int, bytes], int], asked: Keys) -> NDArray[np.int64]:
    """Return a value of the line of each asked key. `keys` are the sorted keys. Raises DataError if one is missing."""
    value_N, read, at = np.full(len(keys), -1, dtype=np.int64), KeyReader("id"), 0
    with path.open("rb") as lines:
        while some := list(islice(lines, _LINES)):
            place_L = positions(keys, packed(map(read, some)))
            ends = np.cumsum([len(line) for line in some])
            for index in np.flatnonzero(place_L >= 0).tolist():
                value_N[place_L[index]] = value(at + int(ends[index]) - len(some[index]), some[index])
            at += int(ends[-1])
    if (missing := np.flatnonzero(value_N < 0)).size:
        name = next(texts_of(keys[missing[:1]]))
        raise DataError(f"{path}: the answer {name} is missing; run `burnish refine` again")
    return value_N[positions(keys, asked)]
