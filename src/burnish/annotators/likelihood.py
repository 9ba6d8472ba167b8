"""An annotator that compares the log-likelihoods of two answers under a language model.

It does not depend on the order of the answers, and it needs neither a head nor pairs to train on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from pydantic import JsonValue

from burnish.algorithms.comparisons import from_difference
from burnish.annotators.resources import Resources
from burnish.annotators.reward import both_sides, known_rows, paired
from burnish.config import LikelihoodConfig
from burnish.protocols import Annotator, Score, Scorer
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.versions import recorded
from burnish.types import Artifact, Comparison, Example, Preference


class LikelihoodAnnotator:
    """Judges by p_b = sigmoid(log p(b | x) - log p(a | x)), summed over the tokens of an answer and its end token.

    `per_token` takes means over the tokens instead, because sums prefer the shorter answer.
    """

    order_free = True

    def __init__(
        self, scorer: Scorer, model: Artifact, examples: Mapping[str, Example], per_token: bool = False
    ) -> None:
        self.scorer, self.model, self.examples, self.per_token = scorer, model, examples, per_token
        self.fingerprint = model.fingerprint

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield a preference as soon as both of its answers are scored."""
        # Done comparisons are passed on, too. Batches are planned over all of them, so a resumed run has the same ones.
        rows = both_sides(comparisons, self.examples)
        for batch in paired(self.scorer.logprobs(self.model, rows, known_rows(rows, done))):
            yield [from_difference(id_, self._nats(b) - self._nats(a), "likelihood") for id_, a, b in batch]

    def _nats(self, score: Score) -> float:
        # The end token counts as a token of the answer, so there is always at least one.
        return score.value / score.tokens if self.per_token else score.value


def build(config: LikelihoodConfig, resources: Resources) -> AnnotatorPlan:
    """Return the plan of a likelihood annotator.

    The model is used without training. In an experiment it is first finetuned on the gold answers of half G.
    """
    model, truth = resources.model(f"{resources.field}.model"), resources.ground_truth
    finetuned = truth is not None and config.needs_ground_truth(resources.simulated)
    per_token = not finetuned if config.per_token is None else config.per_token
    described: dict[str, JsonValue] = {"kind": "likelihood", **recorded("likelihood")}
    # Sums of a finetuned judge are the old default. They are not recorded, so that finished stages keep their identity.
    if not finetuned or per_token:
        described["per_token"] = per_token
    if truth is not None and finetuned:
        model = resources.steps.train(model, truth.rows, truth.gold, config.train or truth.train, "judge")
    steps, scored = resources.steps, None
    described |= steps.hosts.scoring(model)

    def made(examples: Mapping[str, Example], scorer: Scorer) -> Annotator:
        return LikelihoodAnnotator(scorer, model, examples, per_token)

    # A server shares out its work itself.
    if steps.hosts.of(model) is None:
        scored = made
    return AnnotatorPlan(
        order_free=True,
        kind="likelihood",
        config=described,
        inputs={"judge": model},
        over=lambda examples: made(examples, steps.hosts.scorer(model, steps.engines)),
        scored=scored,
    )
