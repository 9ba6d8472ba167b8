"""The command `selftest`: test an annotator on planted or labelled pairs, without a refinement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms.refinement import drawn
from burnish.annotators import build
from burnish.config import AnnotatorSettings, DataConfig, Execution, JudgeConfig, ModelConfig
from burnish.config.reading import read_annotator
from burnish.errors import ConfigError, DataError
from burnish.forms.ids import RowIds
from burnish.forms.recognise import UsableRow
from burnish.forms.table import open_table
from burnish.inputs.context import RunContext
from burnish.inputs.feasible import check_programs
from burnish.inputs.models import find_models
from burnish.report.terminal import Terminal
from burnish.report.text import plural
from burnish.selftest.asking import on_pairs, selftest
from burnish.selftest.drawing import drawn_ids
from burnish.selftest.labelled import LabelledPair, bundled_rows, examples_of, read_pairs_file
from burnish.selftest.planted import plant, planted_examples
from burnish.selftest.report import LabelledReport, SelftestReport
from burnish.services.calls import CallBudget
from burnish.services.elsewhere import sent_words
from burnish.steps.basic import Steps
from burnish.steps.judging import AnnotatorPlan
from burnish.store.opening import open_store
from burnish.tasks.own import TextAnswers
from burnish.types import TrainingRow, short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The annotator to test, the pairs to ask it about, and the limits.

    If a file of `labelled` pairs is given, the annotator is asked about those. Otherwise it is asked about pairs that
    are planted in `rows` rows of a dataset (`data`), or in rows that come with burnish.
    """

    annotator: str
    data: str | None = None
    labelled: Path | None = None
    rows: int = 24
    limit: int | None = None
    max_calls: int | None = None
    max_cost: float | None = None
    changes: Sequence[str] = ()


def try_out(trial: Trial, store: Path, seed: int = 0) -> SelftestReport | LabelledReport:
    """Ask the annotator, and return a report.

    Raises ConfigError for an annotator that planted pairs cannot test (people, an oracle), DataError if a file cannot
    be used, and AnnotatorError if the annotator leaves a pair without a preference.
    """
    config = read_annotator(trial.annotator, "annotator", trial.changes)
    # This is checked before a model is loaded or a server is asked.
    _check_testable(config)
    check_programs(config.programs("annotator"))
    terminal = Terminal()
    annotator = _built(config, store, CallBudget(max_calls=trial.max_calls, max_cost=trial.max_cost), seed, terminal)
    if trial.labelled is not None:
        pairs = _limited(read_pairs_file(trial.labelled), trial.limit, seed)
        _say_sent(config, f"the prompts and both answers of {plural(len(pairs), 'labelled pair')}", terminal)
        with terminal.stage("self-test"):
            return on_pairs(annotator.over(examples_of(pairs)), pairs, terminal.rows)
    rows = bundled_rows() if trial.data is None else _rows_of(trial.data)
    # The draw needs only ids, and `plant` needs the drawn rows in the order of the draw.
    by_id = {row.id: row for row in rows}
    rows = [by_id[id_] for id_ in drawn_ids(by_id, trial.rows, seed)]
    whose = "rows that come with burnish" if trial.data is None else "rows of your data"
    _say_sent(config, f"the prompts, answers and altered answers of {len(rows):,} {whose}", terminal)
    with terminal.stage("self-test"):
        return selftest(annotator.over(planted_examples(rows)), plant(rows, seed), tell=terminal.rows)


def _say_sent(config: AnnotatorSettings, what: str, terminal: Terminal) -> None:
    """Say what is sent to judges that are not on this machine, before it is sent."""
    for member in config.members:
        if isinstance(member, JudgeConfig) and (line := sent_words(member.base_url, "annotator", what)):
            terminal.say(line)


def _check_testable(config: AnnotatorSettings) -> None:
    """Raise ConfigError if planted pairs cannot test the annotator."""
    check_fits_here(config)
    if untested := sorted({member.kind for member in config.members if not member.self_tested}):
        raise ConfigError(f"annotator: {untested[0]} found; planted pairs can only test models and programs")


def check_fits_here(config: AnnotatorSettings) -> None:
    """Check that an annotator works outside an experiment.

    Raises ConfigError if it needs something that only an experiment has.
    """
    if problem := config.problem(simulated=False):
        raise ConfigError(f"annotator.{problem}")


def _limited(pairs: list[LabelledPair], limit: int | None, seed: int) -> list[LabelledPair]:
    """Return `limit` of the pairs, chosen by hash and kept in the order of the file."""
    if limit is None:
        return pairs
    # They are chosen by seed and id, so that the same limit gives the same pairs in every call.
    chosen = drawn([pair.comparison.id for pair in pairs], limit, seed, 0, "pairs")
    return [pair for pair in pairs if pair.comparison.id in chosen]


def _rows_of(source: str) -> list[TrainingRow]:
    """Return the usable rows of a dataset, with the ids that `refine` gives them. Raises DataError if there are
    none."""
    table = open_table(DataConfig(source=source))
    # The ids are the same as in `refine`, so that both draw the same rows, and `refine` finds these answers in the
    # cache.
    ids = RowIds()
    rows = [
        TrainingRow(id=ids.id_of(row.id, row.prompt), prompt=row.prompt, completion=row.completion)
        for row in table.read()
        if isinstance(row, UsableRow)
    ]
    if not rows:
        raise DataError(f"{source}: no row can be used; see `burnish refine` for what is wrong with them")
    return rows


def _built(config: AnnotatorSettings, store: Path, budget: CallBudget, seed: int, terminal: Terminal) -> AnnotatorPlan:
    """Find the annotator's models, and return the annotator's plan."""
    execution = Execution()
    models = find_models(config.models("annotator", simulated=False), execution, offline_ok=False)
    context = RunContext(
        store=open_store(store),
        models=models,
        # There is no model to train here, so the annotator's own model takes its place.
        student=next(iter(models.sources.values()), ModelConfig(source="none")),
        execution=execution,
        # Calls to a judge's server are counted under this name, separately from those of any refinement.
        run=short_hash("selftest"),
        folder=Path(),
        budget=budget,
        terminal=terminal,
    )
    steps = Steps(context.executor(), context.engines, TextAnswers(), "text", seed)
    return build(config, context.resources(steps, "annotator"))
