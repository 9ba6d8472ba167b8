"""Which rows get planted pairs. The command `selftest` and the self-test of a refinement use the same rows, so the
second finds in the cache what the first asked."""

from __future__ import annotations

from collections.abc import Iterable

from burnish.algorithms.refinement import drawn


def drawn_ids(ids: Iterable[str], count: int, seed: int) -> list[str]:
    """Return the ids of `count` rows, in the order in which pairs are planted. The draw depends only on the seed and
    the ids."""
    # Sorted, since a draw is a set, and the order of a set of texts changes from one Python process to the next.
    return sorted(drawn(ids, count, seed, 0, "selftest"))
