"""Where the noise of a result comes from: worlds, base models, seeds, row orders or prompts.

The letters at the end of array names are their axes: W worlds, B sets of base models, S seeds, O row orders, P prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

# numpy is imported inside the functions: it is slow to import, and most commands compute no statistics.
if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SETUP: Mapping[str, tuple[str, ...]] = {
    "world": (),
    "base": (),
    "seed": ("world", "base"),
    "order": ("world", "base", "seed"),
    "prompt": ("world",),
}
"""{axis: the axes that it is nested in}. Every world has prompts of its own. All sets of base models, seeds and row
orders of a world answer the same prompts. A seed number means nothing beyond its world and its base models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One source of noise.

    `variance` is the variance between its units, or None if there is only one of them. An estimate may be below zero:
    then the data show no such noise. `of_mean` is the part of the variance of the mean that comes from this source: its
    variance divided by the number of its units. `df` counts the degrees of freedom of the estimate.
    """

    name: str
    variance: float | None
    of_mean: float | None
    df: int


def variance_components(values: ArrayLike) -> tuple[Component, ...]:
    """Return the variance components of values with the shape worlds x bases x seeds x orders x prompts.

    They are estimated by the method of moments: the mean squares of the analysis of variance are set equal to their
    expected values, which for balanced data gives unbiased estimates without a distribution (Searle, Casella and
    McCulloch, Variance Components, 1992, chapter 4). `SETUP` says what is nested in what. An interaction has the names
    of its axes, as in "seed x prompt". An axis with one unit cannot be told apart from what lies in it: its component
    has no variance, and its interactions are left out.

    Data must be balanced: as many seeds in each world, orders in each seed and prompts in each world. Raises ValueError
    if the array has another number of axes, is empty or holds a value that is not finite, as NaN for a missing one.
    """
    import numpy as np  # noqa: PLC0415 slow to import

    value_WBSOP = np.asarray(values, dtype=np.float64)
    if value_WBSOP.ndim != len(SETUP) or value_WBSOP.size == 0 or not np.isfinite(value_WBSOP).all():
        raise ValueError(
            f"values: shape {value_WBSOP.shape} found; it must be worlds x bases x seeds x orders x prompts, finite "
            "and not empty. Leave out what is not complete in every world and seed"
        )
    sizes = dict(zip(SETUP, value_WBSOP.shape, strict=True))
    terms = list(_terms(frozenset(axis for axis, size in sizes.items() if size > 1)))
    variances = _solved(terms, _mean_squares(value_WBSOP, terms, sizes), sizes)
    degrees = _degrees(terms, sizes)
    found = {
        _name(term): Component(
            name=_name(term), variance=variances[term], of_mean=variances[term] / _units(term, sizes), df=degrees[term]
        )
        for term in terms
        if term
    }
    single = {axis: Component(name=axis, variance=None, of_mean=None, df=0) for axis in SETUP if sizes[axis] == 1}
    mains = [(single | found)[axis] for axis in SETUP]
    return (*mains, *(component for name, component in found.items() if name not in SETUP))


def _terms(axes: frozenset[str]) -> Iterator[frozenset[str]]:
    """Yield all sets of axes that contain what their axes are nested in, the smaller ones first."""
    ordered = [axis for axis in SETUP if axis in axes]
    for some in chain.from_iterable(combinations(ordered, size) for size in range(len(ordered) + 1)):
        if all(outer in some for axis in some for outer in SETUP[axis] if outer in axes):
            yield frozenset(some)


def _name(term: frozenset[str]) -> str:
    """Return the innermost axes of a term: what the others are nested in goes without saying."""
    outer = {above for axis in term for above in SETUP[axis]}
    return " x ".join(axis for axis in SETUP if axis in term and axis not in outer)


def _units(term: frozenset[str], sizes: Mapping[str, int]) -> int:
    return math.prod(sizes[axis] for axis in term)


def _degrees(terms: list[frozenset[str]], sizes: Mapping[str, int]) -> dict[frozenset[str], int]:
    """Return the degrees of freedom of each term: its units less those of the terms in it."""
    degrees: dict[frozenset[str], int] = {}
    for term in terms:
        degrees[term] = _units(term, sizes) - sum(df for smaller, df in degrees.items() if smaller < term)
    return degrees


def _mean_squares(
    value_WBSOP: NDArray[Any], terms: list[frozenset[str]], sizes: Mapping[str, int]
) -> dict[frozenset[str], float]:
    """Return the mean square of each term."""
    degrees, effects = _degrees(terms, sizes), dict[frozenset[str], Any]()
    squares: dict[frozenset[str], float] = {}
    for term in terms:
        others = tuple(place for place, axis in enumerate(SETUP) if axis not in term)
        mean = value_WBSOP.mean(axis=others, keepdims=True)
        # An effect is what the mean of a unit adds to the effects of all that it lies in.
        effects[term] = mean - sum(effect for smaller, effect in effects.items() if smaller < term)
        repeats = value_WBSOP.size / _units(term, sizes)
        squares[term] = repeats * float((effects[term] ** 2).sum()) / degrees[term]
    return squares


def _solved(
    terms: list[frozenset[str]], squares: Mapping[frozenset[str], float], sizes: Mapping[str, int]
) -> dict[frozenset[str], float]:
    """Solve for the variances. A mean square is expected to be the sum, over its term and all that contain it, of
    variance x number of values in a unit of that term."""
    size = math.prod(sizes.values())
    variances: dict[frozenset[str], float] = {}
    for term in reversed(terms):  # the larger ones first
        larger = sum(found * size / _units(other, sizes) for other, found in variances.items() if other > term)
        variances[term] = (squares[term] - larger) * _units(term, sizes) / size
    return variances
