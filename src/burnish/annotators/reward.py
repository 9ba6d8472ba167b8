"""A reward model in TRL's form as an annotator. It gives one number for each answer, so that the order does not
matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, groupby, islice

import numpy as np
from numpy.typing import NDArray

from burnish.algorithms.comparisons import abstentions, from_difference
from burnish.annotators.resources import Resources
from burnish.config import RewardModelConfig
from burnish.protocols import Annotator, Score, Scorer
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.versions import recorded
from burnish.store.keyed_rows import AT_ONCE, LazyRows, rows_of
from burnish.store.keys import KeySet
from burnish.types import Artifact, Comparison, Example, Preference, TrainingRow

KIND = "reward_model"


class RewardAnnotator:
    """Judges by p_b = sigmoid(r(x, b) - r(x, a)). This is the Bradley-Terry model, with which reward models are
    trained."""

    order_free = True

    def __init__(self, scorer: Scorer, model: Artifact, examples: Mapping[str, Example]) -> None:
        self.scorer, self.model, self.examples = scorer, model, examples
        self.fingerprint = model.fingerprint

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield a preference as soon as both of its answers have rewards. If one of them is too long for the model, it
        is an abstention."""
        # Done comparisons are passed on, too. Batches are planned over all of them, so a resumed run has the same ones.
        rows, judged = both_sides(comparisons, self.examples), set(done)
        for batch in paired(self.scorer.rewards(self.model, rows, known_rows(rows, done))):
            judged.update(id_ for id_, _, _ in batch)
            yield [from_difference(id_, b.value - a.value, KIND) for id_, a, b in batch]
        if rest := abstentions(comparisons, judged, KIND):
            yield rest


def both_sides(comparisons: Sequence[Comparison], examples: Mapping[str, Example]) -> Sequence[TrainingRow]:
    """Return each answer of each comparison as a row to score. The ids of the rows end in `:a` and `:b`.

    A row is made when it is asked for.
    """

    def pairs(chosen: Iterator[Comparison]) -> Iterator[tuple[TrainingRow, TrainingRow]]:
        while some_chosen := list(islice(chosen, AT_ONCE)):
            prompts = rows_of(examples, [comparison.example_id for comparison in some_chosen])
            for comparison, example in zip(some_chosen, prompts, strict=True):
                id_, prompt = comparison.id, example.prompt
                yield (
                    TrainingRow(id=f"{id_}:a", prompt=prompt, completion=comparison.a.completion),
                    TrainingRow(id=f"{id_}:b", prompt=prompt, completion=comparison.b.completion),
                )

    def some(places: NDArray[np.int64] | None) -> Iterator[TrainingRow]:
        if places is None:
            yield from chain.from_iterable(pairs(iter(comparisons)))
            return
        # Both sides of a comparison are mostly asked for one after the other. Then it is read once.
        numbers: list[int] = places.tolist()
        runs = [(number, list(run)) for number, run in groupby(numbers, lambda place: place // 2)]
        for (_, run), sides in zip(runs, pairs(comparisons[number] for number, _ in runs), strict=True):
            yield from (sides[place % 2] for place in run)

    return LazyRows(2 * len(comparisons), some)


def known_rows(rows: Sequence[TrainingRow], done: AbstractSet[str]) -> AbstractSet[str]:
    """Return the ids of the rows whose comparison is done."""
    return KeySet(row.id for row in rows if row.id.rpartition(":")[0] in done) if done else frozenset()


def paired(batches: Iterator[Sequence[Score]]) -> Iterator[list[tuple[str, Score, Score]]]:
    """For each batch, yield (comparison id, score of a, score of b) of the comparisons that the batch completes."""
    scores: dict[str, Score] = {}
    for batch in batches:
        scores.update((score.id, score) for score in batch)
        # It is a dict and not a set, because a dict keeps the order. So the same scores give the same file.
        touched = dict.fromkeys(score.id.rpartition(":")[0] for score in batch)
        yield [
            # A score is dropped as soon as it is used, since there are two for each comparison.
            (id_, scores.pop(f"{id_}:a"), scores.pop(f"{id_}:b"))
            for id_ in touched
            if f"{id_}:a" in scores and f"{id_}:b" in scores
        ]


def build(config: RewardModelConfig, resources: Resources) -> AnnotatorPlan:
    """Return the plan of a reward model. The model is used without training."""
    model = resources.model(f"{resources.field}.model")

    def made(examples: Mapping[str, Example], scorer: Scorer) -> Annotator:
        return RewardAnnotator(scorer, model, examples)

    return AnnotatorPlan(
        order_free=True,
        kind=config.kind,
        config={"kind": config.kind, **recorded(config.kind)},
        inputs={"judge": model},
        over=lambda examples: made(examples, resources.scorer()),
        scored=made,
    )
