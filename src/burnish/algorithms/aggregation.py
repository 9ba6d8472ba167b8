"""One label an item from the labels of several workers: by vote, by Dawid and Skene's model, or as a mean.

The letters at the end of array names are their axes: N given labels, I items, W workers, V different labels. Of two
axes V, the first is the right label and the second is the given one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from burnish.algorithms.label_table import LabelTable
from burnish.types import short_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[Any]

_EVEN = 1e-9
"""Shares closer together than this are equal. The small rest comes from rounding."""
_RIGHT, _WRONG = 1.0, 0.01
"""How many right labels, and how many of each kind of wrong label, every worker seems to have given to items of each
kind before the first one. Without the wrong ones, an item could have no possible label. Without the right ones, a table
with few labels may be explained as well by a label that nobody gave."""
_STEPS = 1000
_CHANGE = 1e-6
"""The estimate ends when no probability changes by more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatedLabel:
    """The label of an item that its workers came to.

    `p` is its probability: the share of the votes, or what the model says. `given` is the number of labels that the
    item got. `tied` says that another label has the same probability, so that a hash decided.
    """

    item: str
    label: str
    p: float
    given: int
    tied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DawidSkene:
    """Dawid and Skene's estimate.

    `prior` is {label: its share among the items}. `confusions` is {worker: {right label: {given label: probability}}}.
    `converged` says whether the estimate ended before the largest number of steps.
    """

    labels: tuple[AggregatedLabel, ...]
    prior: Mapping[str, float]
    confusions: Mapping[str, Mapping[str, Mapping[str, float]]]
    steps: int
    converged: bool

    def accuracies(self) -> dict[str, float]:
        """Return {worker: the probability that the worker gives the right label}."""
        return {
            worker: math.fsum(self.prior[label] * given[label] for label, given in confusion.items())
            for worker, confusion in self.confusions.items()
        }


def vote(table: LabelTable, seed: int = 0) -> tuple[AggregatedLabel, ...]:
    """Return the most frequent label of each item, in the order of the items.

    Of equally frequent labels, the one is taken that a worker gave who is drawn by a hash of `seed`, item and worker.
    So neither the names of the labels nor the order of the input decide.
    """
    return _chosen(table, _shares(table), seed)


def dawid_skene(
    table: LabelTable, seed: int = 0, known: Mapping[str, str] | None = None, *, one_coin: bool = False
) -> DawidSkene:
    """Estimate each worker's confusions and each item's label together (Dawid & Skene 1979), by EM.

    The estimate begins with the votes and is the same every time. It is computed with logarithms, so that an item may
    have any number of labels. A worker's good and bad labels are told apart only where workers share items. Ties are
    decided as by `vote`.

    With `one_coin`, a worker has one number: how often the worker is right. All wrong labels are equally probable
    then. This is better where each worker gave few labels, and worse where workers prefer a label.

    `known` is {item: right label} of gold items. They keep this label, and say more about their workers. They say
    nothing about how frequent each label is, because somebody chose them. Each label in it must have been given by
    somebody.
    """
    known_I, right_I = _known_places(table, known or {})
    belief_IV, fit = _shares(table), _Fit(table, known_I, one_coin)
    belief_IV[known_I] = np.eye(len(table.labels))[right_I]
    prior_V, confusion_WVV = fit.maximised(belief_IV)
    change, steps = math.inf, 0
    while change > _CHANGE and steps < _STEPS:
        before_IV, steps = belief_IV, steps + 1
        belief_IV = fit.expected(prior_V, confusion_WVV)
        belief_IV[known_I] = np.eye(len(table.labels))[right_I]
        prior_V, confusion_WVV = fit.maximised(belief_IV)
        change = float(np.abs(belief_IV - before_IV).max(initial=0.0))
    names = table.labels
    return DawidSkene(
        labels=_chosen(table, belief_IV, seed),
        prior=dict(zip(names, prior_V.tolist(), strict=True)),
        confusions={
            worker: {right: dict(zip(names, row, strict=True)) for right, row in zip(names, rows, strict=True)}
            for worker, rows in zip(table.workers, confusion_WVV.tolist(), strict=True)
        },
        steps=steps,
        converged=change <= _CHANGE,
    )


def _known_places(table: LabelTable, known: Mapping[str, str]) -> tuple[list[int], list[int]]:
    """Return the places of the gold items and of their right labels."""
    assert set(known.values()) <= set(table.labels), (known, table.labels)
    places = [place for place, item in enumerate(table.items) if item in known]
    return places, [table.labels.index(known[table.items[place]]) for place in places]


