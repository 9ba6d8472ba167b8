"""What tasks, annotators and backends promise to the rooms above them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from burnish.config import Decoding, Objective, TrainSettings
from burnish.types import (
    Answer,
    Artifact,
    Comparison,
    Completion,
    Example,
    Grade,
    PairRow,
    Preference,
    PreferenceRow,
    Prompt,
    TrainingRow,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A task's two splits, after rows of the training split whose prompt is in the test split were dropped.

    `left_out` counts the rows that a task cannot use, by why.
    """

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    dropped: int
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])


class AnswerMatcher(Protocol):
    """Finds final answers and tells whether two of them are the same: all that refinement needs to know of them."""

    def extract(self, completion: str) -> Answer | None:
        """Return the final answer of a completion, None where there is none."""
        ...

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two final answers are the same answer."""
        ...


class ExampleGrader(AnswerMatcher, Protocol):
    """Knows the answers to one example."""

    def grade(self, completion: str) -> Grade:
        """Compare a completion with the example's reference; the only reader of it besides the oracle."""
        ...


class Grader(Protocol):
    """Knows what a right answer is: the part of a task that needs no data."""

    def on(self, example: Example) -> ExampleGrader:
        """Return the grader of answers to this example."""
        ...


class Task(Grader, Protocol):
    """A grader that also loads the examples."""

    def load(self) -> Dataset:
        """Return both splits; raises DataError naming file and line, ConfigError naming the field."""
        ...


@runtime_checkable
class Executes(Protocol):
    """A grader that must execute answers to compare them, as queries on a database."""

    def execute(self, answers: Iterable[tuple[Example, str]], gold: bool) -> None:
        """Execute many answers at once, and with `gold` the references of their examples too; keep the results.

        Only `tasks.answers.graders` calls this. Everybody else names there the answers that they will look at.
        """
        ...


@runtime_checkable
class Learns(Protocol):
    """A grader that tells in a way of its own whether a text holds anything to learn."""

    def learned(self, completion: str) -> Answer | None:
        """Return an answer that is worth learning, None where the text holds none; it need not be the final one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a task has to say of held-out answers besides how many are right.

    `shares`: {metric: (how many, of how many)}; `counts`: how many answers of each kind there are.
    """

    shares: Mapping[str, tuple[int, int]]
    counts: Mapping[str, int]


@runtime_checkable
class SaysMore(Protocol):
    """A task whose answers differ in more than being right or wrong."""

    def said(self, answers: Sequence[tuple[Example, str]]) -> Said:
        """Look at held-out answers."""
        ...


class Annotator(Protocol):
    """A source of comparisons, right or wrong."""

    @property
    def fingerprint(self) -> str:
        """What identifies the judge."""
        ...

    @property
    def order_free(self) -> bool:
        """Whether the order in which two answers are shown cannot matter."""
        ...

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield finished units of work (a batch, a call) until each comparison that is not `done` has a preference.

        Units are planned over all comparisons; one with a missing comparison comes whole.
        """
        ...


@runtime_checkable
class AsksAgain(Protocol):
    """An annotator that remembers its answers, and can give one like itself that does not."""

    def again(self) -> Annotator:
        """Return the annotator to ask a second time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingKey:
    """What a draw is a function of, besides item, sample index and step (DESIGN.md, stages)."""

    seed: int
    stage: str
    round: int


RowKey: TypeAlias = str
"""How a row of a batch is known on disk: the id, and for a repeated draw `id#sample`."""


def row_key(id_: str, sample: int) -> RowKey:
    """Return how an answer is known on disk."""
    return f"{id_}#{sample}" if sample else id_


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number for the row `id`: a log-probability in nats, summed over `tokens`, or a probability, having read
    `tokens`."""

    id: str
    value: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPoint:
    """Means over the pairs of some steps of preference training, up to and with `step` (from 1).

    `chosen_logp` and `rejected_logp` are log p(answer and end | prompt) in nats; `margin` is the implicit reward of
    the chosen answer minus that of the rejected one, beta * the difference of log-ratios to the reference.
    """

    step: int
    loss: float
    chosen_logp: float
    rejected_logp: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a preference training cost, tokens with repeats counted, and how it went."""

    tokens: int
    curve: tuple[TrainingPoint, ...]


class Trainer(Protocol):
    """Trains models. A model is always a directory of weights, on the way in and on the way out."""

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        checkpoints: int = 0,
    ) -> int:
        """Finetune the base `model` on `rows` and write the result into the folder `into`.

        With `checkpoints`, so many intermediate models are written into `into`, too, as `checkpoint-01`, ... They are
        evenly spaced, and the last one is the model after the last step. Returns how many tokens were trained on; a
        token that was trained on twice counts twice. Raises DataError naming a row whose end would be cut.
        """
        ...

    def train_classifier(
        self, model: Artifact, rows: Sequence[tuple[PairRow, PairRow]], settings: TrainSettings, seed: int, into: Path
    ) -> int:
        """Train a head with two classes to say whether the second answer is better; a row is a pair in both orders.

        Returns how many tokens were trained on; a token that was trained on twice counts twice.
        """
        ...

    def train_preferences(
        self,
        policy: Artifact,
        rows: Sequence[PreferenceRow],
        settings: TrainSettings,
        objective: Objective,
        seed: int,
        into: Path,
    ) -> Trained:
        """Train a finetuned `policy` further, on preferences (DPO). The policy as it is now is the reference.

        `settings.lora` is not read: if the policy is an adapter, the adapter is trained; else all weights are.
        """
        ...

    def export(self, model: Artifact, into: Path) -> None:
        """Write a finetuned model into the folder `into` with its tokenizer, in the form that others load."""
        ...


class Generator(Protocol):
    """Lets a model write answers."""

    def generate(
        self,
        model: Artifact,
        prompts: Sequence[Prompt],
        settings: Decoding,
        key: SamplingKey,
        done: AbstractSet[RowKey],
    ) -> Iterator[Sequence[Completion]]:
        """Yield batches of completions.

        Batches are planned over all prompts. A batch whose rows are all `done` is left out; a batch with a missing row
        is computed whole. So a resumed run computes what a run without a break computes.
        """
        ...


class Scorer(Protocol):
    """Lets a model give a number to an answer or to a pair of answers. Batches and `done` are as in `Generator`."""

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of log p(completion and end | prompt) in nats, summed over tokens."""
        ...

    def classify(
        self, model: Artifact, rows: Sequence[PairRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of P(the second answer is better) in [0, 1].

        A pair that does not fit into the model has no score.
        """
        ...

    def rewards(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of a reward model's numbers for a prompt and an answer.

        A row that does not fit into the model has no score.
        """
        ...


class Backend(Trainer, Generator, Scorer, Protocol):
    """Trains, generates and scores in one object, which is what a whole run needs.

    Code that needs only one of these asks for that one: an annotator takes any `Scorer`.
    """
