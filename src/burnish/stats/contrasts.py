"""Tests and intervals of a difference between two methods that cover seeds, row orders, prompts and worlds.

The letters at the end of array names are their axes: S seeds (or other units that were trained apart), P prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

from burnish.stats.intervals import LEVEL, Interval, paired_difference

# numpy and scipy are imported inside the functions: they are slow to import, and most commands compute no statistics.
if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FEW_WORLDS = 4
"""The fewest worlds over which a t interval is taken. With two worlds it would be 12.7 standard errors wide."""
NO_WIDTH = 1e-12
"""A standard error that is not larger is 0 except for rounding."""
HALVINGS = 60
"""How often the range of levels is halved in the search for one. What is left is below rounding."""


class Uncertain(Protocol):
    """A difference that was measured, and what chance may have added to it."""

    @property
    def value(self) -> float:
        """The estimate."""
        ...

    def bounds(self, level: float = LEVEL) -> tuple[float, float]:
        """Return both ends of the two-sided interval at a confidence level."""
        ...

    def p_at_most(self, x: float) -> float:
        """Return the one-sided p-value of the hypothesis that the true difference is at most `x`."""
        ...

    def p_at_least(self, x: float) -> float:
        """Return the one-sided p-value of the hypothesis that the true difference is at least `x`."""
        ...


@dataclass(frozen=True, slots=True)
class NoisePart:
    """A part of the noise of an estimate: its standard error, and the degrees of freedom with which it is known."""

    error: float
    df: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ByT:
    """An estimate with independent parts of noise, such as seeds and prompts.

    With one part the interval is Student's. With several, their reaches are squared and added: the method of variance
    estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008, p. 1693), on which Newcombe's method for pairs
    rests, too. The p-value for `x` is the level at which a bound reaches `x`.
    """

    value: float
    parts: tuple[NoisePart, ...]

    @property
    def error(self) -> float:
        """The standard error of the estimate."""
        return math.sqrt(math.fsum(part.error**2 for part in self.parts))

    def bounds(self, level: float = LEVEL) -> tuple[float, float]:
        """Return both ends of the interval."""
        reach = self._reach((1 - level) / 2)
        return self.value - reach, self.value + reach

    def p_at_most(self, x: float) -> float:
        """Return the level of the one-sided interval whose lower bound is `x`."""
        if self.value < x:
            return 1.0 - self.p_at_least(x)
        return _level(lambda tail: self.value - self._reach(tail) > x)

    def p_at_least(self, x: float) -> float:
        """Return the level of the one-sided interval whose upper bound is `x`."""
        if self.value > x:
            return 1.0 - self.p_at_most(x)
        return _level(lambda tail: self.value + self._reach(tail) < x)

    def _reach(self, tail: float) -> float:
        """Return how far a bound is from the value, if the noise is beyond it with probability `tail`."""
        return math.hypot(*(_t(tail, part.df) * part.error for part in self.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCounts:
    """The share that the second method gets right minus that of the first, on the same prompts.

    The fields count prompts. Bounds are Newcombe's (`paired_difference`). The p-values belong to them: the p-value for
    `x` is the level at which a bound reaches `x`.
    """

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def value(self) -> float:
        """The difference."""
        return self._ends(1.0)[1]

    def bounds(self, level: float = LEVEL) -> tuple[float, float]:
        """Return Newcombe's bounds."""
        low, _, high = self._ends(_z((1 - level) / 2))
        return low, high

    def p_at_most(self, x: float) -> float:
        """Return the level of the one-sided interval whose lower bound is `x`."""
        if self.value < x:
            return 1.0 - self.p_at_least(x)
        return _level(lambda tail: self._ends(_z(tail))[0] > x)

    def p_at_least(self, x: float) -> float:
        """Return the level of the one-sided interval whose upper bound is `x`."""
        if self.value > x:
            return 1.0 - self.p_at_most(x)
        return _level(lambda tail: self._ends(_z(tail))[2] < x)

    def _ends(self, z: float) -> tuple[float, float, float]:
        """Return lower bound, value and upper bound for a normal quantile."""
        found = paired_difference(self.both, self.first_only, self.second_only, self.neither, z)
        assert found.low is not None, found
        assert found.high is not None, found
        return found.low, found.value, found.high


