"""An annotator that knows the right answers.

If both answers are right or both are wrong, it is a tie. For a row without a right answer it abstains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from pydantic import JsonValue

from burnish.algorithms.comparisons import combined
from burnish.annotators.resources import Resources
from burnish.config import OracleConfig
from burnish.protocols import ExampleGrader, Grader
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.versions import recorded
from burnish.tasks.answers import graded, graders
from burnish.types import Artifact, Comparison, Example, Order, Preference


class OracleAnnotator:
    """Prefers the right answer with full confidence (the upper bound of appendix B).

    On the rows `misled` it prefers the wrong answer (see misled.py).
    """

    fingerprint = "oracle"
    order_free = True

    def __init__(
        self, task: Grader, examples: Mapping[str, Example], misled: AbstractSet[str] = frozenset[str]()
    ) -> None:
        self.task, self.examples, self.misled = task, examples, misled

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield one batch with the preferences that are not done."""
        todo = [comparison for comparison in comparisons if comparison.id not in done]
        grader_of = graders(self.task, self.examples, (side for c in todo for side in (c.a, c.b)), gold=True)
        yield [self._preference(comparison, grader_of(comparison.example_id)) for comparison in todo]

    def _preference(self, comparison: Comparison, grader: ExampleGrader) -> Preference:
        # A column of right answers often has gaps. Without a right answer, both answers would count as wrong, which is
        # a tie. That says more than is known, so the oracle abstains.
        if self.examples[comparison.example_id].reference is None:
            return combined(comparison.id, (Order.AB,), (None,), "oracle")
        right_a, right_b = graded(grader, comparison.a).correct, graded(grader, comparison.b).correct
        p_b = 0.5 + (right_b - right_a) / 2  # 1 if only b is right, 0 if only a is right, else 0.5
        if comparison.example_id in self.misled:
            p_b = 1 - p_b
        return combined(comparison.id, (Order.AB,), (p_b,), "oracle")


def build(config: OracleConfig, resources: Resources) -> AnnotatorPlan:
    """Return the plan of an oracle. The right answers come from the task of an experiment, or from a column of the
    dataset that is refined."""
    if resources.simulated:
        return plan(resources)
    return _plan(resources, {"kind": "oracle", "column": config.column, "task": resources.steps.referee_kind}, {})


def plan(resources: Resources) -> AnnotatorPlan:
    """Return the plan of the oracle of an experiment. It needs no training, and its only input is the data."""
    truth = resources.ground_truth
    assert truth is not None, resources.field
    return _plan(resources, {"kind": "oracle", "task": resources.steps.task_kind}, {"data": truth.rows.data})


def _plan(resources: Resources, config: dict[str, JsonValue], inputs: dict[str, Artifact]) -> AnnotatorPlan:
    return AnnotatorPlan(
        kind="oracle",
        config={**config, **recorded("oracle")},
        inputs=inputs,
        over=lambda examples: OracleAnnotator(resources.steps.referee, examples),
        reads_references=True,
        order_free=True,
    )
