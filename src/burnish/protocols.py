"""The protocols that tasks, annotators and backends implement for the rooms above them."""

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
    """A task's two splits.

    `dropped` counts the training rows that were removed because their prompt is in the test split. `left_out` counts
    the rows that the task cannot use, as {why: number}.
    """

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    dropped: int
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])


# A class fulfils a protocol by its methods alone. One from outside the package need not inherit from here.
class AnswerMatcher(Protocol):
    """Finds final answers and says whether two of them are the same.

    This is all that refinement needs to know about answers.
    """

    def extract(self, completion: str) -> Answer | None:
        """Return the final answer of a completion, or None where it has none."""
        ...

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two final answers are the same answer."""
        ...


class ExampleGrader(AnswerMatcher, Protocol):
    """Finds, matches and grades the answers to one example."""

    def grade(self, completion: str) -> Grade:
        """Compare a completion with the example's reference.

        Besides the oracle, only this method reads the reference.
        """
        ...


class Grader(Protocol):
    """Knows what a right answer is. This is the part of a task that needs no data."""

    def on(self, example: Example) -> ExampleGrader:
        """Return the grader of answers to this example."""
        ...


# Grading is separate from loading, because a user's dataset brings its own rows and needs only a grader.
class Task(Grader, Protocol):
    """A grader that also loads the examples."""

    def load(self) -> Dataset:
        """Return both splits.

        Raises DataError, which names file and line, if the data are wrong. Raises ConfigError, which names the field,
        if a setting is wrong.
        """
        ...


# The protocols that are `runtime_checkable` are optional abilities: code asks for them with isinstance.
@runtime_checkable
class Previews(Protocol):
    """A task whose rows can be checked without the slow part of loading them, such as executing every reference."""

    def preview(self) -> Dataset:
        """Return both splits with some more rows than `load`. Raises DataError and ConfigError as `load` does."""
        ...


@runtime_checkable
class Executes(Protocol):
    """A grader that must execute answers to compare them, for example queries on a database."""

    def execute(self, answers: Iterable[tuple[Example, str]], gold: bool) -> None:
        """Execute many answers at once and keep the results. With `gold`, execute the references of their examples too.

        Only `tasks.answers.graders` calls this method. All other code passes the answers that it will look at to that
        function.
        """
        ...


@runtime_checkable
class Learns(Protocol):
    """A grader with its own rule for whether a text holds anything to learn."""

    def learned(self, completion: str) -> Answer | None:
        """Return an answer that is worth learning, or None where the text holds none.

        It need not be the final answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReport:
    """What a task reports about held-out answers besides how many are right.

    `shares` is {metric: (how many, of how many)}. `counts` is {kind of answer: how many}.
    """

    shares: Mapping[str, tuple[int, int]]
    counts: Mapping[str, int]


@runtime_checkable
class SaysMore(Protocol):
    """A task whose answers differ in more than being right or wrong."""

    def said(self, answers: Sequence[tuple[Example, str]]) -> AnswerReport:
        """Look at held-out answers and report on them."""
        ...


class Annotator(Protocol):
    """A source of comparisons, which may be right or wrong."""

    @property
    def fingerprint(self) -> str:
        """The identity of the judge."""
        ...

    @property
    def order_free(self) -> bool:
        """Whether the order in which two answers are shown cannot matter."""
        ...

    # The annotator itself leaves out what is done, because only it knows which comparisons make a unit.
    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Judge the comparisons that are not `done`, and yield finished units of work (a batch, a call).

        Units are planned over all comparisons. A unit with a missing comparison is judged as a whole, so it may repeat
        comparisons that are done. So an interrupted run gets the same units as a run without a break.
        """
        ...


@runtime_checkable
class AsksAgain(Protocol):
    """An annotator that remembers its answers, and can return a copy of itself that does not."""

    def again(self) -> Annotator:
        """Return the annotator to ask a second time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
# The name of the method is not in it, so that methods which begin alike draw the same samples and share stages.
class SamplingKey:
    """What determines a random draw, besides item, sample index and step.

    A draw depends on nothing else, so batch sizes and restarts do not change it.
    """

    seed: int
    stage: str
    round: int


RowKey: TypeAlias = str
"""The name of a row of a batch on disk: its id, or `id#sample` for a repeated draw."""


def row_key(id_: str, sample: int) -> RowKey:
    """Return the name of an answer on disk."""
    # The first draw has the bare id, so that the rows of a stage with one answer a prompt are named like its examples.
    return f"{id_}#{sample}" if sample else id_


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number for the row `id`.

    It is a log-probability in nats, summed over `tokens` tokens, or a probability or reward after `tokens` tokens were
    read.
    """

    id: str
    value: float
    # The count is needed for the mean of a token, which SEAM and some judges compare.
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPoint:
    """Means over the pairs of several steps of preference training, up to and including `step` (from 1).

    `chosen_logp` and `rejected_logp` are log p(answer and end | prompt) in nats. `margin` is the implicit reward of the
    chosen answer minus that of the rejected answer: beta times the difference of their log-ratios to the reference.
    """

    step: int
    loss: float
    chosen_logp: float
    rejected_logp: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The cost and the course of a preference training.

    `tokens` counts a token once for each time that it was trained on.
    """

    tokens: int
    curve: tuple[TrainingPoint, ...]


class Trainer(Protocol):
    """Trains models. A model is always a folder of weights, both as input and as output."""

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        # Ten checkpoints of p~ answer the prompts from which the comparator q~ learns (section 3).
        checkpoints: int = 0,
    ) -> int:
        """Finetune the base `model` on `rows` and write the result into the folder `into`.

        `checkpoints` is the number of intermediate models to write into `into` as well, as `checkpoint-01`, ... They
        are evenly spaced, and the last one is the model after the last step. Returns how many tokens were trained on; a
        token that was trained on twice counts twice. Raises DataError, which names the row, if a row's end would be
        cut.
        """
        ...

    # Both orders come in one batch: with both shuffled apart, a small model did not learn at all.
    def train_classifier(
        self, model: Artifact, rows: Sequence[tuple[PairRow, PairRow]], settings: TrainSettings, seed: int, into: Path
    ) -> int:
        """Train a head with two classes to say whether the second answer is better.

        Each row is one pair in both orders. Returns how many tokens were trained on; a token that was trained on twice
        counts twice.
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
        """Train a finetuned `policy` further on preferences (DPO). The policy as it is now is the reference.

        `settings.lora` is not read. If the policy is an adapter, the adapter is trained; otherwise all weights are
        trained.
        """
        ...

    def export(self, model: Artifact, into: Path, merge: bool = False) -> None:
        """Write a finetuned model and its tokenizer into the folder `into`, in the form that other programs load.

        With `merge`, whole weights are written, also where an adapter was trained. A backend is asked for `merge` only
        if the user asks for it.
        """
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

        Batches are planned over all prompts. A batch whose rows are all `done` is left out, and a batch with a missing
        row is computed as a whole. So a resumed run computes each row in the same batch as a run without a break.
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


# Three protocols and not one, so that a fake in a test or a server needs only what it is used for.
class Backend(Trainer, Generator, Scorer, Protocol):
    """Trains, generates and scores in one object, which is what a whole run needs.

    Code that needs only one of these asks for that one: an annotator takes any `Scorer`.
    """
