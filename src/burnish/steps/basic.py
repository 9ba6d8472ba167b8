"""The steps that every method is made of, each a stage: data, halves, train, answer, grade.

Nothing here looks into an artifact while it is planned: a dry run makes the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from burnish.algorithms.comparisons import answer_of
from burnish.algorithms.refinement import split
from burnish.config import Decoding, ModelConfig, Objective, TrainSettings
from burnish.errors import DataError
from burnish.models.card import ModelCard, Weights, copy_model, write_card
from burnish.protocols import Backend, Grader, Learns, SamplingKey, Score, Task, prepare, row_key
from burnish.steps.artifacts import (
    CURVE,
    DEMONSTRATIONS,
    GRADES,
    PARTS,
    SCORES,
    TRAINING,
    GradeRow,
    Rows,
    read_chosen,
    read_demonstrations,
)
from burnish.store.files import pretty, read_rows, write_atomic, write_rows
from burnish.store.runners import Runner
from burnish.store.stages import Stage, Work
from burnish.types import (
    Artifact,
    Completion,
    Demonstration,
    DemonstrationSource,
    Head,
    PreferenceRow,
    Prompt,
    TrainingRow,
)


class Steps:
    """Builds and runs stages for one seed. `backend` is opened when a stage first needs it.

    Stages know the task by `task_kind`, and training by `learned_kind` (if it is given): which answers are learned
    may be older than how they are graded. `referee` compares answers with references; it is the task, unless a user's
    references are of another kind than what tells his answers apart.
    """

    def __init__(
        self,
        runner: Runner,
        backend: Callable[[], Backend],
        task: Grader,
        task_kind: str,
        seed: int,
        learned_kind: str | None = None,
    ) -> None:
        self.runner, self.backend, self.task, self.task_kind, self.seed = runner, backend, task, task_kind, seed
        self.learned_kind = task_kind if learned_kind is None else learned_kind
        self.referee, self.referee_kind = task, task_kind
        self.label = f"seed {seed}"

    def run(self, stage: Stage) -> Artifact:
        """Run or reuse a stage."""
        return self.runner.run(stage)

    def data(self, task: Task, config: Mapping[str, Any], source: Mapping[str, Artifact]) -> Artifact:
        """Load a task's examples: `train.jsonl`, `test.jsonl`, and how many training rows the test set pushed out."""

        def run(work: Work) -> None:
            dataset = task.load()
            write_rows(work.path / "train.jsonl", dataset.train)
            write_rows(work.path / "test.jsonl", dataset.test)
            left_out = {"left_out": dataset.left_out} if dataset.left_out else {}
            write_atomic(work.path / "data.json", pretty({"dropped": dataset.dropped, **left_out}))
            work.count(rows=len(dataset.train) + len(dataset.test))

        return self.run(Stage(name="data", version=1, config=config, inputs=source, run=run, label="data"))

    def split(self, rows: Rows, purpose: str, round_: int, parts: int = 2) -> Artifact:
        """Cut rows into parts "1", "2", ... by groups, anew for each seed, purpose and round (Algorithm 1, line 2)."""

        def run(work: Work) -> None:
            members = rows.groups()
            cut = split(members, self.seed, round_, purpose, parts)
            if not all(cut):
                raise DataError(f"task: {len(members)} rows cannot be cut into {parts} parts by prompt; use more rows")
            write_atomic(work.path / PARTS, pretty({str(number): ids for number, ids in enumerate(cut, 1)}))
            work.count(rows=len(members))

        config = {"seed": self.seed, "purpose": purpose, "round": round_, "count": parts, **rows.config}
        label = f"{self.label} split {purpose} {round_}"
        return self.run(Stage(name="split", version=1, config=config, inputs=rows.inputs, run=run, label=label))

    def only_correct(self, rows: Rows, demonstrations: Artifact) -> Artifact:
        """Cut rows into part "correct", whose demonstrations are right and whole, and "wrong"; holds the right ones."""

        def run(work: Work) -> None:
            examples, given = rows.examples(), read_demonstrations(demonstrations)
            prepare(self.task, lambda: examples, (given[id_] for id_ in examples), gold=True)
            right = [
                id_
                for id_, example in examples.items()
                if given[id_].finished and self.task.grade(example, given[id_].completion).correct
            ]
            if not right:
                raise DataError(
                    f"supervision.demonstrations: 'correct' found, but none of {len(examples)} labels is right; "
                    "use a stronger weak model or more rows"
                )
            wrong = sorted(examples.keys() - set(right))
            write_atomic(work.path / PARTS, pretty({"correct": right, "wrong": wrong}))
            work.count(rows=write_rows(work.path / DEMONSTRATIONS, (given[id_] for id_ in right)))

        config = {"task": self.task_kind, **rows.config}
        inputs = {"demonstrations": demonstrations, **rows.inputs}
        label = f"{self.label} correct labels"
        return self.run(Stage(name="only_correct", version=1, config=config, inputs=inputs, run=run, label=label))

    def base(self, model: ModelConfig, weights: Artifact, head: Head = Head.NONE) -> Artifact:
        """Describe a base model, known by the content of its weights: moving its folder changes nothing.

        With a `head` that is trained already it is a classifier or a reward model.
        """

        def run(work: Work) -> None:
            card = ModelCard(
                base=model,
                content=weights.fingerprint,
                weights=Weights.BASE,
                classifier=head is Head.CLASSIFIER,
                reward=head is Head.REWARD,
            )
            write_card(work.path, card)

        apart = {"source", "revision"} | ({"chat_template"} if model.chat_template is None else set[str]())
        config = model.model_dump(mode="json", exclude=apart) | ({"head": str(head)} if head is not Head.NONE else {})
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
            learned = self.task.learned if isinstance(self.task, Learns) else self.task.extract
            usable = [id_ for id_ in examples if answer_of(learned, current[id_]) is not None]
            if not usable:
                raise DataError(f"{label}: none of {len(examples)} demonstrations has an answer to learn")
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
            "task": self.learned_kind,
            **rows.config,
        }
        inputs = {"base": base, "demonstrations": demonstrations, **rows.inputs}
        label = f"{self.label} {label}"
        return self.run(Stage(name="train", version=1, config=config, inputs=inputs, run=run, label=label))

    def train_preferences(
        self,
        policy: Artifact,
        rows: Rows,
        preferred: Artifact,
        settings: TrainSettings,
        objective: Objective,
        label: str,
    ) -> Artifact:
        """Go on training a policy on preferences; where a round kept none, the policy stays as it is."""

        def run(work: Work) -> None:
            examples, chosen = rows.prompts_only(), read_chosen(preferred)
            training = [
                PreferenceRow(
                    id=f"{row.example_id}#{row.number}",
                    prompt=examples[row.example_id].prompt,
                    chosen=row.chosen.completion,
                    rejected=row.rejected.completion,
                )
                for row in chosen
            ]
            if training:
                trained = self.backend().train_preferences(policy, training, settings, objective, self.seed, work.path)
                write_rows(work.path / CURVE, trained.curve)
                work.count(rows=len(training), tokens=trained.tokens)
            else:
                copy_model(Path(policy.path), work.path)
            ids = sorted({row.example_id for row in chosen})
            write_atomic(work.path / TRAINING, pretty({"trained_on": ids, "without_answer": 0, "pairs": len(chosen)}))

        config = {
            "train": settings.model_dump(mode="json", exclude={"lora"}),  # the policy's form decides
            "objective": objective.semantic(),
            "seed": self.seed,
            **rows.config,
        }
        inputs = {"policy": policy, "preferred": preferred, **rows.inputs}
        label = f"{self.label} {label}"
        stage = Stage(name="train_preferences", version=1, config=config, inputs=inputs, run=run, label=label)
        return self.run(stage)

    def score(self, model: Artifact, rows: Rows, answers: Artifact, label: str) -> Artifact:
        """Compute log p(answer and end | prompt) of these rows' answers; one without an end has no such score."""

        def run(work: Work) -> None:
            examples, given = rows.prompts_only(), read_demonstrations(answers)
            every = [
                TrainingRow(id=id_, prompt=example.prompt, completion=given[id_].completion)
                for id_, example in examples.items()
                if given[id_].finished
            ]
            with work.append(SCORES) as out:
                done = {row.id for row in read_rows(out.path, Score)}
                for batch in self.backend().logprobs(model, every, done):
                    out.append(batch)
                    work.count(rows=len(batch), tokens=sum(score.tokens for score in batch))

        inputs = {"model": model, "answers": answers, **rows.inputs}
        label = f"{self.label} log-probabilities {label}"
        return self.run(
            Stage(name="score", version=1, config=rows.config, inputs=inputs, run=run, label=label, resumable=True)
        )

    def answer(
        self,
        model: Artifact,
        rows: Rows,
        decode: Decoding,
        purpose: str,
        source: DemonstrationSource,
        round_: int = 0,
        samples: int = 1,
    ) -> Artifact:
        """Let a model answer these rows' prompts, each `samples` times; finished batches survive a kill."""
        key = SamplingKey(seed=self.seed, stage=purpose, round=round_)

        def run(work: Work) -> None:
            examples = rows.prompts_only()
            prompts = [
                Prompt(id=id_, messages=example.prompt, sample=sample)
                for id_, example in examples.items()
                for sample in range(samples)
            ]
            with work.append(DEMONSTRATIONS) as out:
                done = {row_key(row.example_id, row.sample) for row in read_rows(out.path, Demonstration)}
                for batch in self.backend().generate(model, prompts, decode, key, done):
                    out.append(_demonstration(answer, source, model, round_) for answer in batch)
                    work.count(rows=len(batch), tokens=sum(answer.tokens for answer in batch))

        config = {
            "decode": decode.model_dump(mode="json"),
            "seed": self.seed if decode.temperature > 0 else None,  # greedy and beam search draw nothing
            "purpose": purpose,
            "source": str(source),
            "round": round_,
            "samples": samples,
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
            prepare(self.task, lambda: examples, (given[id_] for id_ in examples), gold=True)
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


def _demonstration(answer: Completion, source: DemonstrationSource, model: Artifact, round_: int) -> Demonstration:
    return Demonstration(
        example_id=answer.id,
        completion=answer.text,
        source=source,
        producer=model.fingerprint,
        round=round_,
        finished=answer.finished,
        sample=answer.sample,
    )


def checkpoint(model: Artifact, number: int) -> Artifact:
    """Return the `number`-th intermediate model (from 1) of a training as an artifact of its own."""
    name = f"checkpoint-{number:02d}"
    return Artifact(path=str(Path(model.path) / name), kind="train", fingerprint=f"{model.fingerprint}/{name}")
