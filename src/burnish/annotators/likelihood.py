"""The difference of two answers' log-likelihoods under a weak model: order-free, no head, no pairs to train on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.annotators.plan import AnnotatorPlan, Supply
from burnish.comparisons import from_difference
from burnish.config import LikelihoodConfig
from burnish.protocols import Backend
from burnish.types import Artifact, Comparison, Example, Preference, TrainingRow


class LikelihoodAnnotator:
    """p_b = sigmoid(log p(b | x) - log p(a | x)), summed over the tokens of an answer and its end."""

    order_free = True

    def __init__(self, backend: Backend, model: Artifact, examples: Mapping[str, Example]) -> None:
        self.backend, self.model, self.examples = backend, model, examples
        self.fingerprint = model.fingerprint

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as batches of scores complete them; batches are planned over all comparisons."""
        rows: list[TrainingRow] = []
        for comparison in comparisons:
            prompt = self.examples[comparison.example_id].prompt
            rows.append(TrainingRow(id=f"{comparison.id}:a", prompt=prompt, completion=comparison.a.completion))
            rows.append(TrainingRow(id=f"{comparison.id}:b", prompt=prompt, completion=comparison.b.completion))
        known = {row.id for row in rows if row.id.rpartition(":")[0] in done}
        scores: dict[str, float] = {}
        for batch in self.backend.logprobs(self.model, rows, known):
            scores.update((score.id, score.value) for score in batch)
            touched = dict.fromkeys(score.id.rpartition(":")[0] for score in batch)
            yield [
                from_difference(id_, scores[f"{id_}:b"] - scores[f"{id_}:a"], "likelihood")
                for id_ in touched
                if f"{id_}:a" in scores and f"{id_}:b" in scores
            ]


def plan(supply: Supply, config: LikelihoodConfig) -> AnnotatorPlan:
    """Finetune the judge on the gold demonstrations of half G, as p~ is."""
    settings = config.train or supply.train
    model = supply.steps.train(supply.bases["annotator"], supply.ground, supply.gold, settings, "judge")
    return AnnotatorPlan(
        kind="likelihood",
        config={"kind": "likelihood"},
        inputs={"judge": model},
        make=lambda rows: LikelihoodAnnotator(supply.steps.backend(), model, rows.prompts_only()),
    )
