"""What stages of scores share: numbers that are no numbers are refused, and rows that do not fit can be left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol, runtime_checkable

from burnish.errors import DataError
from burnish.protocols import Score, Scorer
from burnish.types import Artifact, TrainingRow


@runtime_checkable
class KnowsFit(Protocol):
    """A scorer that knows which rows fit into a model. It is an optional ability: others refuse a row when they score
    it."""

    def fitting(self, model: Artifact, rows: Sequence[TrainingRow]) -> AbstractSet[str]:
        """Return the ids of the rows whose prompt, completion and end fit into the model."""
        ...


def rows_that_fit(scorer: Scorer, model: Artifact, rows: Sequence[TrainingRow]) -> Sequence[TrainingRow]:
    """Return the rows that fit into the model, in their order. A scorer that does not know it gets all of them."""
    if not isinstance(scorer, KnowsFit):
        return rows
    fits = scorer.fitting(model, rows)
    return [row for row in rows if row.id in fits]


def finite(batch: Sequence[Score], who: str) -> Sequence[Score]:
    """Return the scores. Raises DataError if one is NaN or infinite, which a file of JSON cannot hold.

    `who` gives the number, as in "the policy gives the log-probability".
    """
    for score in batch:
        if not math.isfinite(score.value):
            raise DataError(
                f"answer {score.id}: {who} {score.value}; the model is damaged, or its number format is too small for "
                "it (try dtype: float32)"
            )
    return batch
