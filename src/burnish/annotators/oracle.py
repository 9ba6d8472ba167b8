"""Ground truth as a judge: both right or both wrong is a tie; without ground truth it abstains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.comparisons import combined
from burnish.annotators.plan import Supply
from burnish.protocols import Grader, prepare
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Example, Order, Preference


class OracleAnnotator:
    """Prefers the right answer with full confidence (appendix B's upper bound)."""

    fingerprint = "oracle"
    order_free = True

    def __init__(self, task: Grader, examples: Mapping[str, Example]) -> None:
        self.task, self.examples = task, examples

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield the preferences that are not done in one batch."""
        todo = [comparison for comparison in comparisons if comparison.id not in done]
        prepare(self.task, lambda: self.examples, (side for one in todo for side in (one.a, one.b)), gold=True)
        yield [self._one(comparison) for comparison in todo]

    def _one(self, comparison: Comparison) -> Preference:
        example = self.examples[comparison.example_id]
        if example.reference is None:
            return combined(comparison.id, (Order.AB,), (None,), "oracle")
        right_a = self.task.grade(example, comparison.a.completion).correct
        right_b = self.task.grade(example, comparison.b.completion).correct
        p_b = 0.5 + (right_b - right_a) / 2
        return combined(comparison.id, (Order.AB,), (p_b,), "oracle")


def plan(supply: Supply) -> AnnotatorPlan:
    """The oracle needs no training; its only input is the data."""
    return AnnotatorPlan(
        kind="oracle",
        config={"kind": "oracle", "task": supply.steps.task_kind},
        inputs={"data": supply.ground.data},
        make=lambda rows: OracleAnnotator(supply.steps.task, rows.examples()),
    )
