"""The stages that prepare data and grade answers. None of them needs a model.

Nothing here reads an artifact while stages are planned, because a dry run makes the same calls without any results.
Artifacts are read only inside the `run` functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from burnish.algorithms.refinement import split_keys
from burnish.errors import DataError
from burnish.protocols import Grader, Task
from burnish.steps.artifacts import DEMONSTRATIONS, GRADES, PARTS, GradeRow, Rows, read_demonstrations
from burnish.steps.versions import version_of
from burnish.store.files import pretty, write_atomic, write_rows
from burnish.store.keys import packed_columns, texts_of
from burnish.store.listings import write_listings
from burnish.store.runners import Runner
from burnish.store.stages import Division, Stage, Work
from burnish.tasks.answers import graded, graders
from burnish.types import Artifact, Demonstration, DemonstrationSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """How a stage is run, besides what it computes.

    If the stage is `resumable`, the work of a killed run is kept and passed to the stage's function again. A `shared`
    stage is the same for every seed, so its label does not name the seed. `outside`, `after` and `division` are those
    of the `Stage`.
    """

    resumable: bool = False
    shared: bool = False
    outside: bool = False
    after: tuple[Artifact, ...] = ()
    division: Division | None = None


ORDINARY = Handling()
RESUMABLE = Handling(resumable=True)
SHARED = Handling(shared=True)


class DataSteps:
    """Builds and runs the stages of one seed that need no model.

    `label` is put before the label of each stage that is not shared.

    `task_kind` stands for the task in the identity of stages. `learned_kind`, if given, stands for it in training: the
    rule for which answers are learned may be older than the rule for grading. `referee` compares answers with
    references. It is the task, unless the user's references need another comparison than the user's answers.
    """

    def __init__(
        self, runner: Runner, task: Grader, task_kind: str, seed: int, learned_kind: str | None = None
    ) -> None:
        self.runner, self.task, self.task_kind, self.seed = runner, task, task_kind, seed
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
        handling: Handling = ORDINARY,
    ) -> Artifact:
        """Run a stage, or reuse its result if it exists. All stages of the package are made here.

        `name`, its version (see versions.py), `config` and `inputs` are the stage's identity.
        """
        return self.runner.run(
            Stage(
                name=name,
                version=version_of(name),
                config=config,
                inputs=inputs,
                run=run,
                # The label is for people. It is not part of the identity.
                label=label if handling.shared else f"{self.label} {label}",
                resumable=handling.resumable,
                outside=handling.outside,
                after=handling.after,
                division=handling.division,
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
        return self.stage("data", config, source, run, "data", SHARED)

    def split(self, rows: Rows, purpose: str, round_: int, parts: int = 2) -> Artifact:
        """Cut rows into parts "1", "2", ... by groups (Algorithm 1, line 2).

        Each seed, purpose and round has its own cut. The stage raises DataError if there are too few groups of equal
        prompts.
        """

        def run(work: Work) -> None:
            id_N, group_N = packed_columns(rows.groups(), 2)
            cut = split_keys(id_N, group_N, self.seed, round_, purpose, parts)
            # A part without rows could train no model. This happens if there are fewer groups than parts.
            if not all(map(len, cut)):
                raise DataError(f"task: {len(id_N)} rows cannot be cut into {parts} parts by prompt; use more rows")
            write_listings(work.path / PARTS, {str(number): texts_of(ids) for number, ids in enumerate(cut, 1)})
            work.count(rows=len(id_N))

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
            right = [id_ for id_ in examples if graded(grader_of(id_), labels[id_]).correct]
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

    def grade(self, rows: Rows, answers: Artifact) -> Artifact:
        """Compare answers with the references, and write a grade for each row. An answer that was cut is wrong."""

        def run(work: Work) -> None:
            examples, answer_rows = rows.examples(), read_demonstrations(answers)
            grader_of = graders(self.task, examples, (answer_rows[id_] for id_ in examples), gold=True)
            # A generator: a grade is written as soon as it is known.
            grades = ((id_, graded(grader_of(id_), answer_rows[id_])) for id_ in examples)
            written = write_rows(
                work.path / GRADES,
                (GradeRow(example_id=id_, correct=grade.correct, extracted=grade.extracted) for id_, grade in grades),
            )
            work.count(rows=written)

        config = {"task": self.task_kind, **rows.config}
        inputs = {"answers": answers, **rows.inputs}
        return self.stage("grade", config, inputs, run, "grades")
