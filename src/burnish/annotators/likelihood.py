"""The difference of two answers' log-likelihoods under a model: order-free, no head, no pairs to train on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from pydantic import JsonValue

from burnish.algorithms.comparisons import from_difference
from burnish.annotators.resources import Resources
from burnish.annotators.reward import both_sides, paired
from burnish.config import LikelihoodConfig
from burnish.protocols import Score, Scorer
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Artifact, Comparison, Example, Preference


class LikelihoodAnnotator:
    """p_b = sigmoid(log p(b | x) - log p(a | x)), summed over the tokens of an answer and its end.

    `per_token` takes means over the tokens instead: sums prefer what is shorter.
    """

    order_free = True

    def __init__(
        self, scorer: Scorer, model: Artifact, examples: Mapping[str, Example], per_token: bool = False
    ) -> None:
        self.scorer, self.model, self.examples, self.per_token = scorer, model, examples, per_token
        self.fingerprint = model.fingerprint

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as batches of scores complete them; batches are planned over all comparisons."""
        rows = both_sides(comparisons, self.examples)
        known = {row.id for row in rows if row.id.rpartition(":")[0] in done}
        for batch in paired(self.scorer.logprobs(self.model, rows, known)):
            yield [from_difference(id_, self._nats(b) - self._nats(a), "likelihood") for id_, a, b in batch]

    def _nats(self, score: Score) -> float:
        return score.value / score.tokens if self.per_token else score.value


def build(config: LikelihoodConfig, resources: Resources) -> AnnotatorPlan:
    """Take the model as it is or, where there is ground truth, finetune it on the gold answers of half G first."""
    model, truth = resources.model(f"{resources.field}.model"), resources.ground_truth
    finetuned = truth is not None and config.needs_ground_truth(resources.simulated)
    per_token = not finetuned if config.per_token is None else config.per_token
    described: dict[str, JsonValue] = {"kind": "likelihood"}
    if not finetuned or per_token:  # a finetuned judge takes sums unless it is told otherwise
        described["per_token"] = per_token
    if truth is not None and finetuned:
        model = resources.steps.train(model, truth.rows, truth.gold, config.train or truth.train, "judge")
    return AnnotatorPlan(
        order_free=True,
        kind="likelihood",
        config=described,
        inputs={"judge": model},
        over=lambda examples: LikelihoodAnnotator(resources.scorer(), model, examples, per_token),
    )
