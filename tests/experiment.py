"""A small experiment on the fake backend, for tests of the lab, the stages and the methods."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.backends.fake import SKILL, FakeBackend
from burnish.config import Config
from burnish.lab.experiment import Experiment, Outcome
from burnish.lab.inputs import resolve
from burnish.lab.judged import changes_of
from burnish.lab.measure import results_of
from burnish.lab.pairing import graded_of
from burnish.lab.running import Finished, run
from burnish.models.card import read_card
from burnish.protocols import RowKey, Score
from burnish.results import Results, Run
from burnish.store.course import StagePosition
from burnish.store.files import pretty
from burnish.store.json_rows import dump_line
from burnish.store.runners import Executor
from burnish.store.stages import Store
from burnish.tasks import make_task
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Completion, Prompt, TrainingRow, short_hash

TRAIN, TEST = 80, 30
ROWS = TRAIN // 2
"""Rows of half U, which students learn from."""


def small(**changes: Any) -> Config:
    """Return a config with one seed and two rounds; `changes` replace its top-level fields."""
    values: dict[str, Any] = {
        "name": "small",
        "task": {"kind": "sums", "train": TRAIN, "test": TEST},
        "models": {"weak": "builtin:weak", "strong": "builtin:strong"},
        "supervision": {"annotator": {"kind": "likelihood", "model": "builtin:judge-3"}},
        "train": {"lora": None},
        "decode": {"beams": 1, "max_new_tokens": 8},
        "methods": [
            {"kind": "sft"},
            {"kind": "naive", "rounds": 2, "alpha": 0.15},
            {"kind": "ilr", "rounds": 2, "alpha": 0.15},
        ],
    }
    return Config.model_validate(values | changes)


def gold() -> dict[str, str]:
    """Return the right answers of the small experiment's world by question."""
    return {problem.question: str(problem.answer) for problem in generate(TRAIN + TEST, 0)}


def fake(before_unit: Callable[[str], None] = lambda _: None) -> FakeBackend:
    """Return a backend that knows the gold answers of the small experiment's world."""
    return FakeBackend(gold(), before_unit)


class Wordy(FakeBackend):
    """Says each answer in words of its own, so that texts differ where answers agree."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        answer = super()._answer(prompt, skill, model)
        return dataclasses.replace(answer, text=f"{model[:6]} {prompt.sample} {answer.text}")


class Cut(Wordy):
    """Hits the token limit in about every fourth answer."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        whole = int(short_hash("cut", prompt.id, str(prompt.sample), model), 16) % 4 > 0
        return dataclasses.replace(super()._answer(prompt, skill, model), finished=whole)


class Skilled(FakeBackend):
    """Scores an answer by its model's skill: log(skill) for a right one, log(1 - skill) for a wrong one."""

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        skill = skill_of(model)
        for batch in super().logprobs(model, rows, done):
            right = {row.id for row in rows if self._right(row.prompt, row.completion)}
            yield [
                dataclasses.replace(score, value=math.log(skill if score.id in right else 1 - skill)) for score in batch
            ]


class Poor(FakeBackend):
    """Has a supervisor that is right in four cases of ten, so that there is much to refine."""

    def _write(self, model: Artifact, into: Path, skill: float) -> None:
        weak = read_card(Path(model.path)).base.source == "builtin:weak"
        super()._write(model, into, 0.4 if weak else skill)


class Astray(Poor):
    """Is wrong in several ways, so that samples differ from the label and from each other."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        answer = super()._answer(prompt, skill, model)
        right = self.gold["\n".join(message.content for message in prompt.messages)]
        if answer.text == f"#### {right}":
            return answer
        off = 1 + int(short_hash("off", prompt.id, str(prompt.sample), model), 16) % 4
        return dataclasses.replace(answer, text=f"#### {int(right) + off}")


class Undecided(FakeBackend):
    """Finds all answers equally likely."""

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        for batch in super().logprobs(model, rows, done):
            yield [dataclasses.replace(score, value=-1.0) for score in batch]


def skill_of(model: Artifact) -> float:
    """Return the share of prompts that a fake model answers right."""
    return float(json.loads((Path(model.path) / SKILL).read_text()))


def run_small(config: Config, where: Path, backend: FakeBackend | None = None) -> Finished:
    """Run on the fake backend into `where`."""
    chosen = backend or fake()
    return run(config, out=where / "out", store=where / "store", backend=lambda: chosen)


class Quiet:
    """A talk that remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    @contextmanager
    def stage(self, label: str, position: StagePosition | None = None) -> Generator[None, None, None]:
        yield

    def rows(self, done: int, total: int) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What an experiment found, with its outcomes, and without figures and page."""

    results: Results
    outcomes: list[Outcome]
    changes: bytes
    executor: Executor

    def run(self, method: str, round_: int, seed: int = 0) -> Run:
        """Return the numbers of one method's round."""
        key = (method, round_, seed)
        return next(run for run in self.results.runs if (run.method, run.round, run.seed) == key)

    def outcome(self, method: str, round_: int, seed: int = 0) -> Outcome:
        """Return the artifacts of one method's round."""
        key = (method, round_, seed)
        return next(one for one in self.outcomes if (one.method, one.round.number, one.seed) == key)

    @property
    def bytes(self) -> bytes:
        """What `burnish run` writes of it."""
        return pretty(self.results.model_dump(mode="json"))

    @property
    def stages(self) -> list[str]:
        """The names of all stages, in their order."""
        return [record.stage.name for record in self.executor.records]


def measured(config: Config, where: Path, backend: FakeBackend | None = None) -> Measured:
    """Run on the fake backend into the store of `where`."""
    chosen, inputs = backend or fake(), resolve(config, offline_ok=False)
    executor = Executor(Store(where / "store"), Quiet(), {})
    outcomes = Experiment(config=config, inputs=inputs, runner=executor, backend=lambda: chosen).run(config.seeds)
    task = make_task(inputs.task)
    return Measured(
        results=results_of(config, outcomes, graded_of(outcomes), task),
        outcomes=outcomes,
        changes=b"".join(dump_line(change.model_dump(mode="json")) for change in changes_of(outcomes, task)),
        executor=executor,
    )
