"""The difference of two answers' log-likelihoods under a model: order-free, no head, no pairs to train on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.comparisons import from_difference
from burnish.annotators.plan import Supply
from burnish.annotators.reward import both_sides, paired
from burnish.config import LikelihoodConfig
from burnish.protocols import Backend, Score
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Artifact, Comparison, Example, Preference


class LikelihoodAnnotator:
    """p_b = sigmoid(log p(b | x) - log p(a | x)), summed over the tokens of an answer and its end.

    `per_token` takes means over the tokens instead: sums prefer what is shorter.
    """

    order_free = True

    def __init__(
        self, backend: Backend, model: Artifact, examples: Mapping[str, Example], per_token: bool = False
    ) -> None:
        self.backend, self.model, self.examples, self.per_token = backend, model, examples, per_token
        self.fingerprint = model.fingerprint

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as batches of scores complete them; batches are planned over all comparisons."""
        rows = both_sides(comparisons, self.examples)
        known = {row.id for row in rows if row.id.rpartition(":")[0] in done}
        for batch in paired(self.backend.logprobs(self.model, rows, known)):
            yield [from_difference(id_, self._nats(b) - self._nats(a), "likelihood") for id_, a, b in batch]

    def _nats(self, score: Score) -> float:
        return score.value / score.tokens if self.per_token else score.value


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
