"""Intervals of one proportion, one mean, one ratio, and of the difference of two proportions on the same items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
"""The confidence level of all intervals."""
Z95 = 1.959963984540054
"""The 0.975 quantile of the normal distribution."""

NO_SPREAD = 1e-12
"""Values that differ by no more are equal except for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its 95 % bounds.

    The bounds are None where a single value, or equal ones, tell nothing about the spread. `n` is the number of items
    that the estimate is taken over.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Both bounds as (low, high), or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def wilson(successes: int, n: int, z: float = Z95) -> Interval:
    """Return a proportion with its Wilson score interval. `z` is the normal quantile of the level: Z95 for 95 %.

    Raises ValueError unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n} give no proportion; needed are 0 <= successes <= n and n > 0")
    # Wilson's interval stays inside [0, 1] and has a width even if all or none are successes.
    # By the same formula as in scipy.stats, which takes half a second to import.
    share, whole = successes / n, 2 * (n + z**2)
    middle = (2 * n * share + z**2) / whole
    half = z / whole * math.sqrt(4 * n * share * (1 - share) + z**2)
    low, high = middle - half if successes else 0.0, middle + half if successes < n else 1.0
    return Interval(value=share, low=low, high=high, n=n)


def stratified_share(strata: Sequence[tuple[float, int, int]]) -> Interval:
    """Return a share among all items that is estimated from several strata, with an interval by the method MOVER.

    Each stratum is (the number of items that it stands for, successes, items that were looked at). The interval joins
    Wilson's bounds of the strata (Zou & Donner, Statistics in Medicine 27, 2008, p. 1693). With one stratum it is
    Wilson's. Raises ValueError if there is no stratum, or if one stands for nothing or has no proportion.
    """
    total = math.fsum(weight for weight, _, _ in strata)
    if not strata or min(weight for weight, _, _ in strata) <= 0:
        raise ValueError(f"{list(strata)}: these strata give no share; each must stand for some items")
    parts = [(weight / total, wilson(successes, n)) for weight, successes, n in strata]
    value = math.fsum(weight * part.value for weight, part in parts)
    # Wilson's interval always has bounds.
    down = math.fsum((weight * (part.value - (part.low or 0.0))) ** 2 for weight, part in parts)
    up = math.fsum((weight * ((part.high or 0.0) - part.value)) ** 2 for weight, part in parts)
    low, high = max(value - math.sqrt(down), 0.0), min(value + math.sqrt(up), 1.0)
    return Interval(value=value, low=low, high=high, n=sum(n for _, _, n in strata))


def harm_bound(harmed: int, sampled: int, changes: int, level: float) -> float:
    """Return an upper bound on the share of harmed changes, at confidence `level`.

    `harmed` of `sampled` changes, which were drawn at random from all `changes`, were found harmed. The bound is the
    one-sided bound of Clopper and Pearson. If all changes were judged, the share itself is returned; without any
    changes it is 0. Raises ValueError unless harmed <= sampled <= changes, and if there are changes but none was
    sampled.
    """
    from scipy.stats import beta  # noqa: PLC0415 slow to import

    if not 0 <= harmed <= sampled <= changes or (changes and not sampled):
        raise ValueError(f"{harmed} harmed of {sampled} judged of {changes} changes give no bound")
    if sampled == changes:
        return harmed / changes if changes else 0.0
    # beta.ppf has no value for a second parameter of 0, where the bound is 1.
    return 1.0 if harmed == sampled else float(beta.ppf(level, harmed + 1, sampled - harmed))


def paired_difference(both: int, first_only: int, second_only: int, neither: int, z: float = Z95) -> Interval:
    """Return the share of items that the second of two methods gets right, minus that of the first, on the same items.

    The arguments count the items that both, only the first, only the second, or neither gets right. The bounds are
    those of Newcombe's method 10 (Statistics in Medicine 17, 1998, p. 2635): Wilson's bounds of both shares, joined by
    their correlation phi with its continuity correction. `z` is the normal quantile of the level: Z95 for 95 %. Raises
    ValueError if a count is below 0 or there is no item.
    """
    n = both + first_only + second_only + neither
    if min(both, first_only, second_only, neither) < 0 or n == 0:
        raise ValueError(f"{both}, {first_only}, {second_only}, {neither}: these counts give no difference")
    first, second = wilson(both + first_only, n, z), wilson(both + second_only, n, z)
    bounds = (first.low, first.high, second.low, second.high)
    low_1, high_1, low_2, high_2 = (bound or 0.0 for bound in bounds)
    spread = math.sqrt((both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither))
    product = both * neither - first_only * second_only
    # The correction moves a positive correlation towards 0, so that the interval does not become too short.
    corrected = max(product - n / 2, 0.0) if product > 0 else product
    phi = corrected / spread if spread else 0.0

    def reach(down: float, up: float) -> float:
        # max: rounding may leave a tiny negative number
        return math.sqrt(max(down**2 - 2 * phi * down * up + up**2, 0.0))

    value = (second_only - first_only) / n
    low = value - reach(second.value - low_2, high_1 - first.value)
    return Interval(value=value, low=low, high=value + reach(high_2 - second.value, first.value - low_1), n=n)


def median_interval(values: Sequence[float]) -> Interval:
    """Return a median with the bounds that the order of the values gives: no form of their distribution is assumed.

    The bounds are two of the values, with a confidence of at least 95 % (Conover, Practical Nonparametric Statistics,
    3rd edition, section 3.2). Fewer than six values have no bounds. Raises ValueError if there are no values or one is
    not finite.
    """
    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"{list(values)}: these values have no median; give at least one, all of them finite")
    ordered = sorted(values)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    # The number of values below the median is binomial with p = 1/2. `below` is P(that number < rank) * 2**n. It may be
    # at most (1 - LEVEL) / 2 = 1 / 40 of 2**n. In whole numbers, because 2**n is too large for a float.
    below, rank, term = 0, 0, 1
    while 40 * (below + term) <= 2**n:
        below, rank, term = below + term, rank + 1, term * (n - rank) // (rank + 1)
    low, high = (None, None) if rank == 0 else (ordered[rank - 1], ordered[n - rank])
    return Interval(value=middle, low=low, high=high, n=n)


def mean_interval(values: Sequence[float]) -> Interval:
    """Return a mean, usually over seeds, with its t interval.

    A single value has no bounds. Equal values have none either: an interval without width would say that chance plays
    no part. Raises ValueError if there are no values or one is not finite.
    """
    from scipy.stats import t  # noqa: PLC0415 slow to import

    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"{list(values)}: these values have no mean; give at least one, all of them finite")
    mean = math.fsum(values) / n
    if n == 1 or max(values) - min(values) <= NO_SPREAD:
        return Interval(value=mean, low=None, high=None, n=n)
    # n - 1: the mean is estimated from the same values.
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    # Student's t and not the normal distribution: there are only a few seeds.
    reach = float(t.ppf((1 + LEVEL) / 2, n - 1)) * math.sqrt(variance / n)
    return Interval(value=mean, low=mean - reach, high=mean + reach, n=n)


def share_interval(shares: Sequence[float]) -> Interval:
    """Return a mean of shares, usually over seeds, with its t interval cut to [0, 1]. A single share has no bounds,
    and equal ones have none.

    The true mean of shares lies in [0, 1], so the cut takes away only what cannot be true, and the interval covers as
    often as before. Raises ValueError as `mean_interval` does.
    """
    found = mean_interval(shares)
    low, high = (None if bound is None else min(max(bound, 0.0), 1.0) for bound in (found.low, found.high))
    return Interval(value=found.value, low=low, high=high, n=found.n)


def share_over_items(shares: Sequence[float]) -> Interval:
    """Return a mean of shares over independent items, such as prompts or pairs.

    The interval is Wilson's if all values are 0 or 1, else a t interval that is cut to [0, 1]. Equal values have no
    spread, but that does not prove that other items would give the same. At most a share h of all items can differ,
    where h is Wilson's upper bound for 0 of n, and those items can have any value in [0, 1]. Raises ValueError if there
    are no values.
    """
    n = len(shares)
    if shares and set(shares) <= {0.0, 1.0}:
        # A t interval has no width if all values are 0 or all are 1.
        return wilson(sum(share == 1.0 for share in shares), n)
    if len(set(shares)) == 1:
        # A share `otherwise` of the items could have the value 0 or 1. This gives the two bounds.
        value, otherwise = shares[0], wilson(0, n).high or 0.0
        return Interval(value=value, low=value * (1 - otherwise), high=value + (1 - value) * otherwise, n=n)
    return share_interval(shares)


def shares_interval(shares: Sequence[float], n: int) -> Interval:
    """Return the mean of shares that several trainings reach on the same `n` prompts, with Wilson's interval for `n`.

    Other prompts are the only noise in it. More trainings do not make it shorter, because they answer the same prompts.
    The number of successes may be a fraction: the lower bound is then that of the whole number below it, and the upper
    bound that of the one above it. Raises ValueError if there are no shares, or as `wilson` does.
    """
    if not shares:
        raise ValueError("no shares are given; give at least one")
    value = math.fsum(shares) / len(shares)
    # Rounded first: 0.28 * 25 is 7.000000000000001 in floats.
    successes = round(value * n, 6)
    low, high = wilson(math.floor(successes), n).low, wilson(math.ceil(successes), n).high
    return Interval(value=value, low=low, high=high, n=n)


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Return sum(numerators) / sum(denominators) with a t interval by linearisation (the delta method).

    Use it for a mean per token from sums per sequence. The sequences are the independent items, and `n` is their
    number. Raises ValueError if the lists are empty or of unequal length, or if a denominator is not above 0.
    """
    if not numerators or len(numerators) != len(denominators) or min(denominators) <= 0:
        raise ValueError(
            f"{len(numerators)} numerators and {len(denominators)} denominators give no ratio; give as many of each, "
            "at least one, and only denominators above 0"
        )
    ratio = math.fsum(numerators) / math.fsum(denominators)
    mean = math.fsum(denominators) / len(denominators)
    # To first order the ratio's error is the mean of these residuals. Their mean is 0, so their bounds are distances
    # from the ratio.
    spread = mean_interval([(a - ratio * b) / mean for a, b in zip(numerators, denominators, strict=True)])
    low, high = (None if bound is None else ratio + bound for bound in (spread.low, spread.high))
    return Interval(value=ratio, low=low, high=high, n=spread.n)
