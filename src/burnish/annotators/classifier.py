"""q~: a two-way head that learned gold answers from worse ones (appendix B)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain

from burnish.annotators.plan import AnnotatorPlan, Supply
from burnish.artifacts import read_demonstrations
from burnish.comparisons import both_orders, combined
from burnish.config import ClassifierConfig
from burnish.errors import DataError
from burnish.protocols import Backend, by_example, prepare
from burnish.stages import Stage, Work
from burnish.steps import checkpoint
from burnish.types import (
    Artifact,
    Comparison,
    DemonstrationSource,
    Example,
    Order,
    PairRow,
    Preference,
)


class ClassifierAnnotator:
    """Scores every comparison in both orders and averages, so that a position bias cannot win."""

    order_free = False

    def __init__(self, backend: Backend, model: Artifact, examples: Mapping[str, Example]) -> None:
        self.backend, self.model, self.examples = backend, model, examples
        self.fingerprint = model.fingerprint

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as batches of scores complete them; batches are planned over all comparisons."""
        rows = [order for c in comparisons for order in both_orders(c, self.examples[c.example_id].prompt)]
        known = {row.id for row in rows if row.id.rpartition(":")[0] in done}
        scores: dict[str, float] = {}
        for batch in self.backend.classify(self.model, rows, known):
            scores.update((score.id, score.value) for score in batch)
            touched = dict.fromkeys(score.id.rpartition(":")[0] for score in batch)
            yield [
                combined(id_, tuple(Order), [scores[f"{id_}:{order}"] for order in Order], "classifier")
                for id_ in touched
                if all(f"{id_}:{order}" in scores for order in Order)
            ]


def plan(supply: Supply, config: ClassifierConfig) -> AnnotatorPlan:
    """Let checkpoints of p~ answer the prompts of half G, pair their answers with gold, train the head on both."""
    steps, settings = supply.steps, config.train or supply.train
    # p~ once more, keeping its checkpoints: as a stage of its own, so that an annotator changes nothing before it.
    supervisor = steps.train(
        supply.bases["weak"], supply.ground, supply.gold, supply.train, "weak checkpoints", config.checkpoints
    )
    worse = [
        steps.answer(
            checkpoint(supervisor, number),
            supply.ground,
            config.decode,
            f"checkpoint-{number:02d}",
            DemonstrationSource.WEAK,
        )
        for number in range(1, config.checkpoints + 1)
    ]
    base = supply.bases.get("annotator", supply.bases["weak"])

    def run(work: Work) -> None:
        pairs = checkpoint_pairs(supply, worse)
        tokens = steps.backend().train_classifier(base, pairs, settings, steps.seed, work.path)
        work.count(rows=2 * len(pairs), tokens=tokens)

    inputs = {"base": base, "gold": supply.gold, **supply.ground.inputs}
    inputs |= {f"checkpoint_{number:02d}": answers for number, answers in enumerate(worse, 1)}
    stage = Stage(
        name="train_classifier",
        version=1,
        config={"train": settings.model_dump(mode="json"), "seed": steps.seed, **supply.ground.config},
        inputs=inputs,
        run=run,
        label=f"{steps.label} q~",
    )
    model = steps.run(stage)
    return AnnotatorPlan(
        kind="classifier",
        config={"kind": "classifier"},
        inputs={"judge": model},
        make=lambda rows: ClassifierAnnotator(steps.backend(), model, rows.prompts_only()),
    )


def checkpoint_pairs(supply: Supply, worse: Sequence[Artifact]) -> list[tuple[PairRow, PairRow]]:
    """Pair each gold answer with each checkpoint's answer where the final answers differ, in both orders.

    An answer that agrees with gold would be labelled worse without being so. Exact repeats of a pair are dropped.
    """
    task, prompts, gold = supply.steps.task, supply.ground.prompts_only(), read_demonstrations(supply.gold)
    pairs: dict[tuple[str, str], tuple[PairRow, PairRow]] = {}
    grader = by_example(task, supply.ground.examples)
    for answers in worse:
        read = read_demonstrations(answers)
        prepare(task, supply.ground.examples, chain(read.values(), (gold[id_] for id_ in read)))
        for id_, answer in read.items():
            a, b = task.extract(answer.completion), task.extract(gold[id_].completion)
            if b is None or (a is not None and grader(id_).agree(a, b)):
                continue
            prompt, right = prompts[id_].prompt, gold[id_].completion
            comparison = Comparison(example_id=id_, a=answer, b=gold[id_])
            pairs.setdefault(
                (id_, answer.completion),
                (
                    PairRow(
                        id=f"{comparison.id}:ab",
                        prompt=prompt,
                        first=answer.completion,
                        second=right,
                        second_better=True,
                    ),
                    PairRow(
                        id=f"{comparison.id}:ba",
                        prompt=prompt,
                        first=right,
                        second=answer.completion,
                        second_better=False,
                    ),
                ),
            )
    if not pairs:
        raise DataError(
            "supervision.annotator: every checkpoint answered every prompt right, so there is no worse side"
        )
    return [pairs[key] for key in sorted(pairs)]
