"""One part of a stage that is cut into several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Part `number` of `count`, counted from 0."""

    number: int
    count: int

    def of(self, batches: Sequence[T]) -> Sequence[T]:
        """Return the batches of this part. Those of part 0 come first, so that all parts in their order are the whole.

        Batches have about the same number of tokens, so the parts take about the same time.
        """
        first, last = (len(batches) * number // self.count for number in (self.number, self.number + 1))
        return batches[first:last]
