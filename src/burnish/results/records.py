"""The records of a results folder, as models that the lab writes and the report reads.

The fields are documented in docs/results-schema.md. A test checks that the page and these models agree.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from burnish.stats import Interval, wilson
from burnish.types import Reason

# Raise it if an old reader would misread a new file; a file of another version is refused.
SCHEMA_VERSION = 1
RESULTS_FILE = "results.json"
TIMINGS_FILE = "timings.json"
CHANGES_FILE = "changes.jsonl"
CONFIDENCE_FILE = "confidence.jsonl"
CONFIG_FILE = "config.yaml"
MODELS_FILE = "models.json"
REFERENCE_WIN_RATE = "reference_win_rate"
"""The metric for how often a judge prefers a model's answers to the references."""

SUPERVISOR = "weak"
"""The name and the kind of the weak supervisor in results. It is measured like a method."""

Bounds: TypeAlias = tuple[float, float]
"""The lowest and the highest value of an interval."""
# Counts cannot be negative and probabilities lie in [0, 1]. A file that says otherwise is refused when it is read.
Natural: TypeAlias = Annotated[int, Field(ge=0)]
StoredProbability: TypeAlias = Annotated[float, Field(ge=0, le=1)]
MethodRound: TypeAlias = tuple[str, int]
"""A method's name and how many rounds it has done."""


# The docstring under each field is its description in the schema and in docs/results-schema.md, word for word.
class Record(BaseModel):
    """Base of everything that is written to a results folder: frozen, without unknown fields, only finite numbers."""

    # `allow_inf_nan=False`: JSON has no NaN, and a missing number is null with a documented meaning.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Metric(Record):
    """One measured number of one run."""

    value: float | None
    """The number (a share for accuracies); null if nothing could be measured (n = 0)."""
    n: Natural
    """How many items the number is taken over: prompts, rows or decisive pairs."""
    ci95: Bounds | None
    """The 95 % interval as lowest and highest value (Wilson's for a share); null if there is none."""

    @staticmethod
    def of(interval: Interval | None) -> Metric:
        """Return an estimate as a metric. None means that nothing could be measured."""
        if interval is None:
            return Metric(value=None, n=0, ci95=None)
        return Metric(value=interval.value, n=interval.n, ci95=interval.ci95)

    @staticmethod
    def share(count: int, n: int) -> Metric:
        """Return the share `count / n` with Wilson's interval. With n = 0 there is no share, and the value is None."""
        return Metric.of(wilson(count, n) if n else None)


class CurvePoint(Record):
    """The state of a preference training: means over the pairs of the steps since the last point."""

    step: Natural
    """Optimiser steps done."""
    loss: float
    """The loss that the training minimises."""
    chosen_logp: float
    """Log-probability of the chosen answers and their ends, in nats."""
    rejected_logp: float
    """Log-probability of the rejected answers and their ends, in nats."""
    margin: float
    """Implicit reward of the chosen answer minus that of the rejected one: beta times the difference of log-ratios."""


class RlPoint(Record):
    """The answers of one step of reinforcement learning, before the policy learned from them."""

    step: Natural
    """The step, counted from 1."""
    reward: float | None
    """The mean reward that the policy is trained on, without the penalty for KL; null if no answer has one."""
    accuracy: StoredProbability | None
    """The share of right answers; null if the rows have no references."""
    kl: float
    """The mean KL of an answer from the policy at the start of the round, in nats."""
    length: float
    """The mean number of tokens of an answer with its end."""
    unfinished: StoredProbability
    """The share of answers that were cut at the token limit."""
    unscored: StoredProbability
    """The share of answers without a reward."""
    flat: StoredProbability
    """The share of prompts whose answers all have the same reward, so that nothing is learned from them."""


class Run(Record):
    """One method with one seed after one round."""

    method: str
    """The method's name in the config; `weak` for the supervisor itself."""
    kind: str
    """The kind of method: weak, sft, naive, ilr, and kinds that are added later."""
    seed: int
    """The seed of the run."""
    round: Natural
    """The number of rounds done; 0 is the first finetuning, before any change of labels."""
    metrics: dict[str, Metric]
    """Each metric by its name: test_accuracy, label_accuracy, annotator_accuracy, replaced, ..."""
    counts: dict[str, int]
    """The number of rows for each reason (agreed, accepted, ...), what the changes did, train_rows and other counts."""
    curve: tuple[CurvePoint, ...] = ()
    """The training curve, if the model was trained on preferences."""
    rl_curve: tuple[RlPoint, ...] = ()
    """The training curve, if the model was trained with reinforcement learning: all steps, or about 100 of them."""
    by_order: tuple[StoredProbability, ...] = ()
    """The test accuracy of each training, if the model was trained with its rows in several orders; else empty."""


class SummaryRow(Record):
    """One metric of one method after one round, over all seeds."""

    method: str
    """The method's name."""
    round: Natural
    """The number of rounds done."""
    metric: str
    """The metric's name."""
    mean: float | None
    """The mean over the seeds that have a value; null if none has."""
    sd: float | None
    """The standard deviation over seeds (n - 1); null for one seed."""
    seeds: Natural
    """The number of seeds that have a value."""
    ci95: Bounds | None
    """The 95 % t-interval over seeds, for a share cut to [0, 1]; null for one seed."""


