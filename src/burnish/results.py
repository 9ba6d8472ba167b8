"""What a results folder holds, as models that the lab writes and the report reads.

The fields are documented in docs/results-schema.md; a test keeps that page and these models together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from burnish import __version__
from burnish.errors import DataError
from burnish.stats import Interval, wilson
from burnish.store.files import read_objects
from burnish.types import Reason

SCHEMA_VERSION = 1
RESULTS_FILE = "results.json"
TIMINGS_FILE = "timings.json"
CHANGES_FILE = "changes.jsonl"
CONFIG_FILE = "config.yaml"
REFERENCE_WIN_RATE = "reference_win_rate"
"""The metric that says how often a judge prefers a model's answers to the references."""

Bounds: TypeAlias = tuple[float, float]
"""The lowest and the highest value of an interval."""
Natural: TypeAlias = Annotated[int, Field(ge=0)]
Probability: TypeAlias = Annotated[float, Field(ge=0, le=1)]
MethodRound: TypeAlias = tuple[str, int]
"""A method's name and how many rounds it has done."""
AnyRecord = TypeVar("AnyRecord", bound="Record")


class Record(BaseModel):
    """Base of all that is written to a results folder: frozen, no unknown fields, finite numbers alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Metric(Record):
    """One measured number of one run."""

    value: float | None
    """The number (a share for accuracies); null where nothing could be measured (n = 0)."""
    n: Natural
    """How many items the number is over: prompts, rows or decisive pairs."""
    ci95: Bounds | None
    """95 % interval, lowest and highest (Wilson's for a share); null where none is given."""

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
    """How preference training stood: means over the pairs of the steps since the last point."""

    step: Natural
    """Optimiser steps done."""
    loss: float
    """The loss that is minimised."""
    chosen_logp: float
    """Log-probability of the chosen answers and their ends, nats."""
    rejected_logp: float
    """Log-probability of the rejected answers and their ends, nats."""
    margin: float
    """Implicit reward of the chosen answer minus that of the rejected one: beta times the difference of log-ratios."""


class Run(Record):
    """One method with one seed after one round."""

    method: str
    """The method's name in the config; `weak` for the supervisor itself."""
    kind: str
    """What the method is: weak, sft, naive, ilr, and kinds that are added later."""
    seed: int
    """Seed of the run."""
    round: Natural
    """Rounds done; 0 is the first finetuning, before any change of labels."""
    metrics: dict[str, Metric]
    """Metric by name: test_accuracy, label_accuracy, annotator_accuracy, replaced, ..."""
    counts: dict[str, int]
    """Rows by reason (agreed, accepted, ...), train_rows and other counts."""
    curve: tuple[CurvePoint, ...] = ()
    """The training curve, where the model was trained on preferences."""


class SummaryRow(Record):
    """One metric of one method after one round, over all seeds."""

    method: str
    """The method's name."""
    round: Natural
    """Rounds done."""
    metric: str
    """The metric's name."""
    mean: float | None
    """Mean over the seeds that have a value; null if none has."""
    sd: float | None
    """Standard deviation over seeds (n - 1); null for one seed."""
    seeds: Natural
    """How many seeds have a value."""
    ci95: Bounds | None
    """95 % t-interval over seeds; null for one seed."""


class PairedRow(Record):
    """The difference a - b of one metric, paired by seed and prompt."""

    metric: str
    """The metric's name."""
    a: str
    """The method that is compared."""
    a_round: Natural
    """Its round."""
    b: str
    """The method it is compared with."""
    b_round: Natural
    """Its round."""
    difference: float
    """Mean of a minus mean of b."""
    ci95: Bounds | None
    """95 % interval of the difference, paired bootstrap over seeds and prompts; null where none is given."""
    seeds: Natural
    """Seeds that both have."""
    prompts: Natural
    """Prompts that both answered, per seed."""

    def turned(self) -> PairedRow:
        """Return the same difference from the other side: b - a."""
        return PairedRow(
            metric=self.metric,
            a=self.b,
            a_round=self.b_round,
            b=self.a,
            b_round=self.a_round,
            difference=-self.difference,
            ci95=None if self.ci95 is None else (-self.ci95[1], -self.ci95[0]),
            seeds=self.seeds,
            prompts=self.prompts,
        )


class Results(Record):
    """results.json: all that an experiment found. No times, dates or paths, so that equal runs give equal bytes."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this form."""
    burnish_version: str
    """Version of burnish that wrote the file."""
    config: dict[str, JsonValue]
    """The resolved semantic config: every default filled in, without `execution`."""
    runs: tuple[Run, ...]
    """One row for each method, seed and round."""
    summary: tuple[SummaryRow, ...]
    """One row for each method, round and metric."""
    paired: tuple[PairedRow, ...]
    """Differences between methods."""

    @model_validator(mode="after")
    def _runs_differ(self) -> Results:
        keys = [(run.method, run.seed, run.round) for run in self.runs]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"method {twice[0]!r}, seed {twice[1]}, round {twice[2]} is there twice")
        return self

    def paired_row(self, metric: str, a: MethodRound, b: MethodRound) -> PairedRow | None:
        """Return the paired difference a - b of a metric. None where the file has it from neither side."""
        for row in self.paired:
            if row.metric == metric and (row.a, row.a_round, row.b, row.b_round) == (*a, *b):
                return row
            if row.metric == metric and (row.a, row.a_round, row.b, row.b_round) == (*b, *a):
                return row.turned()
        return None


