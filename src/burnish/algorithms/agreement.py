"""How much workers agree who labelled the same items: Krippendorff's alpha, Fleiss' kappa, Gwet's AC1, Cohen's kappa.

Each figure is 1 if all agree, and about 0 if they agree as often as chance would make them. A figure that is not
defined is None with the reason: no function returns NaN, and none raises an error because of the labels.

The letters at the end of array names are their axes: D bootstrap draws, I items, P different rows of counts, V
different labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from burnish.algorithms.label_table import LabelTable
from burnish.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[Any]
    _Measure: TypeAlias = Callable[[Numbers, Numbers], tuple[Numbers, Numbers]]

DRAWS = 1000
"""How many times the items are drawn with replacement for an interval."""
_AT_ONCE = 100
"""How many draws are computed at once. 100 draws from 100,000 items are 80 MB."""
_DEFINED = 0.95
"""An interval is given only if the figure is defined in at least this share of the draws."""
MOST_ORDERED = 100
"""The largest number of different labels for which the ordinal alpha is computed."""
_MOST_PAIRS = 50_000_000
"""The largest number of items times labels times labels for which the package is asked. It needs about 1 GB for it."""
ONE_CATEGORY, NO_PAIR, NO_ORDER = "one category", "no item has two labels", "the labels have no order"
INSTALL = "pip install 'burnish[web]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """A measure of agreement with its 95 % bootstrap interval over items.

    `why` says why the value, or only its interval, is not defined. It is None if both are.
    """

    value: float | None
    ci95: tuple[float, float] | None = None
    why: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return {value, ci95}, and `why` where something is not defined."""
        shown = {"value": self.value, "ci95": None if self.ci95 is None else list(self.ci95)}
        return shown if self.why is None else {**shown, "why": self.why}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How much the workers of a table agree.

    `unanimous` is the share of the items with two or more labels whose labels are all the same, or None if there is no
    such item. `compared` is the number of those items. `categories` is {label: how often it was given}.
    """

    krippendorff_nominal: Coefficient
    krippendorff_ordinal: Coefficient
    fleiss_kappa: Coefficient
    gwet_ac1: Coefficient
    unanimous: float | None
    items: int
    compared: int
    workers: int
    labels: int
    categories: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        names = ("krippendorff_nominal", "krippendorff_ordinal", "fleiss_kappa", "gwet_ac1")
        figures: dict[str, Any] = {name: getattr(self, name).as_json() for name in names}
        counts = {name: getattr(self, name) for name in ("unanimous", "items", "compared", "workers", "labels")}
        return {**figures, **counts, "categories": dict(self.categories)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAgreement:
    """Cohen's kappa of two workers, over the `items` that both of them labelled."""

    worker: str
    other: str
    items: int
    kappa: Coefficient


def agreement(table: LabelTable, draws: int = DRAWS, seed: int = 0) -> Agreement:
    """Measure how much the workers of a table agree.

    An item with one label has no pair of labels, so it counts only where shares of labels are taken. Raises ConfigError
    if the package krippendorff is not installed.
    """
    counts_IV = table.counts()
    compared = counts_IV.sum(axis=1) >= 2
    same = (counts_IV.max(axis=1) == counts_IV.sum(axis=1)) & compared if counts_IV.size else compared
    undefined = _undefined(table, counts_IV, compared)
    measures = {name: measure for name, measure in _MEASURES.items() if undefined[name] is None}
    found = {name: Coefficient(value=None, why=why) for name, why in undefined.items() if why is not None}
    if measures:
        found |= _with_intervals(measures, counts_IV, draws, seed)
    return Agreement(
        krippendorff_nominal=found["krippendorff_nominal"],
        krippendorff_ordinal=found["krippendorff_ordinal"],
        fleiss_kappa=found["fleiss_kappa"],
        gwet_ac1=found["gwet_ac1"],
        unanimous=float(same.sum() / compared.sum()) if compared.any() else None,
        items=len(table.items),
        compared=int(compared.sum()),
        workers=len(table.workers),
        labels=len(table.item_N),
        categories=dict(zip(table.labels, counts_IV.sum(axis=0).tolist(), strict=True)),
    )


def _undefined(table: LabelTable, counts_IV: Numbers, compared: Numbers) -> dict[str, str | None]:
    """Return {figure: why it is not defined, or None}."""
    if not compared.any():
        return dict.fromkeys(_MEASURES, NO_PAIR)
    # Alpha looks only at items with two labels or more.
    nominal = ONE_CATEGORY if np.count_nonzero(counts_IV[compared].sum(axis=0)) < 2 else None
    no_order = None if table.ordered else NO_ORDER
    many = f"more than {MOST_ORDERED} different labels" if len(table.labels) > MOST_ORDERED else None
    others = ONE_CATEGORY if len(table.labels) < 2 else None
    return {
        "krippendorff_nominal": nominal,
        "krippendorff_ordinal": nominal or no_order or many,
        "fleiss_kappa": others,
        "gwet_ac1": others,
    }