class PairedRow(Record):
    """The difference a - b of one metric, paired by seed and prompt."""

    metric: str
    """The metric's name."""
    a: str
    """The method that is compared."""
    a_round: Natural
    """The round of method a."""
    b: str
    """The method that a is compared with."""
    b_round: Natural
    """The round of method b."""
    difference: float
    """The mean of a minus the mean of b."""
    ci95: Bounds | None
    """The 95 % interval: over seeds and prompts, or Newcombe's for one seed; null if there is none."""
    seeds: Natural
    """The number of seeds that both methods have."""
    prompts: Natural
    """The number of prompts that both methods answered, per seed."""

    def turned(self) -> PairedRow:
        """Return the same difference from the other side: b - a."""
        return PairedRow(
            metric=self.metric,
            a=self.b,
            a_round=self.b_round,
            b=self.a,
            b_round=self.a_round,
            difference=-self.difference,
            # The sign changes, so the ends change places.
            ci95=None if self.ci95 is None else (-self.ci95[1], -self.ci95[0]),
            seeds=self.seeds,
            prompts=self.prompts,
        )


class NoiseRow(Record):
    """A part of the noise of one metric of one method after one round: a variance component."""

    metric: str
    """The metric's name."""
    method: str
    """The method's name."""
    round: Natural
    """The number of rounds done."""
    source: str
    """Where the noise comes from: seed, order (of rows), prompt, or two of them together, as in `seed x prompt`."""
    variance: float
    """The variance between single units, by the method of moments. Below zero, the data show no such noise."""
    of_mean: float
    """The part of the variance of the mean over all units: the variance divided by the number of units."""
    df: Natural
    """The degrees of freedom of the estimate."""


class Results(Record):
    """The content of results.json: everything that an experiment found.

    It holds no times, dates or paths, so that equal runs give equal bytes.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    """The version of this file format."""
    burnish_version: str
    """The version of burnish that wrote the file."""
    config: dict[str, JsonValue]
    """The resolved semantic config: every default is filled in, and `execution` is left out."""
    runs: tuple[Run, ...]
    """One row for each method, seed and round."""
    summary: tuple[SummaryRow, ...]
    """One row for each method, round and metric."""
    paired: tuple[PairedRow, ...]
    """Differences between methods."""
    noise: tuple[NoiseRow, ...] = ()
    """Where the noise of test accuracy comes from; empty in files of earlier versions."""

    @model_validator(mode="after")
    def _runs_differ(self) -> Results:
        """Refuse a file in which a method, seed and round has two rows."""
        # A repeated row would count twice in every mean.
        keys = [(run.method, run.seed, run.round) for run in self.runs]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"method {twice[0]!r}, seed {twice[1]}, round {twice[2]} is in the file twice")
        return self

    def paired_row(self, metric: str, a: MethodRound, b: MethodRound) -> PairedRow | None:
        """Return the paired difference a - b of a metric.

        The file may hold it as b - a; it is then turned. Return None if the file holds neither.
        """
        for row in self.paired:
            if row.metric == metric and (row.a, row.a_round, row.b, row.b_round) == (*a, *b):
                return row
            # Only one direction of each pair is written.
            if row.metric == metric and (row.a, row.a_round, row.b, row.b_round) == (*b, *a):
                return row.turned()
        return None


class StageTiming(Record):
    """The cost of one stage, or that its result was taken from the store."""

    name: str
    """The kind of stage: train, generate, compare, ..."""
    label: str
    """What the stage was for, in words."""
    fingerprint: str
    """The identity of its result in the store, in hex digits."""
    reused: bool
    """True if the result was already in the store."""
    seconds: Annotated[float, Field(ge=0)]
    """Wall-clock seconds in this run."""
    rows: Natural
    """The number of rows that it worked on."""
    tokens: Natural
    """The number of tokens that it worked on; 0 if it counts none."""
    comparisons: Natural
    """The number of comparisons that were judged."""


class Machine(Record):
    """The machine on which the experiment ran."""

    platform: str
    """The operating system and the processor."""
    cpu_count: int | None
    """The number of cores that the system reports; null if it reports none."""
    device: str
    """The device: cpu, cuda or mps."""
    threads: int | None
    """The number of CPU threads of one process; null if the library chose it."""


class Timings(Record):
    """The content of timings.json: the cost of an experiment, and the machine and libraries that it used."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """The version of this file format."""
    total_seconds: Annotated[float, Field(ge=0)]
    """Wall-clock seconds of the whole command."""
    peak_memory_bytes: Natural | None
    """The most memory that was used at one time, in bytes; null if the system does not report it."""
    machine: Machine
    """The machine on which it ran."""
    versions: dict[str, str]
    """The version of each library."""
    stages: tuple[StageTiming, ...]
    """One row for each stage, in the order in which they ran."""


class TrainedModel(Record):
    """A model that the experiment trained, and where it lies."""

    label: str
    """What the model is, in words: seed 0 sft, seed 0 rl round 1, seed 0 weak supervisor, ..."""
    stage: str
    """The kind of stage that trained it: train, train_preferences, train_policy, train_rewards or train_classifier."""
    fingerprint: str
    """The identity of the model in the store, in hex digits."""
    folder: str
    """The folder of the model. Other commands take it wherever they want a model."""


class TrainedModels(Record):
    """The content of models.json: where the trained models lie on this machine."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """The version of this file format."""
    models: tuple[TrainedModel, ...]
    """All trained models, in the order in which they were trained."""


class Change(Record):
    """A line of changes.jsonl: one refinement as an example, from a sample of them."""

    method: str
    """The method's name."""
    seed: int
    """The seed of the run."""
    round: Natural
    """The round of the proposal."""
    example_id: str
    """The id of the training row."""
    prompt: str
    """The prompt as text."""
    before: str
    """The label at the start of the round."""
    after: str
    """The model's proposal."""
    reason: Reason
    """What happened to the proposal: accepted, rejected, over_cap, ..."""
    p_b: StoredProbability | None
    """P(the proposal is better) according to the annotator; null if it was not compared."""
    before_correct: bool | None
    """Whether the label is right by the gold answer; null if there is none."""
    after_correct: bool | None
    """Whether the proposal is right by the gold answer; null if there is none."""
