"""Chooses the rows that get planted pairs. The command `selftest` and the self-test of a refinement choose the same
rows, so the second one finds the answers of the first in the cache."""

from __future__ import annotations

from collections.abc import Iterable

from burnish.algorithms.refinement import drawn


def drawn_ids(ids: Iterable[str], count: int, seed: int) -> list[str]:
    """Return the ids of `count` rows, in the order in which pairs are planted. The draw depends only on the seed and
    the ids."""
    # They are sorted, because a draw is a set, and the order of a set of texts differs between Python processes.
    return sorted(drawn(ids, count, seed, 0, "selftest"))
