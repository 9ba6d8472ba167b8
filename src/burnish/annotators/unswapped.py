"""What the released code's scoring of DPO pairs amounts to: 0.5 up to rounding, whatever the annotator thinks.

Its experiments/dpo.py (lines 115 and 116) builds the prompts of the swapped order unswapped and then averages P(B) of
the one with P(A) of the other, which is P(A) of the same prompt. What is left is the rounding of two floats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.comparisons import combined
from burnish.protocols import Annotator
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Example, Order, Preference, short_hash

ROUNDING = 2.0**-24
"""Half the distance of neighbouring float32 numbers around 0.5 to 1: what averaging P(B) and 1 - P(B) leaves."""


class UnswappedAnnotator:
    """Prefers by the sign of a rounding error, here drawn from a hash of the comparison: nothing needs to be scored."""

    fingerprint = "unswapped"
    order_free = True

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield the preferences that are not done in one batch."""
        yield [self._one(comparison) for comparison in comparisons if comparison.id not in done]

    def _one(self, comparison: Comparison) -> Preference:
        uniform = int(short_hash("rounding", comparison.id), 16) / 2**64
        return combined(comparison.id, (Order.AB,), (0.5 + ROUNDING * (2 * uniform - 1),), "unswapped")


def unswapped(annotator: AnnotatorPlan) -> AnnotatorPlan:
    """Return the plan with every score lost; what it was made from stays, since the released code pays for it."""

    def over(examples: Mapping[str, Example]) -> Annotator:
        return UnswappedAnnotator()

    return dataclasses.replace(
        annotator,
        kind="unswapped",
        config={"kind": "unswapped", "annotator": dict(annotator.config)},
        over=over,
        reads_references=False,
        order_free=True,
        members=(),
        shares=None,
    )