def cohen(table: LabelTable) -> list[PairAgreement]:
    """Return Cohen's kappa of each two workers who labelled an item both, sorted by their names."""
    places = len(table.labels)
    confusions: dict[tuple[int, int], Numbers] = {}
    worker_N, label_N = table.worker_N.tolist(), table.label_N.tolist()
    for rows in table.by_item():
        given = list(zip(worker_N[rows], label_N[rows], strict=True))
        # The rows of an item are sorted by worker, so each two workers always meet in the same order.
        for at, (worker, label) in enumerate(given):
            for other, its_label in given[at + 1 :]:
                confusion = confusions.setdefault((worker, other), np.zeros((places, places), dtype=np.int64))
                confusion[label, its_label] += 1
    return [
        PairAgreement(
            worker=table.workers[worker],
            other=table.workers[other],
            items=int(confusion.sum()),
            kappa=_cohen(confusion),
        )
        for (worker, other), confusion in sorted(confusions.items())
    ]


def _cohen(confusion_VV: Numbers) -> Coefficient:
    """Return Cohen's kappa of two workers from how often they gave each two labels to an item."""
    total = confusion_VV.sum()
    if np.count_nonzero(confusion_VV.sum(axis=0) + confusion_VV.sum(axis=1)) < 2:
        return Coefficient(value=None, why=ONE_CATEGORY)
    observed = np.trace(confusion_VV) / total
    expected = (confusion_VV.sum(axis=0) * confusion_VV.sum(axis=1)).sum() / total**2
    return Coefficient(value=float((observed - expected) / (1 - expected)))


def _with_intervals(
    measures: Mapping[str, _Measure], counts_IV: Numbers, draws: int, seed: int
) -> dict[str, Coefficient]:
    """Return figures with their bootstrap intervals. All of them look at the same draws."""
    rows_PV, place_I = cast(tuple[Any, Any], np.unique(counts_IV, axis=0, return_inverse=True))
    place_I = place_I.reshape(-1)
    whole_1P = np.bincount(place_I, minlength=len(rows_PV))[None, :]
    values: dict[str, float] = {}
    for name, measure in measures.items():
        (value,), (defined,) = measure(rows_PV, whole_1P)
        assert defined, counts_IV.sum(axis=0)
        values[name] = float(value)
    values |= _alphas(counts_IV, measures)
    drawn: dict[str, list[tuple[Numbers, Numbers]]] = {name: [] for name in measures}
    for weight_DP in _weights(place_I, len(rows_PV), draws, seed):
        for name, measure in measures.items():
            drawn[name].append(measure(rows_PV, weight_DP))
    return {name: _coefficient(values[name], drawn[name], len(counts_IV)) for name in measures}


def _coefficient(value: float, drawn: Sequence[tuple[Numbers, Numbers]], items: int) -> Coefficient:
    """Return a figure with its percentile interval, or with the reason why it has none."""
    value_D, defined_D = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    if items < 2:
        return Coefficient(value=value, why="one item has no interval")
    if defined_D.mean() < _DEFINED:
        share = f"{int(defined_D.sum())} of {len(defined_D)}"
        return Coefficient(value=value, why=f"defined in only {share} draws of the items, so there is no interval")
    low, high = np.quantile(value_D[defined_D], [0.025, 0.975]).tolist()
    return Coefficient(value=value, ci95=(low, high))


def _weights(place_I: Numbers, rows: int, draws: int, seed: int) -> Iterator[Numbers]:
    """Yield how often each row of counts comes in each draw of as many items, with replacement."""
    random = np.random.default_rng(seed)
    for start in range(0, draws, _AT_ONCE):
        count = min(_AT_ONCE, draws - start)
        # Items are drawn and not rows of counts. Their order does not depend on the names of the labels, so neither
        # does the interval.
        drawn_DI = place_I[random.integers(len(place_I), size=(count, len(place_I)))]
        flat = drawn_DI + rows * np.arange(count)[:, None]
        yield np.bincount(flat.ravel(), minlength=count * rows).reshape(count, rows)


def _alphas(counts_IV: Numbers, names: Iterable[str]) -> dict[str, float]:
    """Return Krippendorff's alphas among `names`, by the package krippendorff.

    The package makes a matrix of all labels for each item. If that is too much memory, nothing is returned, and the
    value stays that of the same formula below.
    """
    counts_IV = counts_IV[counts_IV.sum(axis=1) >= 2]
    alphas = {f"krippendorff_{level}": level for level in ("nominal", "ordinal")}
    asked = {name: alphas[name] for name in names if name in alphas}
    if len(counts_IV) * counts_IV.shape[1] ** 2 > _MOST_PAIRS:
        return {}
    return {name: _alpha(counts_IV, level) for name, level in asked.items()}


def _alpha(counts_IV: Numbers, level: str) -> float:
    """Return Krippendorff's alpha of items with two labels or more, by the package krippendorff."""
    try:
        import krippendorff  # noqa: PLC0415 an extra: only agreement needs it
    except ImportError:
        raise ConfigError(f"agreement: the package `krippendorff` is not installed; run {INSTALL}") from None
    return float(krippendorff.alpha(value_counts=counts_IV, level_of_measurement=cast(Any, level)))


