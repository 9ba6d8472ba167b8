"""The classifier q~: a model with a two-way head that learned to prefer gold answers to worse ones (appendix B)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import assert_never

from burnish.algorithms.comparisons import abstentions, answer_of, both_orders, combined
from burnish.annotators.balanced import BothOrders, Pairs, balance, by_category
from burnish.annotators.resources import GroundTruth, Resources
from burnish.config import AnnotatorSettings, ClassifierConfig
from burnish.errors import DataError
from burnish.protocols import Annotator, Scorer
from burnish.steps.artifacts import Rows, read_demonstrations
from burnish.steps.basic import Steps, checkpoint
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.versions import recorded
from burnish.store.stages import Work
from burnish.tasks.answers import graders
from burnish.tasks.instruction_answers import Category
from burnish.types import (
    Artifact,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Order,
    Preference,
)

WEAK_CHECKPOINTS = "weak checkpoints"
"""The label of the training of p~ whose checkpoints are kept."""


class ClassifierAnnotator:
    """Scores every comparison in both orders and averages the scores, so that a preference for one position cancels."""

    order_free = False

    def __init__(self, scorer: Scorer, model: Artifact, examples: Mapping[str, Example]) -> None:
        self.scorer, self.model, self.examples = scorer, model, examples
        self.fingerprint = model.fingerprint

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield a preference as soon as both of its orders are scored. A comparison that is too long for the model is
        an abstention."""
        # Done comparisons are passed on, too: batches are planned over all of them, so that a resumed run has the same
        # batches and therefore the same scores.
        rows = [order for c in comparisons for order in both_orders(c, self.examples[c.example_id].prompt)]
        known = {row.id for row in rows if row.id.rpartition(":")[0] in done}
        scores: dict[str, float] = {}
        for batch in self.scorer.classify(self.model, rows, known):
            scores.update((score.id, score.value) for score in batch)
            # It is a dict and not a set, because a dict keeps the order. So the same scores give the same file.
            touched = dict.fromkeys(score.id.rpartition(":")[0] for score in batch)
            yield [
                combined(id_, tuple(Order), [scores[f"{id_}:{order}"] for order in Order], "classifier")
                for id_ in touched
                # The two orders of a pair may be in different batches. The preference comes with the second of them.
                if all(f"{id_}:{order}" in scores for order in Order)
            ]
        if rest := abstentions(comparisons, done | {key.rpartition(":")[0] for key in scores}, "classifier"):
            yield rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Pairs of gold answers with worse answers. `agreed` answers agree with gold and `repeated` answers repeat another
    one; both make no pair."""

    pairs: Pairs
    agreed: int
    repeated: int


def build(config: ClassifierConfig, resources: Resources) -> AnnotatorPlan:
    """Return the plan of a classifier. It is used without training. Only in an experiment it can be trained first, on
    ground truth."""
    truth = resources.ground_truth
    if truth is not None and config.needs_ground_truth(resources.simulated):
        # Without a model of its own, q~ has the same weak base as p~ (appendix B).
        base = resources.model(f"{resources.field}.model") if config.model is not None else truth.weak
        assert base is not None, resources.field
        model = trained(config, Teaching(steps=resources.steps, truth=truth), base)
    else:
        model = resources.model(f"{resources.field}.model")

    def made(examples: Mapping[str, Example], scorer: Scorer) -> Annotator:
        return ClassifierAnnotator(scorer, model, examples)

    return AnnotatorPlan(
        kind="classifier",
        config={"kind": "classifier", **recorded("classifier")},
        inputs={"judge": model},
        over=lambda examples: made(examples, resources.scorer()),
        scored=made,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """What q~ learns from: the ground truth, and the steps that make worse answers."""

    steps: Steps
    truth: GroundTruth


def trained(config: ClassifierConfig, teaching: Teaching, base: Artifact) -> Artifact:
    """Return the trained head q~ (appendix B).

    Checkpoints of p~ answer the prompts of half G. Their answers are paired with gold, and the head is trained on these
    pairs in both orders.
    """
    steps, truth = teaching.steps, teaching.truth
    settings = config.train or truth.train
    worse = worse_sides(teaching, config)

    def run(work: Work) -> None:
        pairs, counts = training_pairs(teaching, config, worse)
        tokens = steps.engines.trainer().train_classifier(base, pairs, settings, steps.seed, work.path)
        work.count(rows=2 * len(pairs), tokens=tokens, **counts)

    inputs = {"base": base, "gold": truth.gold, **truth.rows.inputs}
    # Names of inputs have underscores. Names of the stages that answer have dashes, and these names are part of the
    # recorded identities.
    inputs |= {name.replace("-", "_"): answers for side in worse for name, answers in side.items()}
    # `pairs` is recorded only if it is not the default, so that stages that are already finished keep their identity.
    extra = {"pairs": config.pairs} if config.pairs != "checkpoints" else {}
    if steps.task_kind != steps.learned_kind:  # a new reader of answers finds other worse answers in the same texts
        extra |= {"task": steps.task_kind}
    semantic = {"train": settings.semantic(), "seed": steps.seed, **extra, **truth.rows.config}
    return steps.stage("train_classifier", semantic, inputs, run, "q~")


def worse_sides(teaching: Teaching, config: ClassifierConfig) -> list[dict[str, Artifact]]:
    """Return the answers of each supervisor's checkpoints, by the purpose for which they were sampled.

    With `pairs: checkpoints`, one supervisor learns from all of half G. With `pairs: balanced`, one supervisor learns
    from each category, in the order of `Category`.
    """
    match config.pairs:
        case "checkpoints":
            # The training of p~ with its checkpoints is a stage of its own, so that the choice of an annotator does not
            # change the stages before it. `with_checkpoints` lets p~ take its model.
            return [checkpoint_answers(teaching, config, teaching.truth.rows, WEAK_CHECKPOINTS, "checkpoint")]
        case "balanced":
            parts = by_category(teaching.steps, teaching.truth.rows)
            return [
                checkpoint_answers(
                    teaching,
                    config,
                    teaching.truth.rows.part(parts, str(category)),
                    f"{category} checkpoints",
                    f"{category}-checkpoint",
                )
                for category in Category
            ]
        case _:
            assert_never(config.pairs)


def with_checkpoints(settings: AnnotatorSettings, teaching: Teaching) -> Artifact | None:
    """Return the training of p~ whose checkpoints an annotator needs, or None if it needs none.

    Its last model is p~ itself, so with it p~ need not be trained a second time.
    """
    for member in settings.members:
        # With `balanced` pairs, the supervisors with checkpoints learn from other rows than p~.
        if not isinstance(member, ClassifierConfig) or member.pairs != "checkpoints":
            continue
        if member.needs_ground_truth(simulated=True):
            return supervisor_of(teaching, member, teaching.truth.rows, WEAK_CHECKPOINTS)
    return None


def supervisor_of(teaching: Teaching, config: ClassifierConfig, learned: Rows, label: str) -> Artifact:
    """Train a supervisor on the gold answers of the rows `learned`, and keep its checkpoints."""
    truth = teaching.truth
    assert truth.weak is not None, label
    return teaching.steps.train(truth.weak, learned, truth.gold, truth.train, label, checkpoints=config.checkpoints)


def checkpoint_answers(
    teaching: Teaching, config: ClassifierConfig, learned: Rows, label: str, purpose: str
) -> dict[str, Artifact]:
    """Train a supervisor on the gold answers of the rows `learned`, and let its checkpoints answer all prompts of half
    G."""
    steps, supervisor = teaching.steps, supervisor_of(teaching, config, learned, label)
    rows, source = teaching.truth.rows, DemonstrationSource.WEAK
    names = {number: f"{purpose}-{number:02d}" for number in range(1, config.checkpoints + 1)}
    return {
        name: steps.answer(checkpoint(supervisor, number), rows, config.decode, name, source)
        for number, name in names.items()
    }


def training_pairs(
    teaching: Teaching, config: ClassifierConfig, worse: Sequence[Mapping[str, Artifact]]
) -> tuple[list[BothOrders], dict[str, int]]:
    """Return the pairs from which the head learns, sorted by example and text, and counts of how they were balanced.

    Raises DataError if there is no pair.
    """
    sides = [labelled(teaching, list(answers.values())) for answers in worse]
    if not any(side.pairs for side in sides):
        raise DataError(
            "supervision.annotator: every checkpoint answered every prompt right, so there is no worse side; "
            "choose a weaker models.weak, or raise supervision.annotator.decode.temperature"
        )
    match config.pairs:
        case "checkpoints":
            pairs, counts = sides[0].pairs, dict[str, int]()
        case "balanced":
            balanced = balance(*(side.pairs for side in sides))
            pairs, counts = balanced.pairs, balanced.counts
            counts |= {name: sum(getattr(side, name) for side in sides) for name in ("agreed", "repeated")}
            counts["unpaired"] = len(teaching.truth.rows.prompts_only()) - len({example_id for example_id, _ in pairs})
        case _:
            assert_never(config.pairs)
    # They are sorted before training, because the trainer's shuffle starts from the order of the rows.
    return [pairs[key] for key in sorted(pairs)], counts


def labelled(teaching: Teaching, worse: Sequence[Artifact]) -> Labelled:
    """Pair each gold answer with each checkpoint's answer in both orders, if their final answers differ.

    An answer that agrees with gold is left out, because it would be labelled worse without being worse. A pair that
    occurs twice is kept once.
    """
    prompts, gold = teaching.truth.rows.prompts_only(), read_demonstrations(teaching.truth.gold)
    pairs: dict[tuple[str, str], BothOrders] = {}
    agreed = repeated = 0
    sampled = [read_demonstrations(answers) for answers in worse]
    # The grader gets all answers at the start, so that a task that executes answers (SQL) executes them all at once.
    compared = (side for rows in sampled for id_, answer in rows.items() for side in (answer, gold[id_]))
    grader_of = graders(teaching.steps.task, teaching.truth.rows.examples(), compared)
    for rows in sampled:
        for id_, answer in rows.items():
            grader = grader_of(id_)
            a, b = answer_of(grader, answer), answer_of(grader, gold[id_])
            if b is None:  # a gold answer without a final answer cannot be compared
                continue
            if a is not None and grader.agree(a, b):
                agreed += 1
            elif (id_, answer.completion) in pairs:
                repeated += 1
            else:
                pairs[id_, answer.completion] = labelled_pair(prompts[id_].prompt, answer, gold[id_])
    return Labelled(pairs=pairs, agreed=agreed, repeated=repeated)


def labelled_pair(prompt: tuple[Message, ...], worse: Demonstration, gold: Demonstration) -> BothOrders:
    """Return a worse answer and a gold answer in both orders, each order with its label."""
    ab, ba = both_orders(Comparison(example_id=gold.example_id, a=worse, b=gold), prompt)
    return dataclasses.replace(ab, second_better=True), dataclasses.replace(ba, second_better=False)
