"""The steps that every method is made of, each a stage: data, halves, train, answer, grade.

Nothing here looks into an artifact while it is planned: a dry run makes the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from burnish.artifacts import (
    DEMONSTRATIONS,
    GRADES,
    HALVES,
    TRAINING,
    GradeRow,
    Rows,
    Side,
    read_demonstrations,
)
from burnish.config import Decoding, ModelConfig, TrainSettings
from burnish.errors import DataError
from burnish.model_card import ModelCard, Weights, write_card
from burnish.protocols import Backend, SamplingKey, Task
from burnish.refine import halve
from burnish.stages import Runner, Stage, Work
from burnish.store import pretty, read_rows, write_atomic, write_rows
from burnish.types import Artifact, Demonstration, DemonstrationSource, Prompt, TrainingRow


class Steps:
    """Builds and runs stages for one seed. `backend` is opened when a stage first needs it."""

    def __init__(self, runner: Runner, backend: Callable[[], Backend], task: Task, task_kind: str, seed: int) -> None:
        self.runner, self.backend, self.task, self.task_kind, self.seed = runner, backend, task, task_kind, seed
        self.label = f"seed {seed}"

    def run(self, stage: Stage) -> Artifact:
        """Run or reuse a stage."""
        return self.runner.run(stage)

    def data(self, config: Mapping[str, Any], source: Mapping[str, Artifact]) -> Artifact:
        """Load the task's examples: `train.jsonl`, `test.jsonl`, and how many training rows the test set pushed out."""

        def run(work: Work) -> None:
            dataset = self.task.load()
            write_rows(work.path / "train.jsonl", dataset.train)
            write_rows(work.path / "test.jsonl", dataset.test)
            write_atomic(work.path / "data.json", pretty({"dropped": dataset.dropped}))
            work.count(rows=len(dataset.train) + len(dataset.test))

        return self.run(Stage(name="data", version=1, config=config, inputs=source, run=run, label="data"))

    def halve(self, rows: Rows, purpose: str, round_: int) -> Artifact:
        """Cut rows in two by groups, anew for each seed, purpose and round (Algorithm 1, line 2)."""

        def run(work: Work) -> None:
            members = {example.id: example.group for example in rows.examples().values()}
            first, second = halve(members, self.seed, round_, purpose)
            if not first or not second:
                raise DataError(f"task: {len(members)} rows cannot be halved by prompt; use more rows")
            write_atomic(work.path / HALVES, pretty({str(Side.FIRST): first, str(Side.SECOND): second}))
            work.count(rows=len(members))

        config = {"seed": self.seed, "purpose": purpose, "round": round_, **rows.config}
        label = f"{self.label} halves {purpose} {round_}"
        return self.run(Stage(name="halve", version=1, config=config, inputs=rows.inputs, run=run, label=label))

    def base(self, model: ModelConfig, weights: Artifact) -> Artifact:
        """Describe a base model, known by the content of its weights: moving its folder changes nothing."""

        def run(work: Work) -> None:
            card = ModelCard(base=model, content=weights.fingerprint, weights=Weights.BASE)
            write_card(work.path, card)

        config = model.model_dump(mode="json", exclude={"source", "revision"})
        return self.run(
            Stage(name="base", version=1, config=config, inputs={"weights": weights}, run=run, label=model.source)
        )

    def gold(self, rows: Rows) -> Artifact:
        """Write the references as demonstrations."""

        def run(work: Work) -> None:
            gold = [
                Demonstration(example_id=e.id, completion=e.reference, source=DemonstrationSource.GOLD)
                for e in rows.examples().values()
                if e.reference is not None
            ]
            work.count(rows=write_rows(work.path / DEMONSTRATIONS, gold))

        return self.run(
            Stage(name="gold", version=1, config=rows.config, inputs=rows.inputs, run=run, label=f"{self.label} gold")
        )

    def train(
        self,
        base: Artifact,
        rows: Rows,
        demonstrations: Artifact,
        settings: TrainSettings,
        label: str,
        checkpoints: int = 0,
    ) -> Artifact:
        """Finetune from the base on these rows' demonstrations; one without an answer stays out and is counted."""

        def run(work: Work) -> None:
            examples, current = rows.prompts_only(), read_demonstrations(demonstrations)
            usable = [id_ for id_ in examples if self.task.extract(current[id_].completion) is not None]
            if not usable:
                raise DataError(f"{self.label} {label}: none of {len(examples)} demonstrations has an answer to learn")
            training = [
                TrainingRow(id=id_, prompt=examples[id_].prompt, completion=current[id_].completion) for id_ in usable
            ]
            tokens = self.backend().train(base, training, settings, self.seed, work.path, checkpoints)
            record = {"trained_on": usable, "without_answer": len(examples) - len(usable)}
            write_atomic(work.path / TRAINING, pretty(record))
            work.count(rows=len(usable), tokens=tokens)

        config = {
            "train": settings.model_dump(mode="json"),
            "seed": self.seed,
            "checkpoints": checkpoints,
            "task": self.task_kind,
            **rows.config,
        }
        inputs = {"base": base, "demonstrations": demonstrations, **rows.inputs}
        label = f"{self.label} {label}"
        return self.run(Stage(name="train", version=1, config=config, inputs=inputs, run=run, label=label))

    def answer(
        self,
        model: Artifact,
        rows: Rows,
        decode: Decoding,
        purpose: str,
        source: DemonstrationSource,
        round_: int = 0,
    ) -> Artifact:
        """Let a model answer these rows' prompts; finished batches survive a kill."""
        key = SamplingKey(seed=self.seed, stage=purpose, round=round_)

        def run(work: Work) -> None:
            examples = rows.prompts_only()
            prompts = [Prompt(id=id_, messages=example.prompt) for id_, example in examples.items()]
            with work.append(DEMONSTRATIONS) as out:
                done = {row.example_id for row in read_rows(out.path, Demonstration)}
                for batch in self.backend().generate(model, prompts, decode, key, done):
                    out.append(
                        Demonstration(
                            example_id=answer.id,
                            completion=answer.text,
                            source=source,
                            producer=model.fingerprint,
                            round=round_,
                            finished=answer.finished,
                        )
                        for answer in batch
                    )
                    work.count(rows=len(batch), tokens=sum(answer.tokens for answer in batch))

        config = {
            "decode": decode.model_dump(mode="json"),
            "seed": self.seed if decode.temperature > 0 else None,  # greedy and beam search draw nothing
            "purpose": purpose,
            "source": str(source),
            "round": round_,
            **rows.config,
        }
        inputs = {"model": model, **rows.inputs}
        label = f"{self.label} answers for {purpose} {round_}"
        return self.run(
            Stage(name="answer", version=1, config=config, inputs=inputs, run=run, label=label, resumable=True)
        )

    def grade(self, rows: Rows, answers: Artifact) -> Artifact:
        """Compare answers with the references."""

        def run(work: Work) -> None:
            examples, given = rows.examples(), read_demonstrations(answers)
            grades = ((id_, self.task.grade(example, given[id_].completion)) for id_, example in examples.items())
            written = write_rows(
                work.path / GRADES,
                (GradeRow(example_id=id_, correct=grade.correct, extracted=grade.extracted) for id_, grade in grades),
            )
            work.count(rows=written)

        config = {"task": self.task_kind, **rows.config}
        inputs = {"answers": answers, **rows.inputs}
        label = f"{self.label} grades"
        return self.run(Stage(name="grade", version=1, config=config, inputs=inputs, run=run, label=label))


def checkpoint(model: Artifact, number: int) -> Artifact:
    """Return the `number`-th intermediate model (from 1) of a training as an artifact of its own."""
    name = f"checkpoint-{number:02d}"
    return Artifact(path=str(Path(model.path) / name), kind="train", fingerprint=f"{model.fingerprint}/{name}")
