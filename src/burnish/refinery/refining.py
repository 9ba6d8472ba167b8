"""The verb `refine`: a dataset in, a better one out, with a reason for every changed row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from burnish.config import RefineConfig
from burnish.errors import BurnishError, Paused
from burnish.forms.convert import AlsoAs
from burnish.inputs.context import RunContext
from burnish.ledger.folder import Folder
from burnish.ledger.summary import State, Summary, reference_doubt
from burnish.methods import Round
from burnish.protocols import Backend
from burnish.refinery.dataset import read_facts, unused_columns
from burnish.refinery.first_row import data_words, first_row, row_words
from burnish.refinery.inputs import Found, find
from burnish.refinery.job import Job
from burnish.refinery.selftest import passed, tried
from burnish.refinery.writing import Contents, Writer
from burnish.report.terminal import Terminal
from burnish.selftest.report import SelftestReport
from burnish.services.calls import Budget
from burnish.steps.artifacts import DEMONSTRATIONS
from burnish.steps.judging import AnnotatorPlan
from burnish.store.files import explained_write_errors, iter_rows, write_rows
from burnish.store.runners import Planner, StageRecord
from burnish.store.stages import Store, Work
from burnish.types import Artifact, Demonstration, Reason, short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How a refinement is run, which changes nothing that it finds: where, at what cost, by which objects.

    `also` are other kinds of file as which the dataset is written. `backend` and `annotator` are a caller's own in
    place of the configured ones.
    """

    out: Path
    store: Path
    budget: Budget = Budget()  # noqa: RUF009 frozen, without fields that change
    overwrite: bool = False
    backend: Callable[[], Backend] | None = None
    annotator: AnnotatorPlan | None = None
    also: tuple[AlsoAs, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRefinement:
    """What a refinement that ended left: its folder and its summary."""

    out: Path
    summary: Summary


def refine_data(config: RefineConfig, ways: Ways) -> FinishedRefinement:
    """Refine a dataset into the folder `ways.out`; the same call goes on after any crash.

    Raises Paused where people, an audit or a larger budget are waited for: the folder then has what is finished.
    Raises BurnishError for what the user can mend.
    """
    found = find(config, offline_ok=False)
    context = _context(found, ways)
    root, plan = context.store, planned(found, context, ways.annotator)
    folder = Folder(ways.out)
    written_rounds = folder.claim([one.demonstrations.fingerprint for one in plan.rounds[1:]], ways.overwrite)
    root.refer(ways.out, [record.fingerprint for record in plan.records])
    finished_before = frozenset(record.fingerprint for record in plan.records if record.reused)
    job = Job(found, context, context.executor(finished_before), ways.annotator)
    with folder.locked():
        writer = Writer(folder, job, written_rounds, ways.also)
        return _Refining(job=job, folder=folder, plan=plan, writer=writer, shown=ways.backend is None).run()


@dataclass(slots=True, kw_only=True)
class _Refining:
    """One run of the verb."""

    job: Job
    folder: Folder
    plan: Planned
    writer: Writer
    shown: bool
    selftest: SelftestReport | None = None

    def run(self) -> FinishedRefinement:
        writer = self.writer
        _ = self.job.data  # what is wrong with the dataset is said before anything else is spent
        if self.shown:
            facts, found = read_facts(self.job.data), self.job.found
            for line in (*data_words(facts, unused_columns(facts, found.table)), *row_words(first_row(found))):
                self.job.context.terminal.say(line)
        with explained_write_errors(self.folder.path):
            writer.begin(None)
        if doubt := reference_doubt(self.folder.summary):
            self.job.context.terminal.say(f"warning: {doubt}")
        try:
            tested = tried(self.job)
            self.selftest = passed(self.job, tested) if tested is not None else None
            rounds = self.job.rounds()
            model = self._model(rounds[-1])
        except (Paused, BurnishError) as stopped:  # what is finished goes into the folder all the same
            state = State.WAITING if isinstance(stopped, Paused) else State.UNDER_WAY
            self._write(writer, self.plan.rounds, state)
            raise
        return FinishedRefinement(out=self.folder.path, summary=self._write(writer, rounds, State.DONE, model))

    def _write(self, writer: Writer, rounds: list[Round], state: State, model: Artifact | None = None) -> Summary:
        with explained_write_errors(self.folder.path):
            return writer.write(Contents(rounds=rounds, selftest=self.selftest, state=state, model=model))

    def _model(self, last: Round) -> Artifact:
        """Return the last round's model, or one trained on what stands where the user took something back."""
        reverted = [line for line in self.folder.ledger() if line.reason is Reason.REVERTED]
        if not reverted:
            return last.model
        job, standing, folder = self.job, self.folder.standing(), self.folder
        chosen: dict[str, JsonValue] = {id_: change.after for id_, change in sorted(standing.items())}

        def run(work: Work) -> None:
            every = {row.example_id: row for row in iter_rows(Path(job.data.path) / DEMONSTRATIONS, Demonstration)}
            answers = folder.answers(change.after for change in standing.values())
            every |= {id_: answers[change.after] for id_, change in standing.items()}
            work.count(rows=write_rows(work.path / DEMONSTRATIONS, every.values()))

        labels = job.steps.stage("standing", {"chosen": chosen}, {"data": job.data}, run, "reverts")
        setting = job.setting()
        return job.steps.train(setting.base, setting.rows, labels, setting.train, "after reverts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A refinement's rounds and stages, as they would run."""

    rounds: list[Round]
    records: list[StageRecord]


def planned(found: Found, context: RunContext, own_annotator: AnnotatorPlan | None) -> Planned:
    """Plan all stages; nothing is read but the dataset's first rows, and nothing is computed."""
    planner = Planner(context.store)
    job = Job(found, context, planner, own_annotator)
    tried(job)
    return Planned(rounds=job.rounds(), records=planner.records)


def planned_in(found: Found, ways: Ways) -> Planned:
    """Plan as `refine_data` would run."""
    return planned(found, _context(found, ways), ways.annotator)


def _context(found: Found, ways: Ways) -> RunContext:
    return RunContext(
        store=Store(ways.store),
        models=found.models,
        student=found.config.model,
        execution=found.config.execution,
        run=short_hash("run", str(ways.out.resolve())),
        folder=ways.out,
        budget=ways.budget,
        terminal=Terminal(),
        own_backend=ways.backend,
    )
