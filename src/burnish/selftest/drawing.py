"""Which rows pairs are planted in: the same for the verb `selftest` and for the self-test of a refinement, so that the
second one finds in the cache what the first one asked."""

from __future__ import annotations

from collections.abc import Iterable

from burnish.algorithms.refinement import drawn


def drawn_ids(ids: Iterable[str], count: int, seed: int) -> list[str]:
    """Return the ids of `count` rows, drawn by the seed and the ids alone, in the order in which pairs are planted."""
    return sorted(drawn(ids, count, seed, 0, "selftest"))