class StageTiming(Record):
    """What one stage cost, or that its result was taken from the store."""

    name: str
    """Kind of stage: train, generate, compare, ..."""
    label: str
    """What it was for, in words."""
    fingerprint: str
    """Identity of its result in the store, hex."""
    reused: bool
    """True where the result was there already."""
    seconds: Annotated[float, Field(ge=0)]
    """Wall-clock seconds in this run."""
    rows: Natural
    """Rows worked on."""
    tokens: Natural
    """Tokens worked on; 0 where none are counted."""
    comparisons: Natural
    """Comparisons judged."""


class Machine(Record):
    """Where the experiment ran."""

    platform: str
    """Operating system and processor."""
    cpu_count: int | None
    """Cores the system reports; null if it does not."""
    device: str
    """cpu, cuda or mps."""
    threads: int | None
    """CPU threads of one process; null where the library chose."""


class Timings(Record):
    """timings.json: what the experiment cost and with what it ran."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this form."""
    total_seconds: Annotated[float, Field(ge=0)]
    """Wall-clock seconds of the whole command."""
    peak_memory_bytes: Natural | None
    """Most memory held at once, bytes; null where the system does not say."""
    machine: Machine
    """Where it ran."""
    versions: dict[str, str]
    """Version by library."""
    stages: tuple[StageTiming, ...]
    """One row for each stage, in the order in which they ran."""


class Change(Record):
    """A line of changes.jsonl: an example refinement, one of a sample."""

    method: str
    """The method's name."""
    seed: int
    """Seed of the run."""
    round: Natural
    """Round of the proposal."""
    example_id: str
    """The training row."""
    prompt: str
    """The prompt as text."""
    before: str
    """The label that the round started from."""
    after: str
    """The model's proposal."""
    reason: Reason
    """What became of the proposal: accepted, rejected, over_cap, ..."""
    p_b: Probability | None
    """P(the proposal is better) as the annotator sees it; null where it was not compared."""
    before_correct: bool | None
    """Whether the label is right by the gold answer; null where there is none."""
    after_correct: bool | None
    """Whether the proposal is right; null where there is no gold answer."""


def read_results(directory: Path) -> Results:
    """Read results.json of a results folder. Raises DataError that names the file, the field and the fix."""
    return _read(directory / RESULTS_FILE, Results)


def read_timings(directory: Path) -> Timings:
    """Read timings.json of a results folder. Raises DataError as `read_results` does."""
    return _read(directory / TIMINGS_FILE, Timings)


def read_changes(directory: Path) -> list[Change]:
    """Read changes.jsonl of a results folder. Raises DataError that names the line and the field."""
    path = directory / CHANGES_FILE
    _require(path)
    return [_checked(value, Change, f"{path}:{number}") for number, value in read_objects(path)]


def _read(path: Path, model: type[AnyRecord]) -> AnyRecord:
    _require(path)
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON ({error}); run `burnish run` again, finished work is kept") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: {type(value).__name__} found, one JSON object is needed")
    _check_version(path, value)  # pyright: ignore[reportUnknownArgumentType]
    return _checked(value, model, str(path))  # pyright: ignore[reportUnknownArgumentType]


def _require(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the folder that `burnish run` wrote (its --out)")


def _check_version(path: Path, value: dict[str, Any]) -> None:
    found = value.get("schema_version")
    if found == SCHEMA_VERSION and type(found) is int:
        return
    writer = value.get("burnish_version")
    other = f"burnish {writer}" if isinstance(writer, str) else "the burnish that wrote it"
    raise DataError(
        f"{path}: schema_version {found!r} found, burnish {__version__} reads {SCHEMA_VERSION}; "
        f"write it again with this version (`burnish run` on the same config) or install {other}"
    )


def _checked(value: dict[str, Any], model: type[AnyRecord], where: str) -> AnyRecord:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{where}: {field or 'file'}: {first['msg']}, found {str(first['input'])[:80]!r}") from None