def mean_values(given: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return {item: the mean of its graded values}, sorted by item. `given` has pairs of an item and a value."""
    values: dict[str, list[float]] = {}
    for item, value in given:
        values.setdefault(item, []).append(value)
    # fsum rounds once, so the order of the workers does not matter.
    return {item: math.fsum(of_item) / len(of_item) for item, of_item in sorted(values.items())}


def _shares(table: LabelTable) -> Floats:
    """Return the share of each label among the labels of an item, with the axes I and V."""
    counts_IV = table.counts()
    return counts_IV / counts_IV.sum(axis=1, keepdims=True)


class _Fit:
    """The two steps of EM. Rows that are summed together are brought together once: G counts (worker, label)."""

    def __init__(self, table: LabelTable, known_I: Sequence[int], one_coin: bool) -> None:
        """`known_I` are the places of the gold items."""
        self.table, self.labels, self.one_coin = table, len(table.labels), one_coin
        self.drawn_I = np.ones(len(table.items), dtype=bool)
        self.drawn_I[list(known_I)] = False
        # The rows of an item follow each other in the table.
        self.start_I = np.unique(table.item_N, return_index=True)[1]
        group_N = table.worker_N * self.labels + table.label_N
        order_N = np.argsort(group_N, kind="stable")
        self.item_N = table.item_N[order_N]
        self.group_G, self.start_G = np.unique(group_N[order_N], return_index=True)

    def maximised(self, belief_IV: Floats) -> tuple[Floats, Floats]:
        """Return the shares of the labels and each worker's confusions, given what each item's label probably is."""
        prior_V = belief_IV[self.drawn_I].sum(axis=0) + _WRONG
        start_VV = np.where(np.eye(self.labels, dtype=bool), _RIGHT, _WRONG)
        confusion_WVV = np.tile(start_VV, (len(self.table.workers), 1, 1))
        sum_GV = _summed(belief_IV[self.item_N], self.start_G)
        confusion_WVV[self.group_G // self.labels, :, self.group_G % self.labels] += sum_GV
        if self.one_coin:
            confusion_WVV = _with_one_coin(confusion_WVV)
        return prior_V / prior_V.sum(), confusion_WVV / confusion_WVV.sum(axis=2, keepdims=True)

    def expected(self, prior_V: Floats, confusion_WVV: Floats) -> Floats:
        """Return the probability of each label of each item, with the axes I and V."""
        # A product of many probabilities would be 0 in floats. A sum of logarithms is not.
        log_NV = np.log(confusion_WVV)[self.table.worker_N, :, self.table.label_N]
        log_IV = np.log(prior_V) + _summed(log_NV, self.start_I)
        p_IV = np.exp(log_IV - log_IV.max(axis=1, keepdims=True, initial=-np.inf))
        return p_IV / p_IV.sum(axis=1, keepdims=True)


def _with_one_coin(count_WVV: Floats) -> Floats:
    """Return counts of right and given labels with each worker's right labels spread evenly, and so the wrong ones."""
    labels = count_WVV.shape[1]
    right_W = np.trace(count_WVV, axis1=1, axis2=2)
    wrong_W = count_WVV.sum(axis=(1, 2)) - right_W
    # With one label, there is none that is wrong.
    apart_W = wrong_W / max(labels * (labels - 1), 1)
    same_VV: Floats = np.eye(labels, dtype=bool)
    return cast(Any, np.where(same_VV, right_W[:, None, None] / labels, apart_W[:, None, None]))


def _summed(rows_NV: Floats, start_G: Floats) -> Floats:
    """Return the sums of the rows from one start to the next."""
    # reduceat refuses an empty array.
    return np.add.reduceat(rows_NV, start_G, axis=0) if len(start_G) else rows_NV


def _chosen(table: LabelTable, p_IV: Floats, seed: int) -> tuple[AggregatedLabel, ...]:
    """Return the most probable label of each item."""
    if not table.items:
        return ()
    best_I = p_IV.max(axis=1)
    tied_IV = p_IV >= best_I[:, None] - _EVEN
    many_I, first_I = tied_IV.sum(axis=1) > 1, p_IV.argmax(axis=1)
    chosen: list[AggregatedLabel] = []
    for place, rows in enumerate(table.by_item()):
        label = int(first_I[place])
        if many_I[place]:
            label = _drawn(table, rows, set(np.flatnonzero(tied_IV[place]).tolist()), seed)
        chosen.append(
            AggregatedLabel(
                item=table.items[place],
                label=table.labels[label],
                p=float(p_IV[place, label]),
                given=rows.stop - rows.start,
                tied=bool(many_I[place]),
            )
        )
    return tuple(chosen)


def _drawn(table: LabelTable, rows: slice, tied: set[int], seed: int) -> int:
    """Return one of several equally probable labels: that of the worker with the lowest hash."""
    item = table.items[int(table.item_N[rows.start])]
    workers, labels = cast(list[int], table.worker_N[rows].tolist()), cast(list[int], table.label_N[rows].tolist())
    given = zip(workers, labels, strict=True)
    hashes = [
        (short_hash("drawn", str(seed), item, table.workers[worker]), label) for worker, label in given if label in tied
    ]
    # A model may find labels equally probable that nobody gave.
    return min(hashes)[1] if hashes else min(tied)
