"""Scores DPO pairs as the released code does: every score is 0.5 except for rounding, whatever the annotator thinks.

The file experiments/dpo.py of the released code (lines 115 and 116) does not swap the answers in the prompts of the
swapped order. It then averages P(B) of one prompt with P(A) of the other, which is the same prompt. P(A) + P(B) is 1,
so that only the rounding of two floats is left.
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
"""Half the distance between two neighbouring float32 numbers from 0.5 to 1. Averaging P(B) and 1 - P(B) leaves an error
of at most this size."""


class UnswappedAnnotator:
    """Prefers by the sign of a rounding error. Here the error is drawn from a hash of the comparison, so that nothing
    has to be scored."""

    fingerprint = "unswapped"
    order_free = True

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield one batch with the preferences that are not done."""
        yield [self._preference(comparison) for comparison in comparisons if comparison.id not in done]

    def _preference(self, comparison: Comparison) -> Preference:
        # It is uniform in [0, 1]. So the error below is between -ROUNDING and +ROUNDING, and both signs are equally
        # frequent.
        uniform = int(short_hash("rounding", comparison.id), 16) / 2**64
        return combined(comparison.id, (Order.AB,), (0.5 + ROUNDING * (2 * uniform - 1),), "unswapped")


def unswapped(annotator: AnnotatorPlan) -> AnnotatorPlan:
    """Return a plan that loses every score. Its inputs stay those of `annotator`, because the released code computes
    them, too."""

    def over(examples: Mapping[str, Example]) -> Annotator:
        # It does not use the examples, but the plan's function takes them.
        return UnswappedAnnotator()

    return dataclasses.replace(
        annotator,
        kind="unswapped",
        config={"kind": "unswapped", "annotator": dict(annotator.config)},
        over=over,
        reads_references=False,
        order_free=True,
        members=(),
        routing=None,
        # There is only one annotator now, so there are no shares of the cap.
        shares=None,
    )
