"""The command `rank`: the rows of a dataset whose labels are suspicious, before anything is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.algorithms.comparisons import answer_of, request_text
from burnish.algorithms.suspicion import (
    NOTHING,
    KeyedAnswer,
    Sign,
    contradicted,
    preferred_by,
    prompt_key,
    suspicion,
    without_end,
)
from burnish.config import RefineConfig
from burnish.errors import ConfigError, DataError
from burnish.forms.ids import RowIds
from burnish.forms.recognise import UsableRow
from burnish.forms.table import DataTable, open_table
from burnish.inputs.context import RunContext
from burnish.refinery.inputs import RefinementInputs, find
from burnish.refinery.job import Job
from burnish.refinery.options import Options, config_of
from burnish.refinery.referee import referee_of
from burnish.refinery.sending import sent_elsewhere
from burnish.report.terminal import Terminal
from burnish.report.text import percent, percent_range, plural, shortened, terminal
from burnish.results import Metric
from burnish.services.calls import CallBudget
from burnish.steps.artifacts import JudgedExamples, read_comparisons, read_demonstrations, read_scores
from burnish.steps.judging import judge
from burnish.steps.refining import compare
from burnish.store.course import Course
from burnish.store.files import write_atomic
from burnish.store.json_rows import dump_line
from burnish.store.known_hashes import HASHES, KnownHashes
from burnish.store.opening import open_store
from burnish.store.runners import Planner, planned_stages
from burnish.store.stages import Store
from burnish.tasks.own import grader_of
from burnish.types import Artifact, Demonstration, DemonstrationSource, Example, short_hash

DEPTHS = (20, 50, 100)
"""The numbers of rows at the top of the list for which the share of wrong labels is measured."""
UNUSED_MODEL = "none"
"""Stands for the model where none is asked. It is never looked for."""
WORDS = {
    Sign.CONTRADICTED: "another row with the same question has another answer",
    Sign.NO_ANSWER: "no final answer",
    Sign.NO_END: "stops in the middle",
    Sign.MODEL: "the model prefers an answer of its own",
    Sign.ANNOTATOR: "the annotator prefers the model's answer",
}
"""What each sign is called where people read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedRow:
    """A row with the signs that its label is wrong.

    `own` is the answer of the model that was asked, or None. `right` says whether the label equals the reference, or is
    None without one.
    """

    id: str
    where: str
    prompt: str
    label: str
    score: float
    signs: Mapping[Sign, float]
    own: str | None = None
    right: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All usable rows, the most suspicious first.

    `precision` is {k: share of wrong labels among the first k rows} and `wrong` the share among all rows, each over the
    rows with a reference. Both are empty, or None, without a reference.
    """

    rows: list[RankedRow]
    precision: dict[int, Metric] = field(default_factory=dict[int, Metric])
    wrong: Metric | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """What a model, and an annotator, say of the labels: the model's own answers and the strengths of the signs."""

    own: Mapping[str, Demonstration]
    signs: Mapping[str, Mapping[Sign, float]]


NO_OPINIONS = Opinions(own={}, signs={})


def rank(options: Options, store: Path, budget: CallBudget, model: str | None) -> Ranking:
    """Return the rows of a dataset, those with the most suspicious labels first.

    Without a `model`, only the texts are read. With one, the model answers every prompt; nothing is trained. If the
    options name an annotator, it compares these answers with the labels. Finished work is kept in the store.

    Raises ConfigError naming the option, DataError if the data cannot be read, BackendError if the model cannot be
    used, and Paused if a judge's budget is spent.
    """
    if options.annotator is not None and model is None:
        raise ConfigError("--annotator: it compares the labels with a model's answers; name the model with --model")
    # `ilr` is the method that asks an annotator, and `naive` one that asks none. No method is run here.
    method = "naive" if options.annotator is None else "ilr"
    config = config_of(dataclasses.replace(options, model=model or UNUSED_MODEL, method=method, rounds=1))
    root = open_store(store)
    found = None if model is None else find(config, offline_ok=False, known=KnownHashes(root.root / HASHES))
    # The column of an oracle is the reference column, too.
    config, table = (config, open_table(config.data)) if found is None else (found.config, found.table)
    rows = list(_rows(table))
    if not rows:
        raise DataError(f"{config.data.source}: no row can be used; `burnish refine --dry-run` says why")
    if found is None:
        return _measured(_ranked(rows, config, table, NO_OPINIONS))
    try:
        opinions = _asked(found, root, budget, len(rows))
    finally:
        found.models.rest()
    return _measured(_ranked(rows, config, table, opinions))


