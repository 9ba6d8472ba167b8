"""Worse answers from similar prompts: their gold answers, which do not fit here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from burnish.algorithms.comparisons import request_text
from burnish.algorithms.similarity import neighbours, word_vectors
from burnish.config import ContrastSource, EmbeddingDiffers
from burnish.perturbations.picking import LeftOut, picked
from burnish.perturbations.resources import EmbeddedBy, SourceResources
from burnish.steps.perturbing import PerturbationPlan, WorseAnswers
from burnish.types import Example

BY_WORDS = EmbeddedBy(config={"kind": "words"}, vectors=word_vectors)
"""The vectors that need no model."""


def build(settings: ContrastSource, resources: SourceResources) -> PerturbationPlan:
    """Return the plan of gold answers of similar prompts."""
    embedder = settings.embedder
    if isinstance(embedder, str):
        embedder = EmbeddingDiffers(kind="embedding", model=embedder)
    by = BY_WORDS if embedder is None else resources.embedded_by(embedder)
    checker = resources.checker

    def over(examples: Mapping[str, Example]) -> Iterator[WorseAnswers]:
        rows = list(examples.values())
        if not rows:
            return
        vectors = by.vectors([request_text(row.prompt) for row in rows])
        for row, near in zip(rows, neighbours(vectors), strict=True):
            # A prompt that is asked twice has its own gold answer as a neighbour's.
            others = [(rows[place], cosine) for place, cosine in near if rows[place].group != row.group]
            fit = [other.reference or "" for other, cosine in others if cosine <= settings.max_cosine]
            left_out = Counter({str(LeftOut.TOO_SIMILAR): len(others) - len(fit)})
            yield picked(row, fit, resources.most, checker, left_out)

    return PerturbationPlan(
        kind=settings.kind,
        config={
            "kind": settings.kind,
            "embedder": dict(by.config),
            "max_cosine": settings.max_cosine,
            "most": resources.most,
            "checker": None if checker is None else checker.reader,
        },
        inputs=by.inputs,
        over=over,
        outside=by.outside,
    )
