"""The basic steps of every method: data, split, train, answer, grade. Each is a stage.

Nothing here reads an artifact while stages are planned, because a dry run makes the same calls without any results.
Artifacts are read only inside the `run` functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from burnish.algorithms.comparisons import answer_of
from burnish.algorithms.refinement import split
from burnish.config import Decoding, ModelConfig, Objective, TrainSettings
from burnish.errors import DataError
from burnish.models.card import ModelCard, Weights, copy_model, write_card
from burnish.protocols import Backend, Grader, Learns, SamplingKey, Score, Task, row_key
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
from burnish.tasks.answers import graders
from burnish.types import (
    Answer,
    Artifact,
    Completion,
    Demonstration,
    DemonstrationSource,
    Example,
    Head,
    PreferenceRow,
    Prompt,
    TrainingRow,
)


class Steps:
    """Builds and runs stages for one seed.

    `backend` is called when a stage first needs it, so that a run whose stages are all finished loads no model. `label`
    is put before the label of each stage that is not shared.

    `task_kind` stands for the task in the identity of stages. `learned_kind`, if given, stands for it in training: the
    rule for which answers are learned may be older than the rule for grading. `referee` compares answers with
    references. It is the task, unless the user's references need another comparison than the user's answers.
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

    def stage(
        self,
        name: str,
        config: Mapping[str, JsonValue],
        inputs: Mapping[str, Artifact],
        run: Callable[[Work], None],
        label: str,
        *,
        # Raise a stage's version only if an old result would be wrong; otherwise finished work is computed again for
        # nothing.
        version: int = 1,
        resumable: bool = False,
        shared: bool = False,
    ) -> Artifact:
        """Run a stage, or reuse its result if it exists. All stages of the package are made here.

        `name`, `version`, `config` and `inputs` are the stage's identity. A stage whose meaning changes gets a higher
        `version`, so that old results are not reused. If the stage is `resumable`, the work of a killed run is kept and
        passed to `run` again. A `shared` stage is the same for every seed, so its label does not name the seed.
        """
        return self.runner.run(
            Stage(
                name=name,
                version=version,
                config=config,
                inputs=inputs,
                run=run,
                # The label is for people. It is not part of the identity.
                label=label if shared else f"{self.label} {label}",
                resumable=resumable,
            )
        )

    def data(self, task: Task, config: Mapping[str, Any], source: Mapping[str, Artifact]) -> Artifact:
        """Load a task's examples.

        The stage writes `train.jsonl`, `test.jsonl` and `data.json`, which counts the training rows that were dropped
        because the test set has their prompt.
        """

        def run(work: Work) -> None:
            dataset = task.load()
            write_rows(work.path / "train.jsonl", dataset.train)
            write_rows(work.path / "test.jsonl", dataset.test)
            left_out = {"left_out": dataset.left_out} if dataset.left_out else {}
            write_atomic(work.path / "data.json", pretty({"dropped": dataset.dropped, **left_out}))
            work.count(rows=len(dataset.train) + len(dataset.test))

        # All seeds use the same data, so the stage is computed once.
        return self.stage("data", config, source, run, "data", shared=True)

    def split(self, rows: Rows, purpose: str, round_: int, parts: int = 2) -> Artifact:
        """Cut rows into parts "1", "2", ... by groups (Algorithm 1, line 2).

        Each seed, purpose and round has its own cut. The stage raises DataError if there are too few groups of equal
        prompts.
        """

        def run(work: Work) -> None:
            members = rows.groups()
            cut = split(members, self.seed, round_, purpose, parts)
            # A part without rows could train no model. This happens if there are fewer groups than parts.
            if not all(cut):
                raise DataError(f"task: {len(members)} rows cannot be cut into {parts} parts by prompt; use more rows")
            write_atomic(work.path / PARTS, pretty({str(number): ids for number, ids in enumerate(cut, 1)}))
            work.count(rows=len(members))

        config = {"seed": self.seed, "purpose": purpose, "round": round_, "count": parts, **rows.config}
        return self.stage("split", config, rows.inputs, run, f"split {purpose} {round_}")

    def only_correct(self, rows: Rows, demonstrations: Artifact) -> Artifact:
        """Cut rows into the parts "correct" and "wrong", and write the correct demonstrations.

        A demonstration is correct if its answer is right and it was not cut. The stage raises DataError if none is
        correct.
        """

        def run(work: Work) -> None:
            examples, labels = rows.examples(), read_demonstrations(demonstrations)
            # gold=True: the answers are graded, so the references are executed as well where the task executes answers.
            grader_of = graders(self.task, examples, (labels[id_] for id_ in examples), gold=True)
            right = [
                id_ for id_ in examples if labels[id_].finished and grader_of(id_).grade(labels[id_].completion).correct
            ]
            if not right:
                raise DataError(
                    f"supervision.demonstrations: 'correct' found, but none of {len(examples)} labels is right; "
                    "use a stronger weak model or more rows"
                )
            wrong = sorted(examples.keys() - set(right))
            write_atomic(work.path / PARTS, pretty({"correct": right, "wrong": wrong}))
            work.count(rows=write_rows(work.path / DEMONSTRATIONS, (labels[id_] for id_ in right)))

        config = {"task": self.task_kind, **rows.config}
        inputs = {"demonstrations": demonstrations, **rows.inputs}
        return self.stage("only_correct", config, inputs, run, "correct labels")

    def base(self, model: ModelConfig, weights: Artifact, head: Head = Head.NONE) -> Artifact:
        """Describe a base model. It is identified by the content of its weights, so moving its folder changes nothing.

        A model with a trained `head` is a classifier or a reward model.
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

        # The weights' fingerprint replaces source and revision. An unset template is left out, so that base stages from
        # before that setting keep their fingerprint.
        left_out = {"source", "revision"} | ({"chat_template"} if model.chat_template is None else set[str]())
        config = model.model_dump(mode="json", exclude=left_out) | (
            {"head": str(head)} if head is not Head.NONE else {}
        )
        # All seeds start from the same base model.
        return self.stage("base", config, {"weights": weights}, run, model.source, shared=True)

    def gold(self, rows: Rows) -> Artifact:
        """Write the references as demonstrations. A row without a reference is left out."""

        def run(work: Work) -> None:
            gold = [
                Demonstration(example_id=e.id, completion=e.reference, source=DemonstrationSource.GOLD)
                for e in rows.examples().values()
                if e.reference is not None
            ]
            work.count(rows=write_rows(work.path / DEMONSTRATIONS, gold))

        return self.stage("gold", rows.config, rows.inputs, run, "gold")

    def _learned(self, example: Example, answer: Demonstration) -> Answer | None:
        """Return what there is to learn in an answer, or None.

        An answer that was cut at the token limit has nothing to learn.
        """
        # Some tasks have a rule of their own for what is worth learning. For all others a final answer is needed.
        if isinstance(self.task, Learns):
            return self.task.learned(answer.completion) if answer.finished else None
        return answer_of(self.task.on(example), answer)

    def train(
        self,
        base: Artifact,
        rows: Rows,
        demonstrations: Artifact,
        settings: TrainSettings,
        label: str,
        checkpoints: int = 0,
    ) -> Artifact:
        """Finetune from the base model on these rows' demonstrations.

        A demonstration without an answer is left out and counted. `checkpoints` is the number of intermediate models to
        keep. The stage raises DataError if no demonstration has an answer to learn.
        """

        def run(work: Work) -> None:
            # References stay out of reach here, so that no training can use them by mistake.
            examples, current = rows.prompts_only(), read_demonstrations(demonstrations)
            training = [
                TrainingRow(id=id_, prompt=example.prompt, completion=current[id_].completion)
                for id_, example in examples.items()
                if self._learned(example, current[id_]) is not None
            ]
            if not training:
                raise DataError(f"{self.label} {label}: none of {len(examples)} demonstrations has an answer to learn")
            tokens = self.backend().train(base, training, settings, self.seed, work.path, checkpoints)
            # `check_cross_label` reads this record later.
            record = {"trained_on": [row.id for row in training], "without_answer": len(examples) - len(training)}
            write_atomic(work.path / TRAINING, pretty(record))
            work.count(rows=len(training), tokens=tokens)

        config = {
            "train": settings.model_dump(mode="json"),
            "seed": self.seed,
            "checkpoints": checkpoints,
            # The task decides which demonstrations have an answer to learn.
            "task": self.learned_kind,
            **rows.config,
        }
        inputs = {"base": base, "demonstrations": demonstrations, **rows.inputs}
        return self.stage("train", config, inputs, run, label)

    def train_preferences(
        self,
        policy: Artifact,
        rows: Rows,
        preferred: Artifact,
        settings: TrainSettings,
        objective: Objective,
        label: str,
    ) -> Artifact:
        """Train a policy further on preferences.

        If the round kept no preference, the policy is copied as it is.
        """

        def run(work: Work) -> None:
            examples, chosen = rows.prompts_only(), read_chosen(preferred)
            training = [
                PreferenceRow(
                    # An example may have several pairs, so the number makes the row's id unique.
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
                # A stage must have a model as its result, because the next round trains it.
                copy_model(Path(policy.path), work.path)
            ids = sorted({row.example_id for row in chosen})
            write_atomic(work.path / TRAINING, pretty({"trained_on": ids, "without_answer": 0, "pairs": len(chosen)}))

        config = {
            # `lora` is not read: whether an adapter or all weights are trained depends on the policy alone.
            "train": settings.model_dump(mode="json", exclude={"lora"}),
            "objective": objective.semantic(),
            "seed": self.seed,
            **rows.config,
        }
        inputs = {"policy": policy, "preferred": preferred, **rows.inputs}
        return self.stage("train_preferences", config, inputs, run, label)

    def score(self, model: Artifact, rows: Rows, answers: Artifact, label: str) -> Artifact:
        """Compute log p(answer and end | prompt) for these rows' answers, in nats.

        An answer that was cut has no end, so it has no score.
        """

        def run(work: Work) -> None:
            examples, answer_rows = rows.prompts_only(), read_demonstrations(answers)
            finished = [
                TrainingRow(id=id_, prompt=example.prompt, completion=answer_rows[id_].completion)
                for id_, example in examples.items()
                if answer_rows[id_].finished
            ]

            def batches(scores: Path) -> Iterator[Sequence[Score]]:
                done = {row.id for row in read_rows(scores, Score)}
                work.expect(len(finished), len(done))
                return self.backend().logprobs(model, finished, done)

            work.append_batches(SCORES, batches, _rows_and_tokens)

        inputs = {"model": model, "answers": answers, **rows.inputs}
        return self.stage("score", rows.config, inputs, run, f"log-probabilities {label}", resumable=True)

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
        """Let a model answer these rows' prompts, each `samples` times.

        If the run is killed, finished batches are kept.
        """
        # Purpose and round are part of the key, so that test answers and proposals have draws of their own.
        key = SamplingKey(seed=self.seed, stage=purpose, round=round_)

        def run(work: Work) -> None:
            examples = rows.prompts_only()
            prompts = [
                Prompt(id=id_, messages=example.prompt, sample=sample)
                for id_, example in examples.items()
                for sample in range(samples)
            ]

            def batches(answers: Path) -> Iterator[Sequence[Completion]]:
                # A killed run leaves whole batches. The backend is told which rows are done, so that it leaves those
                # batches out.
                done = {row_key(row.example_id, row.sample) for row in read_rows(answers, Demonstration)}
                work.expect(len(prompts), len(done))
                return self.backend().generate(model, prompts, decode, key, done)

            def row(answer: Completion) -> Demonstration:
                return _demonstration(answer, source, model, round_)

            work.append_batches(DEMONSTRATIONS, batches, _rows_and_tokens, row)

        config = {
            "decode": decode.model_dump(mode="json"),
            # Greedy and beam search draw nothing, so all seeds share their answers.
            "seed": self.seed if decode.temperature > 0 else None,
            "purpose": purpose,
            "source": str(source),
            "round": round_,
            "samples": samples,
            **rows.config,
        }
        inputs = {"model": model, **rows.inputs}
        return self.stage("answer", config, inputs, run, f"answers for {purpose} {round_}", resumable=True)

    def grade(self, rows: Rows, answers: Artifact) -> Artifact:
        """Compare answers with the references, and write a grade for each row."""

        def run(work: Work) -> None:
            examples, answer_rows = rows.examples(), read_demonstrations(answers)
            grader_of = graders(self.task, examples, (answer_rows[id_] for id_ in examples), gold=True)
            # A generator: a grade is written as soon as it is known.
            grades = ((id_, grader_of(id_).grade(answer_rows[id_].completion)) for id_ in examples)
            written = write_rows(
                work.path / GRADES,
                (GradeRow(example_id=id_, correct=grade.correct, extracted=grade.extracted) for id_, grade in grades),
            )
            work.count(rows=written)

        config = {"task": self.task_kind, **rows.config}
        inputs = {"answers": answers, **rows.inputs}
        return self.stage("grade", config, inputs, run, "grades")


def _rows_and_tokens(batch: Sequence[Score | Completion]) -> dict[str, int]:
    """Count a batch's rows and tokens."""
    return {"rows": len(batch), "tokens": sum(item.tokens for item in batch)}


def _demonstration(answer: Completion, source: DemonstrationSource, model: Artifact, round_: int) -> Demonstration:
    """Turn what a model wrote into a demonstration that names the model and the round."""
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
    """Return an intermediate model of a training as an artifact of its own.

    `number` counts from 1. The fingerprint is the training's, followed by the name of the checkpoint's folder.
    """
    # A checkpoint lies inside its training's folder and has no manifest of its own.
    name = f"checkpoint-{number:02d}"
    return Artifact(path=str(Path(model.path) / name), kind="train", fingerprint=f"{model.fingerprint}/{name}")
