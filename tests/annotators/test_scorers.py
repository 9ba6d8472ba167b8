"""Annotators that score need a scorer and nothing else: an object that cannot train or generate is enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import pytest

from burnish.annotators.classifier import ClassifierAnnotator
from burnish.annotators.likelihood import LikelihoodAnnotator
from burnish.annotators.reward import RewardAnnotator
from burnish.backends.fake import FakeBackend
from burnish.protocols import Annotator, Backend, Generator, RowKey, Score, Scorer, Trainer
from burnish.types import (
    Artifact,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    PairRow,
    TrainingRow,
    Verdict,
)

MODEL = Artifact(path="", kind="base", fingerprint="m")
EXAMPLES = {"e": Example(id="e", group="e", prompt=())}


class OnlyScores:
    """Prefers the longer answer; it has no other method than those of a scorer."""

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        yield [Score(id=row.id, value=float(len(row.completion)), tokens=1) for row in rows]

    def classify(
        self, model: Artifact, rows: Sequence[PairRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        yield [Score(id=row.id, value=float(len(row.second) > len(row.first)), tokens=1) for row in rows]

    def rewards(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        return self.logprobs(model, rows, done)


SCORER: Scorer = OnlyScores()
ANNOTATORS: list[Annotator] = [
    LikelihoodAnnotator(SCORER, MODEL, EXAMPLES),
    ClassifierAnnotator(SCORER, MODEL, EXAMPLES),
    RewardAnnotator(SCORER, MODEL, EXAMPLES),
]


@pytest.mark.parametrize("annotator", ANNOTATORS, ids=lambda one: type(one).__name__)
def test_a_scorer_alone_serves_an_annotator(annotator: Annotator) -> None:
    short, long = (
        Demonstration(example_id="e", completion=text, source=DemonstrationSource.GIVEN) for text in ("7", "777")
    )
    pair = Comparison(example_id="e", a=short, b=long)
    ((preference,),) = annotator.judge([pair], frozenset())
    assert (preference.comparison_id, preference.verdict) == (pair.id, Verdict.B)


def test_one_object_can_do_all_three() -> None:
    whole: Backend = FakeBackend({})
    trainer: Trainer = whole
    generator: Generator = whole
    scorer: Scorer = whole
    assert trainer is generator is scorer
