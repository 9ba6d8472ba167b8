"""The verb `selftest`: an annotator on planted pairs, or on pairs whose better side is known, without a refinement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms.refinement import drawn
from burnish.annotators import build
from burnish.config import AnnotatorSettings, DataConfig, Execution, ModelConfig
from burnish.config.reading import read_annotator
from burnish.errors import ConfigError, DataError
from burnish.forms.ids import RowIds
from burnish.forms.recognise import UsableRow
from burnish.forms.table import open_table
from burnish.inputs.context import RunContext
from burnish.inputs.models import find_models
from burnish.report.terminal import Terminal
from burnish.selftest.asking import on_pairs, selftest
from burnish.selftest.drawing import drawn_ids
from burnish.selftest.labelled import LabelledPair, bundled_rows, examples_of, read_pairs_file
from burnish.selftest.planted import plant, planted_examples
from burnish.selftest.report import LabelledReport, SelftestReport
from burnish.services.calls import Budget
from burnish.steps.basic import Steps
from burnish.steps.judging import AnnotatorPlan
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
    _check_testable(config)
    annotator = _built(config, store, Budget(max_calls=trial.max_calls, max_cost=trial.max_cost), seed)
    if trial.labelled is not None:
        pairs = _limited(read_pairs_file(trial.labelled), trial.limit, seed)
        return on_pairs(annotator.over(examples_of(pairs)), pairs)
    rows = bundled_rows() if trial.data is None else _rows_of(trial.data)
    by_id = {row.id: row for row in rows}
    rows = [by_id[id_] for id_ in drawn_ids(by_id, trial.rows, seed)]
    return selftest(annotator.over(planted_examples(rows)), plant(rows, seed))


def _check_testable(config: AnnotatorSettings) -> None:
    check_fits_here(config)
    if untested := sorted({one.kind for one in config.members if not one.self_tested}):
        raise ConfigError(f"annotator: {untested[0]} found; planted pairs test models and programs")


def check_fits_here(config: AnnotatorSettings) -> None:
    """Raise ConfigError where an annotator needs what only an experiment has."""
    if problem := config.problem(simulated=False):
        raise ConfigError(f"annotator.{problem}")


def _limited(pairs: list[LabelledPair], limit: int | None, seed: int) -> list[LabelledPair]:
    if limit is None:
        return pairs
    chosen = drawn([pair.comparison.id for pair in pairs], limit, seed, 0, "pairs")
    return [pair for pair in pairs if pair.comparison.id in chosen]


def _rows_of(source: str) -> list[TrainingRow]:
    """Return a dataset's usable rows with the ids that `refine` gives them."""
    table = open_table(DataConfig(source=source))
    ids = RowIds()
    rows = [
        TrainingRow(id=ids.id_of(row.id, row.prompt), prompt=row.prompt, completion=row.completion)
        for row in table.read()
        if isinstance(row, UsableRow)
    ]
    if not rows:
        raise DataError(f"{source}: no row can be used; see `burnish refine` for what is wrong with them")
    return rows


def _built(config: AnnotatorSettings, store: Path, budget: Budget, seed: int) -> AnnotatorPlan:
    """Return the annotator with its models found."""
    execution = Execution()
    models = find_models(config.models("annotator", simulated=False), execution, offline_ok=False)
    context = RunContext(
        store=Store(store),
        models=models,
        student=next(iter(models.sources.values()), ModelConfig(source="none")),
        execution=execution,
        run=short_hash("selftest"),
        folder=Path(),
        budget=budget,
        terminal=Terminal(),
    )
    steps = Steps(context.executor(), context.backend, TextAnswers(), "text", seed)
    return build(config, context.resources(steps, "annotator"))
