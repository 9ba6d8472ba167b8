"""The stages of a tournament: who competes, the comparisons among proposals, and the last one with the label."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from pydantic import JsonValue

from burnish.algorithms.cross_labelling import cross_labelled
from burnish.algorithms.tournaments import Bracket, Contenders, brackets, champion, contenders
from burnish.steps.artifacts import (
    COMPARISONS,
    DEMONSTRATIONS,
    read_demonstrations,
    read_preferences,
    read_samples,
)
from burnish.steps.judging import AnnotatorPlan, judge
from burnish.steps.refining import Parts, numbered, trained_on, write_comparisons
from burnish.steps.setting import Setting
from burnish.store.files import iter_rows, read_rows, write_rows
from burnish.store.stages import Work
from burnish.tasks.answers import matchers
from burnish.types import Accept, Artifact, Comparison, Preference

BRACKETS = "brackets.jsonl"
"""The file with the tournament of each row."""


def contenders_of(setting: Setting, labels: Artifact, samples: Parts) -> dict[str, Contenders]:
    """Read samples, and sort those of each row by whether they differ from its label. The rows are sorted by id."""
    current = read_demonstrations(labels)
    every = dict(sorted((id_, drawn) for part in samples for id_, drawn in read_samples(part).items()))
    answers = chain(chain.from_iterable(every.values()), (current[id_] for id_ in every))
    matcher_of = matchers(setting.steps.task, setting.rows.examples, answers)
    return {id_: contenders(matcher_of(id_), current[id_], drawn) for id_, drawn in every.items()}


def bracket(setting: Setting, labels: Artifact, models: Parts, samples: Parts, per_row: int, number: int) -> Artifact:
    """Choose who competes in each row, within the comparisons that a row and a round may use.

    The stage raises StageError if a model wrote samples for a row that it was trained on.
    """
    seed, budget = setting.steps.seed, setting.comparisons

    def run(work: Work) -> None:
        rows = contenders_of(setting, labels, samples)
        answers = (answer for row in rows.values() for answer in (row.first, *row.differing))
        deque(cross_labelled(trained_on(models), answers), maxlen=0)  # it checks what is taken from it
        found = brackets(rows, per_row, len(rows) if budget == "rows" else budget, seed, number)
        comparisons = sum(len(row.challengers) for row in found)
        work.count(rows=write_rows(work.path / BRACKETS, found), comparisons=comparisons)

    config: dict[str, JsonValue] = {"task": setting.steps.task_kind, "per_row": per_row, "budget": budget}
    # Without a budget nothing is drawn. Then seed and round stay out of the fingerprint.
    if budget is not None:
        config |= {"seed": seed, "round": number}
    inputs = {"labels": labels, **numbered("model", models), **numbered("samples", samples)}
    return setting.steps.stage("bracket", config, inputs, run, f"round {number} bracket")


def bouts(setting: Setting, bracket: Artifact, per_row: int, accept: Accept, number: int) -> tuple[Parts, Parts]:
    """Let the challengers of each row compete, one comparison of each row at a time.

    Returns the stages with the comparisons and those with their judgements.
    """
    compared: Parts = ()
    judged: Parts = ()
    for bout in range(1, per_row):
        pairs = _bout(setting, bracket, judged, bout, accept, number)
        label = f"round {number} judgements of bout {bout}"
        compared += (pairs,)
        judged += (judge(setting.steps, setting.annotator, setting.rows, pairs, label, accept),)
    return compared, judged


def _bout(setting: Setting, bracket: Artifact, judged: Parts, bout: int, accept: Accept, number: int) -> Artifact:
    """Pair the winner so far of each row with its next challenger."""

    def run(work: Work) -> None:
        verdict = _verdicts(judged)

        def pairs() -> Iterator[Comparison]:
            for row in iter_rows(Path(bracket.path) / BRACKETS, Bracket):
                if len(row.challengers) > bout:
                    king = champion(row.challengers[:bout], verdict, accept)
                    yield Comparison(example_id=row.example_id, a=king, b=row.challengers[bout])

        work.count(comparisons=write_rows(work.path / COMPARISONS, pairs()))

    config = _accepting(setting.annotator, accept) | {"bout": bout}
    inputs = {"bracket": bracket, **numbered("judged", judged)}
    return setting.steps.stage("bout", config, inputs, run, f"round {number} bout {bout}")


def last_bout(
    setting: Setting, labels: Artifact, bracket: Artifact, judged: Parts, accept: Accept, number: int
) -> Artifact:
    """Pair each label with the winner of its row's tournament.

    The stage writes what `compare` writes, and the winners as proposals.
    """

    def run(work: Work) -> None:
        current, verdict = read_demonstrations(labels), _verdicts(judged)
        rows = read_rows(Path(bracket.path) / BRACKETS, Bracket)
        winners = [champion(row.challengers, verdict, accept) if row.challengers else row.proposal for row in rows]
        write_rows(work.path / DEMONSTRATIONS, winners)
        paired = ((current[row.example_id], won, row.reason) for row, won in zip(rows, winners, strict=True))
        work.count(rows=len(rows), comparisons=write_comparisons(work, paired))

    inputs = {"labels": labels, "bracket": bracket, **numbered("judged", judged)}
    config = _accepting(setting.annotator, accept)
    return setting.steps.stage("last_bout", config, inputs, run, f"round {number} last bout")


def _verdicts(judged: Parts) -> Callable[[Comparison], Preference]:
    """Return a function that looks up the judgement of a comparison in several stages."""
    stages = [read_preferences(Path(stage.path)) for stage in judged]

    def verdict(comparison: Comparison) -> Preference:
        return next(stage[comparison.id] for stage in stages if comparison.id in stage)

    return verdict


def _accepting(annotator: AnnotatorPlan, accept: Accept) -> dict[str, JsonValue]:
    """Return what the rule of orders adds to a stage's config. An annotator without orders has no such rule."""
    return {} if annotator.order_free else {"accept": str(accept)}