def _t(tail: float, df: float) -> float:
    """Return the quantile of Student's t above which a share `tail` lies."""
    # stats.t.isf is the same, but takes fifty times as long, and a search for a level asks for many quantiles.
    from scipy.special import stdtrit  # noqa: PLC0415 slow to import

    return _z(tail) if math.isinf(df) else -float(stdtrit(df, tail))


def _z(tail: float) -> float:
    """Return the normal quantile above which a share `tail` lies."""
    return -NormalDist().inv_cdf(tail)


def _level(excludes: Callable[[float], bool]) -> float:
    """Return the smallest tail, from 0 to one half, whose bound excludes a value."""
    low, high = 0.0, 0.5
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if excludes(middle) else (middle, high)
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class InEachWorld:
    """The same difference in a few worlds. What is said of it holds in each of them.

    The value is the mean over worlds. The bounds reach from the lowest to the highest bound of all worlds, and the
    p-values are the largest ones. So a test rejects only if it rejects in every world (an intersection-union test,
    which needs no correction: Berger, Technometrics 24, 1982, p. 295). It says nothing about worlds that were not
    tried.
    """

    worlds: tuple[Uncertain, ...]

    @property
    def value(self) -> float:
        """The mean of the differences."""
        return math.fsum(world.value for world in self.worlds) / len(self.worlds)

    def bounds(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the lowest and the highest bound."""
        ends = [world.bounds(level) for world in self.worlds]
        return min(low for low, _ in ends), max(high for _, high in ends)

    def p_at_most(self, x: float) -> float:
        """Return the largest p-value of all worlds."""
        return max(world.p_at_most(x) for world in self.worlds)

    def p_at_least(self, x: float) -> float:
        """Return the largest p-value of all worlds."""
        return max(world.p_at_least(x) for world in self.worlds)


def over_seeds(a: ArrayLike, b: ArrayLike) -> ByT | ByCounts:
    """Return the mean of a minus b over seeds and prompts of one world. Both have the shape seeds x prompts, in [0, 1].

    With several row orders, a value is the mean over the orders inside a seed, so that their noise is part of the noise
    of seeds. All seeds answer the same prompts. Seeds and prompts are both samples: D = a - b is a sum of a mean, a
    seed's and a prompt's own parts and a rest. The variance of the mean of D is estimated without bias by the mean
    squares (MS_seeds + MS_prompts - MS_rest) / (S P). The first term is what a t interval over seeds has, with S - 1
    degrees of freedom. The rest is what prompts add, with P - 1. `ByT` joins both. One pair of degrees of freedom for
    the sum (Satterthwaite's) covers too rarely with two or three seeds. A crossed bootstrap covers too often where
    seeds hardly differ, and too rarely where values are means over row orders.

    One seed says nothing about seeds. The interval is then Newcombe's over prompts, from rounded counts where a value
    is no whole number. It also takes the place of an interval without any width. Raises ValueError if the arrays are
    empty, of unequal shapes, not two-dimensional, or hold a value outside [0, 1].
    """
    import numpy as np  # noqa: PLC0415 slow to import

    a_SP, b_SP = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    fits = a_SP.ndim == 2 and a_SP.shape == b_SP.shape and a_SP.size > 0
    if not fits or not all(bool(((side_SP >= 0) & (side_SP <= 1)).all()) for side_SP in (a_SP, b_SP)):
        raise ValueError(
            f"shapes {a_SP.shape} and {b_SP.shape} found; both must be seeds x prompts, not empty, with values in "
            "[0, 1]"
        )
    seeds, prompts = a_SP.shape
    found = _crossed(a_SP - b_SP) if seeds > 1 and prompts > 1 else None
    if found is None or found.error < NO_WIDTH:
        both, only_b, only_a, neither = _counts(a_SP, b_SP)
        return ByCounts(both=both, first_only=only_b, second_only=only_a, neither=neither)
    return found


def _counts(a_SP: NDArray[Any], b_SP: NDArray[Any]) -> tuple[int, int, int, int]:
    """Return how many prompts both, only b, only a, and neither gets right, as means over seeds, rounded to P in all.

    This is the order in which `paired_difference` takes them for a minus b.
    """
    prompts = a_SP.shape[1]
    both = round(prompts * float((a_SP * b_SP).mean()))
    # Two halves may both be rounded up. Together they must not be more than there are prompts.
    only_b = min(round(prompts * float(((1 - a_SP) * b_SP).mean())), prompts - both)
    only_a = min(round(prompts * float((a_SP * (1 - b_SP)).mean())), prompts - both - only_b)
    return both, only_b, only_a, prompts - both - only_b - only_a


def paired_interval(a: ArrayLike, b: ArrayLike) -> Interval:
    """Return the mean of a minus b with the 95 % interval of `over_seeds`. `n` is S x P."""
    import numpy as np  # noqa: PLC0415 slow to import

    low, high = over_seeds(a, b).bounds()
    difference_SP = np.subtract(a, b)
    value = float(difference_SP.mean())
    # Counts that were rounded to whole prompts must not put the value outside its interval.
    return Interval(value=value, low=min(low, value), high=max(high, value), n=difference_SP.size)


def _crossed(difference_SP: NDArray[Any]) -> ByT:
    """Return the mean of at least two seeds x two prompts, both random and crossed."""
    seeds, prompts = difference_SP.shape
    mean, mean_S, mean_P = difference_SP.mean(), difference_SP.mean(axis=1), difference_SP.mean(axis=0)
    rest_SP = difference_SP - mean_S[:, None] - mean_P[None, :] + mean
    squares_S = prompts * float(((mean_S - mean) ** 2).sum()) / (seeds - 1)
    squares_P = seeds * float(((mean_P - mean) ** 2).sum()) / (prompts - 1)
    squares = float((rest_SP**2).sum()) / ((seeds - 1) * (prompts - 1))
    by_seeds = NoisePart(math.sqrt(squares_S / difference_SP.size), seeds - 1)
    # The estimate of what prompts add may be below zero by chance.
    by_prompts = NoisePart(math.sqrt(max(squares_P - squares, 0.0) / difference_SP.size), prompts - 1)
    return ByT(value=float(mean), parts=(by_seeds, by_prompts))


def over_worlds(worlds: Sequence[Uncertain], *, independent: bool = True) -> Uncertain:
    """Return one difference from those of several worlds, each of which may have its own base models.

    With at least `FEW_WORLDS` worlds it is the mean with a t interval over them. All noise below the worlds is part of
    the spread between their means, so this interval covers it, and speaks of worlds that were not tried. With fewer
    worlds nobody can know how much worlds differ. What is said must then hold in each of them (`InEachWorld`). The same
    goes for places that are not `independent`, because some share a world or base models. Raises ValueError if there is
    no world.
    """
    if not worlds:
        raise ValueError("no world is given; give at least one")
    if len(worlds) == 1:
        return worlds[0]
    values = [world.value for world in worlds]
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    if len(worlds) < FEW_WORLDS or not independent or variance == 0:
        return InEachWorld(worlds=tuple(worlds))
    return ByT(value=mean, parts=(NoisePart(math.sqrt(variance / len(values)), len(values) - 1),))


def p_differs(found: Uncertain) -> float:
    """Return the two-sided p-value of the hypothesis that there is no difference."""
    return min(1.0, 2 * min(found.p_at_most(0.0), found.p_at_least(0.0)))


def p_alike(found: Uncertain, margin: float) -> float:
    """Return the p-value of two one-sided tests (TOST) of the hypothesis that the difference is `margin` or more.

    A small value shows that the true difference lies between -margin and margin (Schuirmann, Journal of
    Pharmacokinetics and Biopharmaceutics 15, 1987, p. 657). Raises ValueError unless the margin is above 0.
    """
    return max(found.p_at_most(-_checked(margin)), found.p_at_least(margin))


def p_no_gain(found: Uncertain, margin: float) -> float:
    """Return the p-value of the hypothesis that `margin` or more is gained: one of the two tests of `p_alike`."""
    return found.p_at_least(_checked(margin))


def _checked(margin: float) -> float:
    if not margin > 0:
        raise ValueError(f"margin: {margin} found; it must be above 0, or no result could show that things are alike")
    return margin
