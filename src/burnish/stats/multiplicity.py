"""Control of false findings over a list of tests."""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-value of each test, in the order given.

    To reject the tests whose adjusted value is at most q keeps the expected share of false ones among the rejected at
    most q (Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 1995, p. 289). This holds for
    independent tests, and for tests with positive regression dependency (Benjamini and Yekutieli, Annals of Statistics
    29, 2001, p. 1165). Raises ValueError if a value lies outside [0, 1].
    """
    if not all(0.0 <= p <= 1.0 for p in p_values):
        raise ValueError(f"{list(p_values)}: a p-value lies between 0 and 1")
    n = len(p_values)
    adjusted, least = [1.0] * n, 1.0
    # From the largest to the smallest: an adjusted value is at most that of each test with a larger p-value.
    for rank, place in reversed(list(enumerate(sorted(range(n), key=lambda place: p_values[place]), 1))):
        least = min(least, p_values[place] * n / rank)
        adjusted[place] = least
    return adjusted
