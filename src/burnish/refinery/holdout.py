"""The accuracy of the trained models on the prompts that were held out, before and after the refinement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.ledger.summary import HoldoutSummary
from burnish.methods import Round
from burnish.refinery.holding import ASKED, held_ids
from burnish.refinery.job import Job
from burnish.refinery.measuring import Reference
from burnish.results import Metric
from burnish.stats import paired_difference
from burnish.steps.artifacts import Rows, read_demonstrations
from burnish.types import Artifact, DemonstrationSource

PURPOSE = "holdout"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAnswers:
    """The answers to the held-out prompts: those of the model before, and those of the model after."""

    before: Artifact
    after: Artifact


def answer_held(job: Job, rounds: Sequence[Round], model: Artifact) -> HeldAnswers | None:
    """Let the model of round 0 and the delivered `model` answer the held-out prompts, or only plan it.

    Returns None if nothing is held out.
    """
    rows = _asked(job)
    if rows is None:
        return None

    def answers(of: Artifact, number: int) -> Artifact:
        return job.steps.answer(of, rows, job.config.decode, PURPOSE, DemonstrationSource.PROPOSAL, number)

    return HeldAnswers(before=answers(rounds[0].model, 0), after=answers(model, rounds[-1].number))


def _asked(job: Job) -> Rows | None:
    """Return the held-out rows whose prompts are asked, or None if nothing is held out."""
    return None if job.holdout is None else job.every.part(job.holdout, ASKED)


def measured(job: Job, answers: HeldAnswers | None, model: Artifact, reverted: int) -> HoldoutSummary | None:
    """Return how many answers are right before and after. `reverted` rows were taken back before `model` was trained.

    An answer that was cut at the token limit is wrong. Returns None if nothing is held out.
    """
    rows = _asked(job)
    if answers is None or rows is None or job.holdout is None:
        return None
    reference = Reference(rows, job.found.referee.grader)
    before, after = (_right(reference, side) for side in (answers.before, answers.after))
    lost = sum(was and not now for was, now in zip(before, after, strict=True))
    gained = sum(now and not was for was, now in zip(before, after, strict=True))
    return HoldoutSummary(
        prompts=len(before),
        ids=tuple(held_ids(job.holdout)),
        before=Metric.share(sum(before), len(before)),
        after=Metric.share(sum(after), len(after)),
        difference=Metric.of(paired_difference(sum(before) - lost, lost, gained, len(before) - sum(before) - gained)),
        gained=gained,
        lost=lost,
        model=model.fingerprint,
        reverted=reverted,
    )


def _right(reference: Reference, answers: Artifact) -> list[bool]:
    """Say for each held-out prompt, in the order of the ids, whether its answer is right."""
    given = read_demonstrations(answers).along(reference.examples.sorted_keys)
    return [
        reference.right(example, answer) for example, answer in zip(reference.examples.values(), given, strict=True)
    ]
