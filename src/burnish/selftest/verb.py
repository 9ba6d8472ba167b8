"""The verb `selftest`: an annotator on planted pairs, or on pairs whose better side is known, without a refinement."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms.refinement import drawn
from burnish.annotators.build import Given, Means, given
from burnish.backends.machine import opener_of, provenance
from burnish.config import DataConfig, Execution, GivenAnnotator, MajorityConfig, ModelConfig
from burnish.config.reading import read_annotator
from burnish.errors import ConfigError, DataError
from burnish.forms.recognise import Given as GivenRow
from burnish.forms.table import open_table
from burnish.inputs.models import FoundModel, base_of, judge_field, judging_models, resolved_judge
from burnish.people.mailbox import Mailbox
from burnish.protocols import Backend
from burnish.report.terminal import Terminal
from burnish.selftest.asking import on_pairs, selftest
from burnish.selftest.labelled import LabelledPair, bundled_rows, examples_of, read_pairs_file
from burnish.selftest.planted import plant, planted_examples
from burnish.selftest.report import LabelledReport, SelftestReport
from burnish.services.calls import CALLS, Budget, Calls
from burnish.steps.basic import Steps
from burnish.store.runners import Executor
from burnish.store.stages import Store
from burnish.tasks.own import TextAnswers
from burnish.types import TrainingRow, short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What an annotator is asked: pairs planted in a dataset's rows (else in rows that come with burnish), or, where a
    file of `labelled` pairs is given, those."""

    annotator: str
    data: str | None = None
    labelled: Path | None = None
    rows: int = 24
    limit: int | None = None
    max_calls: int | None = None
    max_cost: float | None = None
    changes: Sequence[str] = ()


def try_out(trial: Trial, store: Path, seed: int = 0) -> SelftestReport | LabelledReport:
    """Ask the annotator and report. Raises ConfigError for people and an oracle, whom planted pairs do not test."""
    config = read_annotator(trial.annotator, "annotator", trial.changes)
    _testable(config)
    bench = _Bench(store, Budget(max_calls=trial.max_calls, max_cost=trial.max_cost), seed)
    annotator = bench.annotator(config)
    if trial.labelled is not None:
        pairs = _limited(read_pairs_file(trial.labelled), trial.limit, seed)
        return on_pairs(annotator.over(examples_of(pairs)), pairs)
    rows = bundled_rows() if trial.data is None else _rows_of(trial.data)
    chosen = drawn([row.id for row in rows], trial.rows, seed, 0, "selftest")
    rows = sorted((row for row in rows if row.id in chosen), key=lambda row: row.id)
    return selftest(annotator.over(planted_examples(rows)), plant(rows, seed))


def _testable(config: GivenAnnotator) -> None:
    kinds = [one.kind for one in config.of] if isinstance(config, MajorityConfig) else [config.kind]
    if untested := sorted({"people", "oracle"} & set(kinds)):
        raise ConfigError(f"annotator: {untested[0]} found; planted pairs test models and programs")


def _limited(pairs: list[LabelledPair], limit: int | None, seed: int) -> list[LabelledPair]:
    if limit is None:
        return pairs
    chosen = drawn([pair.comparison.id for pair in pairs], limit, seed, 0, "pairs")
    return [pair for pair in pairs if pair.comparison.id in chosen]


def _rows_of(source: str) -> list[TrainingRow]:
    table = open_table(DataConfig(source=source))
    rows = [
        TrainingRow(id=str(row.position), prompt=row.prompt, completion=row.completion)
        for row in table.read()
        if isinstance(row, GivenRow)
    ]
    if not rows:
        raise DataError(f"{source}: no row can be used; see `burnish refine` for what is wrong with them")
    return rows


class _Bench:
    """Makes an annotator with its models, and nothing else."""

    def __init__(self, store: Path, budget: Budget, seed: int) -> None:
        self.store, self.budget, self.seed, self.terminal = Store(store), budget, seed, Terminal()
        self.execution = Execution()
        self.sources: dict[str, ModelConfig] = {}

    def annotator(self, config: GivenAnnotator) -> Given:
        """Return the annotator, its models found."""
        members = config.of if isinstance(config, MajorityConfig) else (config,)
        found = {
            field: resolved_judge(one, self.execution, False, field) for field, one in judging_models(members).items()
        }
        self.sources = {one.weights.fingerprint: one.model for one in found.values() if not one.trained}
        student = next(iter(found.values())).model if found else ModelConfig(source="none")
        backend = opener_of(self.execution, student, self.terminal, self.sources)
        runner = Executor(self.store, self.terminal, provenance(self.execution, student))
        steps = Steps(runner, backend, TextAnswers(), "text", self.seed)
        return given(config, self._means(steps, found, backend))

    def _means(self, steps: Steps, found: Mapping[str, FoundModel], backend: Callable[[], Backend]) -> Means:
        return Means(
            backend=backend,
            base=lambda model, _: base_of(steps, found[judge_field(model)]),
            task=steps.task,
            task_kind=steps.task_kind,
            mailbox=Mailbox(Path()),
            seed=self.seed,
            calls=functools.cache(lambda: Calls(self.store.root / CALLS)),
            run=short_hash("selftest"),
            budget=self.budget,
            say=self.terminal.say,
        )
