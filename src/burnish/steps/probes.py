"""Measurements of a round's model: how far it is from the SFT model, and how its answers compare with others."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from burnish.config import Decoding
from burnish.steps.artifacts import COMPARISONS, Rows, read_demonstrations
from burnish.steps.basic import Steps
from burnish.steps.judging import AnnotatorPlan, judge
from burnish.steps.setting import Setting
from burnish.store.files import write_rows
from burnish.store.stages import Work
from burnish.types import Artifact, Comparison, DemonstrationSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """A model's own samples, with their log-probabilities under the model and under the SFT model."""

    samples: Artifact
    own: Artifact
    reference: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """Other answers (side a) compared with a round's answers (side b), and a judge's preferences.

    The other answers are those of the SFT model, which the annotator compares, or the references, which the
    experiment's judge compares.
    """

    compared: Artifact
    judged: Artifact


def diverge(setting: Setting, rows: Rows, model: Artifact, reference: Artifact) -> Divergence:
    """Sample one answer for each prompt, and compute its log-probability under `model` and under `reference`.

    The mean difference of the two estimates KL(model || reference).
    """
    steps = setting.steps
    # At temperature 1 the samples follow the model's own distribution, which the estimate of the KL divergence needs.
    decode = Decoding(beams=1, temperature=1.0, max_new_tokens=setting.decode.max_new_tokens)
    # A purpose of its own gives these samples their own random draws.
    samples = steps.answer(model, rows, decode, "divergence", DemonstrationSource.PROPOSAL)
    return Divergence(
        samples=samples,
        own=steps.score(model, rows, samples, "of a model's own samples"),
        reference=steps.score(reference, rows, samples, "of the SFT model"),
    )


def win(setting: Setting, rows: Rows, answers: Artifact, reference: Artifact) -> Versus:
    """Let the annotator compare a round's held-out answers with those of the SFT model.

    Pairs of equal texts are not judged.
    """
    steps = setting.steps
    # The SFT model's held-out answers are the same stage as in its own measurement, so they are not computed again.
    first = steps.answer(reference, rows, setting.decode, "test", DemonstrationSource.PROPOSAL)
    compared = _compared(steps, first, answers, "answers before and after")
    return Versus(
        compared=compared, judged=judge(steps, setting.annotator, rows, compared, "judgements of held-out answers")
    )


def against_references(steps: Steps, rows: Rows, answers: Artifact, by: AnnotatorPlan) -> Versus:
    """Let a judge compare held-out answers with the references (appendix A.2).

    Pairs of equal texts and empty answers are not judged.
    """
    compared = _compared(steps, steps.gold(rows), answers, "references and answers", skip_empty=True)
    return Versus(compared=compared, judged=judge(steps, by, rows, compared, "judgements against references"))


def _compared(steps: Steps, before: Artifact, after: Artifact, label: str, skip_empty: bool = False) -> Artifact:
    """Pair two sets of answers by example and leave out the pairs that are not judged."""

    def run(work: Work) -> None:
        first, second = read_demonstrations(before), read_demonstrations(after)
        differing = [
            Comparison(example_id=id_, a=first[id_], b=second[id_])
            for id_ in first
            # Equal texts can only tie, and an empty answer can only lose. A judge is not paid to say so.
            if first[id_].completion != second[id_].completion
            and not (skip_empty and not second[id_].completion.strip())
        ]
        work.count(rows=len(first), comparisons=write_rows(work.path / COMPARISONS, differing))

    inputs = {"before": before, "after": after}
    config: dict[str, JsonValue] = {"skip_empty": True} if skip_empty else {}
    return steps.stage("versus", config, inputs, run, label)