# A measure takes the different rows of counts (P x V) and how often each of them is there in each draw (D x P). It
# returns the figure of each draw, and whether it is defined there.
# The package takes one table at a time, and 1,000 draws from a large table would take minutes. So the draws use the
# same formula on all tables at once (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").
def _alpha_nominal(rows_PV: Numbers, weight_DP: Numbers) -> tuple[Numbers, Numbers]:
    """Return alpha with the distance 1 between different labels."""
    size_P, rows_PV, weight_DP = _paired(rows_PV, weight_DP)
    given_DV = weight_DP @ rows_PV
    total_D = given_DV.sum(axis=1)
    apart_P = (size_P**2 - (rows_PV**2).sum(axis=1)) / (size_P - 1)
    return _one_minus(weight_DP @ apart_P, (total_D**2 - (given_DV**2).sum(axis=1)) / np.maximum(total_D - 1, 1))


def _alpha_ordinal(rows_PV: Numbers, weight_DP: Numbers) -> tuple[Numbers, Numbers]:
    """Return alpha with the ordinal distance: the number of labels given from one label to the other, squared.

    Of the labels at both ends only half are counted.
    """
    size_P, rows_PV, weight_DP = _paired(rows_PV, weight_DP)
    given_DV = weight_DP @ rows_PV
    middle_DV = given_DV.cumsum(axis=1) - given_DV / 2
    distance_DVV = (middle_DV[:, :, None] - middle_DV[:, None, :]) ** 2
    # A label with itself has the distance 0, so the diagonals do not matter.
    share_PV = rows_PV / (size_P - 1)[:, None]
    pairs_DVV = np.einsum("dp,pv,pw->dvw", weight_DP, share_PV, rows_PV, optimize=True)
    chance_DVV = given_DV[:, :, None] * given_DV[:, None, :]
    expected_D = (chance_DVV * distance_DVV).sum(axis=(1, 2)) / np.maximum(given_DV.sum(axis=1) - 1, 1)
    return _one_minus((pairs_DVV * distance_DVV).sum(axis=(1, 2)), expected_D)


def _fleiss(rows_PV: Numbers, weight_DP: Numbers) -> tuple[Numbers, Numbers]:
    """Return Fleiss' kappa (1971). If items have different numbers of labels, each item counts once (Gwet 2014)."""
    observed_D, share_DV = _observed(rows_PV, weight_DP)
    return _one_minus(1 - observed_D, 1 - (share_DV**2).sum(axis=1))


def _gwet(rows_PV: Numbers, weight_DP: Numbers) -> tuple[Numbers, Numbers]:
    """Return Gwet's AC1 (2008)."""
    observed_D, share_DV = _observed(rows_PV, weight_DP)
    by_chance_D = (share_DV * (1 - share_DV)).sum(axis=1) / (rows_PV.shape[1] - 1)
    return _one_minus(1 - observed_D, 1 - by_chance_D)


def _observed(rows_PV: Numbers, weight_DP: Numbers) -> tuple[Numbers, Numbers]:
    """Return the share of equal labels among the pairs of an item, as a mean over items, and the shares of labels.

    If no item of a draw has a pair, the first is NaN.
    """
    share_PV = rows_PV / rows_PV.sum(axis=1)[:, None]
    share_DV = weight_DP @ share_PV / weight_DP.sum(axis=1)[:, None]
    size_P, paired_PV, paired_DP = _paired(rows_PV, weight_DP)
    same_P = ((paired_PV**2).sum(axis=1) - size_P) / (size_P * (size_P - 1))
    number_D = paired_DP.sum(axis=1)
    observed_D = np.divide(paired_DP @ same_P, number_D, out=np.full(len(number_D), np.nan), where=number_D > 0)
    return observed_D, share_DV


def _paired(rows_PV: Numbers, weight_DP: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return the number of labels of the items with two or more of them, their rows, and their weights."""
    paired = rows_PV.sum(axis=1) >= 2
    rows_PV = rows_PV[paired].astype(float)
    return rows_PV.sum(axis=1), rows_PV, weight_DP[:, paired].astype(float)


def _one_minus(observed_D: Numbers, expected_D: Numbers) -> tuple[Numbers, Numbers]:
    """Return 1 - observed disagreement / expected disagreement, and where it is defined."""
    # Without any disagreement to expect there is one category. Rounding may leave a little more than 0.
    defined_D = (expected_D > 1e-12) & np.isfinite(observed_D)
    value_D = np.divide(observed_D, expected_D, out=np.zeros(len(expected_D)), where=defined_D)
    return 1 - value_D, defined_D


_MEASURES: Mapping[str, _Measure] = {
    "krippendorff_nominal": _alpha_nominal,
    "krippendorff_ordinal": _alpha_ordinal,
    "fleiss_kappa": _fleiss,
    "gwet_ac1": _gwet,
}
