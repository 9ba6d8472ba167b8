"""The rows of a ledger that were changed, and the texts of their answers, without holding them in memory.

C counts the lines that change a row, R the rows that they change, and A the answers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from burnish.errors import DataError
from burnish.ledger.replay import ChangedRow, replayed
from burnish.store.files import row_of
from burnish.store.keyed_rows import KeyedRows
from burnish.store.keys import KeyReader, Keys, distinct, packed, positions, texts_of
from burnish.store.line_index import line_index
from burnish.types import Example, Reason, Refinement

_ACCEPTED, _REVERTED = (f'"reason":"{reason}"'.encode() for reason in (Reason.ACCEPTED, Reason.REVERTED))
"""What a line of these reasons holds. No text can hold it, since quotes in a text are escaped. So the other lines, that
is most of them, are passed over without being parsed."""


def has_reverts(ledger: Path) -> bool:
    """Say whether a ledger has the line of a revert."""
    if not ledger.exists():
        return False
    with ledger.open("rb") as lines:
        return any(_REVERTED in line for line in lines)


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
        for start, text in _marked(ledger):
            starts.append(start)
            yield read(text)

    key_C = packed(keys())
    order_C = np.argsort(key_C, kind="stable")
    key_C = key_C[order_C]
    first_R = np.flatnonzero(np.append([True], key_C[1:] != key_C[:-1])) if len(key_C) else order_C
    return starts, order_C, first_R


def _marked(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (place, line) for each line of a ledger that accepts a change or takes one back."""
    if not path.exists():
        return
    at = 0
    with path.open("rb") as lines:
        for line in lines:
            if _ACCEPTED in line or _REVERTED in line:
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
    answer_index = line_index([answers], "id", distinct(answer_R))
    place_R = answer_index.starts[_found(answers, answer_index.keys, answer_R)]
    order_R = np.argsort(key_R, kind="stable")
    key_R, place_R = key_R[order_R], place_R[order_R]
    rows = KeyedRows(examples, Example, "id", key_R)
    position_R = np.fromiter((int(str(more["position"])) for (more,) in rows.fields_at(None, "metadata")), np.int64)
    place_of = np.full(int(position_R.max()) + 1, -1, dtype=np.int64)
    place_of[position_R] = place_R
    return Texts(answers, array("q", place_of.tobytes()))


def _found(path: Path, keys_A: Keys, asked_R: Keys) -> NDArray[np.int64]:
    """Return where each asked key is among the keys, which have no order. Raises DataError if one is missing."""
    order_A = np.argsort(keys_A, kind="stable")
    place_R = positions(keys_A[order_A], asked_R)
    if (missing := np.flatnonzero(place_R < 0)).size:
        name = next(texts_of(asked_R[missing[:1]]))
        raise DataError(f"{path}: the answer {name} is missing; run `burnish refine` again")
    return order_A[place_R]
