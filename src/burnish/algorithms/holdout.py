"""Which rows are held out: those of some prompts with a reference, drawn by hash. No model is trained on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from burnish.algorithms.refinement import drawn
from burnish.errors import DataError

LEAST_LEFT = 20
"""So many prompts with a reference must be left, so that the accuracy of the labels can be measured, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOfPrompt:
    """A row, the group of rows that have its prompt, and whether it has a reference."""

    id: str
    group: str
    referenced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The ids of all rows, each in one of three lists.

    `asked` has one row for each held-out prompt, with a reference. `beside` has the other rows of these prompts. `kept`
    has the rows that are refined.
    """

    asked: tuple[str, ...]
    beside: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def rows(self) -> int:
        """The number of rows that are held out."""
        return len(self.asked) + len(self.beside)


def held_out(rows: Iterable[RowOfPrompt], count: int, seed: int) -> HeldOut:
    """Hold out `count` prompts that have a reference, with all of their rows.

    Rows of one prompt stay together: a model that learned the answer of one of them knows the others by heart. A prompt
    is asked once, so that all answers are independent, for the row with the first id among those with a reference.

    Raises DataError if fewer than LEAST_LEFT prompts with a reference would be left.
    """
    every = list(rows)
    first: dict[str, str] = {}
    for row in every:
        if row.referenced:
            first[row.group] = min(row.id, first.get(row.group, row.id))
    if len(first) < count + LEAST_LEFT:
        most = len(first) - LEAST_LEFT
        fix = f"hold out at most {most:,}, or give" if most > 0 else "leave it out, or give"
        raise DataError(
            f"holdout: {count:,} found, but only {len(first):,} different prompts have a reference, and {LEAST_LEFT} "
            f"of them must be left; {fix} more rows a reference"
        )
    groups = drawn(first, count, seed, 0, "holdout")
    asked = {first[group] for group in groups}
    return HeldOut(
        asked=tuple(row.id for row in every if row.id in asked),
        beside=tuple(row.id for row in every if row.group in groups and row.id not in asked),
        kept=tuple(row.id for row in every if row.group not in groups),
    )