@dataclass(frozen=True, slots=True, kw_only=True)
class _GivenRow:
    """A usable row with the id that `refine` gives it."""

    id: str
    row: UsableRow

    @property
    def prompt(self) -> str:
        return request_text(self.row.prompt)

    @property
    def label(self) -> Demonstration:
        return Demonstration(
            example_id=self.id, completion=self.row.completion, source=DemonstrationSource.GIVEN, producer="given"
        )


def _rows(table: DataTable) -> Iterator[_GivenRow]:
    ids = RowIds()
    for row in table.read():
        if isinstance(row, UsableRow):
            yield _GivenRow(id=ids.id_of(row.id, row.prompt), row=row)


def _asked(found: RefinementInputs, store: Store, budget: CallBudget, usable: int) -> Opinions:
    """Let the model answer every prompt, score both answers, and let the annotator compare them."""
    config = found.config
    context = RunContext(
        store=store,
        models=found.models,
        student=config.model,
        execution=config.execution,
        run=short_hash("rank", config.data.source),
        folder=Path(),
        budget=budget,
        terminal=Terminal(),
    )
    planner = Planner(store)
    _stages(Job(found, context, planner))
    course = Course(planned_stages(planner.records))
    course.announce(context.terminal.say)
    if not all(record.reused for record in planner.records):
        for line in (*found.models.sent(), *sent_elsewhere(found.config, usable)):
            context.terminal.say(line)
    finished = frozenset(record.fingerprint for record in planner.records if record.reused)
    stages = _stages(Job(found, context, context.executor(finished, course)))
    return _opinions(stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RankStages:
    """The stages of a ranking: the labels, the model's answers, the scores of both, and the comparisons."""

    labels: Artifact
    own: Artifact
    of_labels: Artifact
    of_own: Artifact
    compared: Artifact | None = None
    judged: Artifact | None = None


def _stages(job: Job) -> _RankStages:
    """Run or plan the stages."""
    setting, steps, rows = job.setting(), job.steps, job.rows
    own = steps.answer(setting.base, rows, setting.decode, "rank", DemonstrationSource.PROPOSAL)
    found = _RankStages(
        labels=job.data,
        own=own,
        of_labels=steps.score(setting.base, rows, job.data, "of the labels"),
        of_own=steps.score(setting.base, rows, own, "of the model's answers"),
    )
    if job.annotator is None:
        return found
    # The model was trained on no row, so every row may be compared.
    compared = compare(setting, job.data, (setting.base,), (own,), 1, cross=False)
    judged = judge(steps, job.annotator, rows, compared, "comparisons")
    return dataclasses.replace(found, compared=compared, judged=judged)


def _opinions(stages: _RankStages) -> Opinions:
    own = read_demonstrations(stages.own)
    if stages.compared is not None and stages.judged is not None:
        judged = zip(read_comparisons(stages.compared), JudgedExamples(stages.compared, stages.judged), strict=True)
        signs = {
            comparison.example_id: {Sign.ANNOTATOR: preference.p_b}
            for comparison, preference in judged
            if preference.p_b is not None
        }
        return Opinions(own=own, signs=signs)
    of_labels, of_own = read_scores(stages.of_labels), read_scores(stages.of_own)
    # An answer that was cut has no score, and says nothing of the label.
    nats = {id_: (of_labels[id_], of_own[id_]) for id_ in of_own}
    signs = {
        id_: {Sign.MODEL: preferred_by(label.value / label.tokens, other.value / other.tokens)}
        for id_, (label, other) in nats.items()
    }
    return Opinions(own=own, signs=signs)


def _ranked(rows: list[_GivenRow], config: RefineConfig, table: DataTable, opinions: Opinions) -> list[RankedRow]:
    grader, referee = grader_of(config.differs).grader, referee_of(config, table).grader
    asked = Example(id="", group="", prompt=())
    matcher = grader.on(asked)  # answers of a user's own data are read without their example
    answers = {row.id: answer_of(matcher, row.label) for row in rows}
    against = contradicted(
        (KeyedAnswer(id=row.id, key=prompt_key(row.prompt), answer=answers[row.id]) for row in rows), matcher.agree
    )
    cut = without_end({row.id: row.row.completion for row in rows})
    ranked: list[RankedRow] = []
    for row in rows:
        signs: dict[Sign, float] = {}
        if row.id in against:
            signs[Sign.CONTRADICTED] = against[row.id]
        if answers[row.id] is None:
            signs[Sign.NO_ANSWER] = NOTHING
        if row.id in cut:
            signs[Sign.NO_END] = cut[row.id]
        own, label = opinions.own.get(row.id), answers[row.id]
        answer = None if own is None else answer_of(matcher, own)
        # A model that gives the same answer says nothing against it.
        if answer is not None and not (label is not None and matcher.agree(label, answer)):
            signs |= opinions.signs.get(row.id, {})
        example = Example(id=row.id, group="", prompt=row.row.prompt, reference=row.row.reference)
        ranked.append(
            RankedRow(
                id=row.id,
                where=row.row.where,
                prompt=row.prompt,
                label=row.row.completion,
                score=suspicion(signs),
                signs=signs,
                own=None if own is None else own.completion,
                right=referee.on(example).grade(row.row.completion).correct if row.row.reference else None,
            )
        )
    # Rows of one score keep the order of the file, because `sorted` is stable.
    return sorted(ranked, key=lambda one: -one.score)


def _measured(rows: list[RankedRow]) -> Ranking:
    """Return the ranking with the share of wrong labels at its top, among the rows with a reference."""
    known = [row for row in rows if row.right is not None]
    if not known:
        return Ranking(rows=rows)

    def wrong(some: list[RankedRow]) -> Metric:
        return Metric.share(sum(not row.right for row in some), len(some))

    return Ranking(rows=rows, precision={k: wrong(known[:k]) for k in DEPTHS if k <= len(known)}, wrong=wrong(known))


def words(ranking: Ranking, top: int) -> Iterator[str]:
    """Yield the lines that people read: the first rows, and how good the list is where a reference says so."""
    suspicious = sum(row.score > 0 for row in ranking.rows)
    yield f"{plural(suspicious, 'row')} of {len(ranking.rows):,} with a sign that the label is wrong"
    for number, row in enumerate(ranking.rows[:top], 1):
        if row.score == 0:
            break
        yield f"{number:4d}  {row.score:.2f}  {terminal(row.id)} ({terminal(row.where)})"
        yield f"      {', '.join(WORDS[sign] for sign in row.signs)}"
        yield f"      prompt: {_short(row.prompt)}"
        yield f"      label:  {_short(row.label)}"
        if row.own is not None:
            yield f"      model:  {_short(row.own)}"
    if ranking.wrong is not None:
        yield f"wrong labels among all rows with a reference: {_share(ranking.wrong)}"
    for k, metric in ranking.precision.items():
        yield f"wrong labels among the first {k}: {_share(metric)}"


def _short(text: str) -> str:
    return terminal(shortened(text, 100))


def _share(metric: Metric) -> str:
    assert metric.value is not None, metric
    assert metric.ci95 is not None, metric
    return f"{percent(metric.value)} ({percent_range(metric.ci95)}, n = {metric.n:,})"


def write_ranking(ranking: Ranking, path: Path) -> None:
    """Write all rows as JSON lines, the most suspicious first. Raises StageError if the file cannot be written."""
    write_atomic(path, b"".join(dump_line(_plain(row)) for row in ranking.rows))


def as_json(ranking: Ranking, top: int) -> dict[str, Any]:
    """Return what `--json` prints: the first rows, and the shares of wrong labels."""
    shares = {str(k): metric.model_dump(mode="json") for k, metric in ranking.precision.items()}
    wrong = None if ranking.wrong is None else ranking.wrong.model_dump(mode="json")
    return {"rows": [_plain(row) for row in ranking.rows[:top]], "precision": shares, "wrong": wrong}


def _plain(row: RankedRow) -> dict[str, Any]:
    """Return a row with the names of its signs as texts."""
    return {**dataclasses.asdict(row), "signs": {str(sign): strength for sign, strength in row.signs.items()}}


def check_place(path: Path | None) -> None:
    """Raise ConfigError if the file is there already, before anything is spent."""
    if path is not None and path.exists():
        raise ConfigError(f"--out: {str(path)!r} is there already; name another file, or remove it")
