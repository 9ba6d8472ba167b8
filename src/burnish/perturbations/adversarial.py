"""Worse answers by edits of the gold answer."""

from __future__ import annotations

from burnish.algorithms.edits import edits
from burnish.config import AdversarialSource, Distrust, EditKind
from burnish.perturbations.picking import picked
from burnish.perturbations.resources import Checker, SourceResources
from burnish.protocols import Executes
from burnish.steps.basic import Steps
from burnish.steps.perturbing import PerturbationPlan
from burnish.types import AnswerKind, Example

_PROBE = Example(id="", group="", prompt=())


def build(settings: AdversarialSource, resources: SourceResources) -> PerturbationPlan:
    """Return the plan of edits. If there is a checker, an edit after which the answer is still right is not taken."""
    checker = resources.checker
    kind = edit_kind(checker) if settings.edits == "auto" else settings.edits
    return _plan(settings.kind, kind, resources.most, resources.steps.seed, checker)


def of_proposals(settings: Distrust, steps: Steps) -> PerturbationPlan:
    """Return the plan of edits of proposals, which stand in the place of gold answers.

    An edit that leaves the proposal's final answer as it was is not taken. Where answers must be executed to compare
    them, every edit is taken.
    """
    task = Checker(kind=steps.learned_kind, reader=steps.task_kind, grader=steps.task)
    kind = edit_kind(task) if settings.edits == "auto" else settings.edits
    return _plan(
        "edits of proposals", kind, settings.worse, steps.seed, None if isinstance(steps.task, Executes) else task
    )


def _plan(name: str, kind: EditKind, most: int, seed: int, checker: Checker | None) -> PerturbationPlan:
    return PerturbationPlan(
        kind=name,
        config={
            "kind": name,
            "edits": str(kind),
            "most": most,
            "seed": seed,
            "checker": None if checker is None else checker.reader,
        },
        over=lambda examples: (
            picked(example, edits(example.reference or "", kind, f"{seed} {example.id}"), most, checker)
            for example in examples.values()
        ),
    )


def edit_kind(checker: Checker | None) -> EditKind:
    """Return what is edited if the settings do not say it: what the checker of the task reads."""
    if checker is None:
        return EditKind.WORDS
    if checker.kind == "text_to_sql":
        return EditKind.SQL
    # A checker that finds a number in this text compares numbers.
    found = checker.grader.on(_PROBE).extract("so 3 + 4 = 7\n#### 7")
    return EditKind.NUMBERS if found is not None and found.kind is AnswerKind.NUMBER else EditKind.WORDS
