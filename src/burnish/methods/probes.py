"""How far a round's model moved from the SFT model, and whether the annotator likes its answers better."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.annotators import judge
from burnish.artifacts import COMPARISONS, Rows, read_demonstrations
from burnish.config import Decoding
from burnish.methods.setting import Setting
from burnish.stages import Stage, Work
from burnish.store import write_rows
from burnish.types import Artifact, Comparison, DemonstrationSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """A model's own samples, and their log-probabilities under it and under the SFT model."""

    samples: Artifact
    own: Artifact
    reference: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """The SFT model's answers (side a) against a round's (side b), and the annotator's preferences."""

    compared: Artifact
    judged: Artifact


def diverge(setting: Setting, rows: Rows, model: Artifact, reference: Artifact) -> Divergence:
    """Sample one answer a prompt at temperature 1, where samples follow the model's own distribution, and score it
    under both models: KL(model || reference) is the mean difference."""
    steps = setting.steps
    decode = Decoding(beams=1, temperature=1.0, max_new_tokens=setting.decode.max_new_tokens)
    samples = steps.answer(model, rows, decode, "divergence", DemonstrationSource.PROPOSAL)
    return Divergence(
        samples=samples,
        own=steps.score(model, rows, samples, "of a model's own samples"),
        reference=steps.score(reference, rows, samples, "of the SFT model"),
    )


def win(setting: Setting, rows: Rows, answers: Artifact, reference: Artifact) -> Versus:
    """Let the annotator compare a round's held-out answers with the SFT model's; equal texts are not judged."""
    steps = setting.steps
    first = steps.answer(reference, rows, setting.decode, "test", DemonstrationSource.PROPOSAL)

    def run(work: Work) -> None:
        before, after = read_demonstrations(first), read_demonstrations(answers)
        differing = [
            Comparison(example_id=id_, a=before[id_], b=after[id_])
            for id_ in before
            if before[id_].completion != after[id_].completion
        ]
        work.count(rows=len(before), comparisons=write_rows(work.path / COMPARISONS, differing))

    inputs = {"before": first, "after": answers}
    label = f"{steps.label} answers before and after"
    compared = steps.run(Stage(name="versus", version=1, config={}, inputs=inputs, run=run, label=label))
    return Versus(
        compared=compared, judged=judge(steps, setting.annotator, rows, compared, "judgements of held-out answers")
    )
