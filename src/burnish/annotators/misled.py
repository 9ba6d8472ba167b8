"""An oracle that is misled: it names the wrong side on rows that a second model answers wrong.

An annotator of a stated accuracy whose mistakes are systematic. A coin that turns verdicts round would make another
mistake in every round, and a vote over rounds would take it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from burnish.algorithms.refinement import drawn
from burnish.annotators import oracle
from burnish.annotators.oracle import OracleAnnotator
from burnish.annotators.resources import Resources
from burnish.config import MisledOracleConfig
from burnish.steps.artifacts import read_grades
from burnish.steps.judging import AnnotatorPlan
from burnish.types import DemonstrationSource, Example

PURPOSE = "misled"


def misled_rows(right: Mapping[str, bool], accuracy: float | None, seed: int) -> set[str]:
    """Return the rows with wrong verdicts. `right` is {id: whether the second model answers the row right}.

    At most `1 - accuracy` of all rows are misled, or all rows that the model answers wrong if `accuracy` is None.
    """
    wrong = [id_ for id_, is_right in right.items() if not is_right]
    count = len(wrong) if accuracy is None else min(len(wrong), round((1 - accuracy) * len(right)))
    return set(drawn(wrong, count, seed, 0, PURPOSE))


def build(config: MisledOracleConfig, resources: Resources) -> AnnotatorPlan:
    """Return the plan. The second model is finetuned on half G, and answers the prompts of half U."""
    steps, truth = resources.steps, resources.ground_truth
    assert truth is not None, resources.field
    model = resources.model(f"{resources.field}.model")
    model = steps.train(model, truth.rows, truth.gold, config.train or truth.train, "second model")
    answers = steps.answer(model, truth.judged, config.decode or truth.decode, PURPOSE, DemonstrationSource.WEAK)
    grades = steps.grade(truth.judged, answers)
    plan = oracle.plan(resources)

    def over(examples: Mapping[str, Example]) -> OracleAnnotator:
        right = {id_: row.correct for id_, row in read_grades(grades).items()}
        return OracleAnnotator(steps.referee, examples, misled_rows(right, config.accuracy, steps.seed))

    return replace(
        plan,
        kind=config.kind,
        config={**plan.config, "kind": config.kind, "accuracy": config.accuracy, "seed": steps.seed},
        inputs={**plan.inputs, "second_grades": grades},
        over=over,
        # All verdicts are equally sure, so a seeded hash decides which ones fill the cap.
        coarse=True,
    )
