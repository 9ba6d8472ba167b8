"""What sources share that let a model answer the prompt and take its wrong answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from burnish.config import Decoding, OwnSource, WeakerSource
from burnish.perturbations.picking import LeftOut, picked
from burnish.perturbations.resources import SourceResources
from burnish.steps.artifacts import read_samples
from burnish.steps.perturbing import PerturbationPlan, WorseAnswers
from burnish.types import Artifact, DemonstrationSource, Example


def wrong_samples(settings: OwnSource | WeakerSource, model: Artifact, resources: SourceResources) -> PerturbationPlan:
    """Let a model answer each prompt several times, and return the plan of its wrong answers."""
    checker = resources.checker
    assert checker is not None, "the settings say that a checker is needed"
    decode = Decoding(beams=1, temperature=settings.temperature, max_new_tokens=settings.max_new_tokens)
    answers = resources.steps.answer(
        model, resources.rows, decode, "seam", DemonstrationSource.PROPOSAL, samples=settings.samples
    )

    def over(examples: Mapping[str, Example]) -> Iterator[WorseAnswers]:
        samples = read_samples(answers)
        for example in examples.values():
            drawn = samples.get(example.id, [])
            finished = [one.completion for one in drawn if one.finished]
            left_out = Counter({str(LeftOut.CUT): len(drawn) - len(finished)})
            yield picked(example, finished, resources.most, checker, left_out)

    return PerturbationPlan(
        kind=settings.kind,
        config={"kind": settings.kind, "most": resources.most, "checker": checker.reader},
        inputs={"samples": answers},
        over=over,
    )
