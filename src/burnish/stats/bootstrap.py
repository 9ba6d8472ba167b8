"""The interval of a difference between two methods by a bootstrap over seeds and prompts.

The letters at the end of array names are their axes: S seeds, P prompts, D bootstrap draws.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from burnish.stats.intervals import LEVEL, Interval, paired_difference

# numpy is imported inside the functions: it is slow to import, and most commands compute no statistics.
if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CHUNK = 500
"""How many bootstrap draws are weighted at once. 500 draws x 1,319 prompts x 8 bytes take 5 MB."""
NO_WIDTH = 1e-12
"""An interval that is not wider has no width except for rounding."""


def paired_bootstrap(differences: ArrayLike, draws: int = 10_000, seed: int = 0) -> Interval:
    """Return the mean difference between two methods with its percentile interval.

    `differences` has the shape seeds x prompts. Seeds and prompts are resampled independently of each other (crossed):
    within a draw, all seeds have the same prompts. With one seed only the prompts are resampled. `n` is S x P. Raises
    ValueError if the array is empty or not two-dimensional, or holds a value that is not finite.
    """
    import numpy as np  # noqa: PLC0415 slow to import

    difference_SP = np.asarray(differences, dtype=np.float64)
    if difference_SP.ndim != 2 or difference_SP.size == 0 or not np.isfinite(difference_SP).all():
        raise ValueError(
            f"differences: shape {difference_SP.shape} found; it must be seeds x prompts, finite and not empty"
        )
    value, n = float(difference_SP.mean()), difference_SP.size
    if n == 1:
        return Interval(value=value, low=None, high=None, n=1)
    seeds, prompts = difference_SP.shape
    # A draw is a weighted mean: how often each seed and each prompt was drawn are its weights. This avoids copying the
    # array for each draw.
    mean_D = np.concatenate(
        [
            ((count_DS / seeds @ difference_SP) * (count_DP / prompts)).sum(axis=1)
            for count_DS, count_DP in _resampled(seeds, prompts, draws, seed)
        ]
    )
    low, high = (float(bound) for bound in np.quantile(mean_D, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Interval(value=value, low=low, high=high, n=n)


@functools.lru_cache(maxsize=2)
def _resampled(seeds: int, prompts: int, draws: int, seed: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return chunks of draws: how often each seed and each prompt was drawn, with replacement.

    The result is cached, because drawing takes longer than all the rest and all differences of an experiment have the
    same shape. The counts have 16 bits, so 10,000 draws of 1,319 prompts take 26 MB.
    """
    import numpy as np  # noqa: PLC0415 slow to import

    # multinomial counts are the same as drawing indices with replacement, but smaller.
    generator = np.random.default_rng(seed)
    return [
        (
            generator.multinomial(seeds, [1 / seeds] * seeds, size=size).astype(np.uint16),
            generator.multinomial(prompts, [1 / prompts] * prompts, size=size).astype(np.uint16),
        )
        for size in (min(CHUNK, draws - start) for start in range(0, draws, CHUNK))
    ]


def paired_interval(a: ArrayLike, b: ArrayLike) -> Interval:
    """Return the mean of a minus b with its 95 % interval. Both have the shape seeds x prompts, with values in [0, 1].

    With one seed whose values are all 0 or 1, the interval is Newcombe's for the same prompts (`paired_difference`).
    Otherwise it is the percentile interval of `paired_bootstrap`. A bootstrap over equal differences has no width,
    however few prompts there are. Its place is then taken by Newcombe's interval for one answer to each prompt. Raises
    ValueError as `paired_bootstrap` does.
    """
    import numpy as np  # noqa: PLC0415 slow to import

    a_SP, b_SP = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    whole = all(bool(np.isin(side_SP, (0.0, 1.0)).all()) for side_SP in (a_SP, b_SP))
    if a_SP.ndim == 2 and a_SP.size > 1 and len(a_SP) == 1 and whole:
        return counted_difference(a_SP, b_SP)
    found = paired_bootstrap(a_SP - b_SP)
    if found.low is None or found.high is None or found.high - found.low > NO_WIDTH:
        return found
    return counted_difference(a_SP, b_SP)


def counted_difference(a_SP: NDArray[Any], b_SP: NDArray[Any]) -> Interval:
    """Return the mean of a minus b with Newcombe's interval for P prompts, from the mean counts over seeds."""
    found = paired_difference(*counts_of(a_SP, b_SP))
    value = float((a_SP - b_SP).mean())
    # Rounding to whole prompts must not put the value outside its interval.
    low, high = (value if bound is None else bound for bound in (found.low, found.high))
    return Interval(value=value, low=min(low, value), high=max(high, value), n=a_SP.size)


def counts_of(a_SP: NDArray[Any], b_SP: NDArray[Any]) -> tuple[int, int, int, int]:
    """Return how many prompts both, only b, only a, and neither gets right, as means over seeds, rounded to P in all.

    This is the order in which `paired_difference` takes them for a minus b.
    """
    prompts = a_SP.shape[1]
    both, only_b = (round(prompts * float(share_SP.mean())) for share_SP in (a_SP * b_SP, (1 - a_SP) * b_SP))
    only_a = min(round(prompts * float((a_SP * (1 - b_SP)).mean())), prompts - both - only_b)
    return both, only_b, only_a, prompts - both - only_b - only_a
