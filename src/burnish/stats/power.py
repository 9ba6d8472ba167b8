"""How many seeds a paired comparison needs, and which power a number of seeds gives."""

from __future__ import annotations

import math

LEVEL, WANTED = 0.05, 0.8
"""The level of a two-sided test, and the power that is usually wanted."""
MOST_SEEDS = 1000
"""More seeds than this are not looked for: the difference cannot be told apart."""

_QUANTILES = 2000
"""So many quantiles give three digits."""


def paired_power(effect: float, deviation: float, seeds: int, level: float = LEVEL) -> float:
    """Return the power of the two-sided paired t test: the chance that it finds an effect of this size.

    `deviation` is the standard deviation of the paired differences over seeds, in the same units as `effect`. Raises
    ValueError for fewer than two seeds or a deviation of 0 or less.
    """
    import numpy as np  # noqa: PLC0415 slow to import, as scipy is
    from scipy.stats import chi2, norm, t  # noqa: PLC0415

    if seeds < 2 or deviation <= 0:
        raise ValueError(f"{seeds} seeds and deviation {deviation}: give at least 2 seeds and a deviation above 0")
    shift, freedom = effect / deviation * math.sqrt(seeds), seeds - 1
    bound = float(t.ppf(1 - level / 2, freedom))
    # scipy's noncentral t gives NaN far from its middle. So this is a mean over quantiles of the estimated deviation.
    spread_Q = np.sqrt(chi2.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES, freedom) / freedom)
    found_Q = norm.sf(bound * spread_Q - shift) + norm.cdf(-bound * spread_Q - shift)
    return float(found_Q.mean())


def seeds_needed(effect: float, deviation: float, power: float = WANTED, level: float = LEVEL) -> int | None:
    """Return the smallest number of seeds with this power, or None if it is more than MOST_SEEDS."""
    if paired_power(effect, deviation, MOST_SEEDS, level) < power:
        return None
    # More seeds give more power, so the smallest number is found by halving.
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if paired_power(effect, deviation, middle, level) >= power else (middle, high)
    return high


def deviation_of(half_width: float, seeds: int) -> float:
    """Return the standard deviation of paired differences from half the width of their 95 % t interval over seeds."""
    from scipy.stats import t  # noqa: PLC0415 slow to import

    return half_width / float(t.ppf(1 - LEVEL / 2, seeds - 1)) * math.sqrt(seeds)
