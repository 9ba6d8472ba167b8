"""The cap of a round: how many labels may change, and how mixed annotators share that number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from burnish.errors import ConfigError


def cap(alpha: float, n: int) -> int:
    """Return floor(alpha * n), the number of labels that may change in a round (Algorithm 1, line 13).

    The result is exact for the decimal alpha that the user wrote: in floats 0.29 * 100 is 28.999... Raises ConfigError
    if alpha is not in (0, 1].
    """
    # Written with `not`, the check also refuses NaN, for which every comparison is false.
    if not 0 < alpha <= 1:
        raise ConfigError(f"alpha: {alpha} found; it must be above 0 and at most 1 (the paper uses 0.15)")
    return math.floor(meant(alpha) * n)


def meant(number: float) -> Fraction:
    """Return the simple fraction that a float stands for: 29/100 for 0.29, 1/3 for 1 / 3."""
    # A denominator of up to 10^9 keeps every share with nine decimals and still removes the error of the float, which
    # is about 10^-17.
    return Fraction(number).limit_denominator(10**9)


def split_cap(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split a cap over sources: each gets floor(share * total), and the rest goes to the largest remainders.

    Sources with equal remainders are ordered by name. Raises ConfigError unless the shares lie in [0, 1] and sum to 1.
    """
    if any(not 0 <= share <= 1 for share in shares.values()) or not math.isclose(sum(shares.values()), 1):
        raise ConfigError(f"shares: {dict(shares)} found; each share must be in [0, 1], and they must sum to 1")
    exact = {source: meant(share) for source, share in shares.items()}
    share_sum = sum(exact.values())  # not exactly 1 for shares such as 0.333333 three times
    quota = {source: total * share / share_sum for source, share in exact.items()}
    room = {source: math.floor(part) for source, part in quota.items()}
    # The negative remainder sorts the largest first; the name settles equal remainders.
    by_remainder = sorted(quota, key=lambda source: (room[source] - quota[source], source))
    for source in by_remainder[: total - sum(room.values())]:
        room[source] += 1
    assert sum(room.values()) == total, (room, total)
    return room
