"""Labels that several workers gave to the same items, as arrays: what agreement and aggregation are computed from.

The letters at the end of array names are their axes: N given labels, I items, W workers, V different labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenLabel:
    """A label that a worker gave to an item.

    The other fields are None where nothing is known. `seconds` is how long the worker took. `chose_first` says, for a
    comparison, whether the preferred answer was the one that was shown first; it is None for a tie.
    """

    item: str
    worker: str
    label: str
    seconds: float | None = None
    chose_first: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """Given labels, coded as numbers.

    `items` and `workers` are sorted. `labels` has the different labels that occur: in their order if `ordered` is true,
    else sorted by name. For the given label n, the three arrays have the places of its item, worker and label in these
    tuples. The rows are sorted by item and worker, so they do not depend on the order of the input.
    """

    items: tuple[str, ...]
    workers: tuple[str, ...]
    labels: tuple[str, ...]
    ordered: bool
    item_N: NDArray[np.int64]
    worker_N: NDArray[np.int64]
    label_N: NDArray[np.int64]

    def counts(self) -> NDArray[np.int64]:
        """Return how often each label was given to each item, with the axes I and V."""
        flat = self.item_N * len(self.labels) + self.label_N
        counts = np.bincount(flat, minlength=len(self.items) * len(self.labels))
        return counts.reshape(len(self.items), len(self.labels))

    def by_item(self) -> list[slice]:
        """Return the places of each item's given labels in the arrays."""
        ends: list[int] = np.cumsum(np.bincount(self.item_N, minlength=len(self.items))).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def label_table(given: Iterable[GivenLabel], order: Sequence[str] = ()) -> LabelTable:
    """Code given labels as numbers.

    `order` has the possible labels from one end of their scale to the other; then all given labels must be in it.
    Without it, labels that are all numbers are ordered by their size, and other labels have no order. A worker must not
    label an item twice.
    """
    rows = sorted(given, key=lambda one: (one.item, one.worker))
    items, workers = (tuple(dict.fromkeys(sorted(column))) for column in _columns(rows))
    found = {one.label for one in rows}
    assert not order or found <= set(order), (sorted(found), order)
    labels = tuple(label for label in order if label in found) or by_size(found)
    codes = labels or tuple(sorted(found))
    table = LabelTable(
        items=items,
        workers=workers,
        labels=codes,
        ordered=bool(labels),
        item_N=_coded((one.item for one in rows), items),
        worker_N=_coded((one.worker for one in rows), workers),
        label_N=_coded((one.label for one in rows), codes),
    )
    pairs = {(one.item, one.worker) for one in rows}
    assert len(pairs) == len(rows), "a worker labels an item once"
    return table


def by_size(labels: Iterable[str]) -> tuple[str, ...]:
    """Return labels that are all different numbers, from the smallest to the largest. Return () for other labels."""
    numbers: dict[float, str] = {}
    count = 0
    for label in labels:
        try:
            number = float(label)
        except ValueError:
            return ()
        if not math.isfinite(number):
            return ()
        numbers[number] = label
        count += 1
    # Two spellings of one number, such as 1 and 1.0, are two labels without an order.
    return tuple(label for _, label in sorted(numbers.items())) if len(numbers) == count else ()


def _columns(rows: Sequence[GivenLabel]) -> tuple[list[str], list[str]]:
    return [one.item for one in rows], [one.worker for one in rows]


def _coded(values: Iterable[str], names: Sequence[str]) -> NDArray[Any]:
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[value] for value in values], dtype=np.int64)
