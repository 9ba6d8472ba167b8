"""The command `refine`: a dataset goes in, a better one comes out, with a reason for every changed row."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from burnish.backends.tracking import send_rounds, tracking_of
from burnish.config import RefineConfig
from burnish.errors import BurnishError, Paused
from burnish.forms.convert import AlsoAs
from burnish.inputs.context import RunContext
from burnish.inputs.feasible import check_launched_once
from burnish.inputs.heads import check_heads
from burnish.ledger.folder import LEDGER, Folder
from burnish.ledger.preference_pairs import write_pairs
from burnish.ledger.summary import HoldoutSummary, State, Summary, reference_doubt
from burnish.ledger.touched import has_reverts
from burnish.methods import Round
from burnish.protocols import Backend, Generator
from burnish.refinery.accounts import check_servers, judges_budget
from burnish.refinery.dataset import read_facts, unused_columns
from burnish.refinery.doubts import check_amount, cut_answers
from burnish.refinery.first_row import data_words, first_row, row_words
from burnish.refinery.holding import held_words, left_of
from burnish.refinery.holdout import answer_held, measured
from burnish.refinery.inputs import RefinementInputs, find
from burnish.refinery.job import Job
from burnish.refinery.pairs import check_pairs
from burnish.refinery.proposals import read_paired
from burnish.refinery.selftest import passed, tried
from burnish.refinery.sending import sent_elsewhere
from burnish.refinery.tracked import tracked_rounds
from burnish.refinery.writing import Contents, Writer
from burnish.report.terminal import Terminal
from burnish.report.text import plural
from burnish.selftest.report import SelftestReport
from burnish.services.calls import CallBudget
from burnish.steps.artifacts import DEMONSTRATIONS
from burnish.steps.judging import AnnotatorPlan
from burnish.store.course import Course
from burnish.store.files import explained_write_errors, iter_rows, write_rows
from burnish.store.known_hashes import HASHES, KnownHashes
from burnish.store.opening import open_store
from burnish.store.runners import Executor, Planner, StageRecord, planned_stages
from burnish.store.stages import Work
from burnish.types import Artifact, Demonstration, short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a refinement is run: where, at what cost, and with which objects. Nothing here changes the result.

    `also` are more kinds of file in which the dataset is written. `pairs` is a file for the comparisons as preference
    pairs. `backend`, `generator` and `annotator` are a caller's own objects that replace the usual or configured ones.
    """

    out: Path
    store: Path
    budget: CallBudget = CallBudget()  # noqa: RUF009 frozen, without fields that change
    overwrite: bool = False
    backend: Callable[[], Backend] | None = None
    generator: Generator | None = None
    annotator: AnnotatorPlan | None = None
    also: tuple[AlsoAs, ...] = ()
    pairs: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRefinement:
    """What a refinement that ended leaves: its folder and its summary.

    `seconds` is the time that its stages took, in this call or in earlier ones. `pairs` is the file of preference
    pairs, or None if none was asked for.
    """

    out: Path
    summary: Summary
    seconds: float = 0.0
    pairs: Path | None = None


def refine_data(config: RefineConfig, run_options: RunOptions) -> FinishedRefinement:
    """Refine a dataset into the folder `run_options.out`. After a crash, the same call continues.

    Raises Paused if the run must wait for people, an audit or a larger budget. The folder then has everything that is
    finished. Raises BurnishError if the user must correct something.
    """
    check_launched_once()
    # With a bucket, its cache has the hashes. The path of `run_options` is then a URL.
    known = KnownHashes(open_store(run_options.store).root / HASHES)
    found = find(config, offline_ok=False, known=known)
    check_servers(found.config, run_options.budget)
    check_pairs(run_options.pairs, found.config, found.table, run_options.out, overwrite=run_options.overwrite)
    context = _context(found, run_options)
    root, plan = context.store, planned(found, context, run_options.annotator)
    folder = Folder(run_options.out)
    # Raises ConfigError before anything is spent if the folder holds something else.
    written_rounds = folder.claim(plan.changing, found.config.settings, run_options.overwrite, plan.ends)
    # From here on `gc` keeps these stages, although the refinement is not finished.
    root.refer(run_options.out, [record.fingerprint for record in plan.records])
    finished_before = frozenset(record.fingerprint for record in plan.records if record.reused)
    course = Course(planned_stages(plan.records))
    course.announce(context.terminal.say)
    executor = context.executor(finished_before, course)
    job = Job(found, context, executor, run_options.annotator)
    # Two processes that write the same ledger would mix their lines.
    with folder.locked():
        writer = Writer(folder, job, written_rounds, run_options.also)
        refining = _Refining(
            job=job,
            executor=executor,
            folder=folder,
            plan=plan,
            writer=writer,
            shown=run_options.backend is None,
            pairs=run_options.pairs,
        )
        try:
            return refining.run()
        finally:
            found.models.rest()


@dataclass(slots=True, kw_only=True)
class _Refining:
    """One call of `refine_data`, after the folder is claimed."""

    job: Job
    executor: Executor
    folder: Folder
    plan: Planned
    writer: Writer
    shown: bool
    pairs: Path | None
    selftest: SelftestReport | None = None

    def run(self) -> FinishedRefinement:
        """Run all stages and write the folder. Raises Paused and BurnishError as `refine_data` does."""
        writer = self.writer
        self.job.read_files()  # raises DataError before anything else is spent
        count, held = self.job.config.holdout, self.writer.held_out()
        facts, found = left_of(read_facts(self.job.data), count, held), self.job.found
        check_amount(self.job.config, facts)
        if words := held_words(count, held):
            self.job.context.terminal.say(words)
        # If every stage is finished already, nothing is sent any more.
        if not all(record.reused for record in self.plan.records):
            for line in (*found.models.sent(), *sent_elsewhere(found.config, facts.usable)):
                self.job.context.terminal.say(line)
        self._show()
        with explained_write_errors(self.folder.path):
            writer.begin(None)
        if doubt := reference_doubt(self.folder.summary):
            self.job.context.terminal.say(f"warning: {doubt}")
        self._warn_of_reverts()
        try:
            tested = tried(self.job)
            self.selftest = passed(self.job, tested) if tested is not None else None
            rounds = self.job.rounds(tested)
            model = None if self.job.config.model is None else self._model(rounds[-1])
            holdout = None if model is None else self._measured(rounds, model)
            if self.plan.ends:
                # Which stages belong to the folder is known only now.
                self.executor.store.refer(self.folder.path, [record.fingerprint for record in self.executor.records])
        except (Paused, BurnishError) as stopped:  # the folder still gets everything that is finished
            # The planned rounds are handed over. The writer skips those that are not computed yet.
            state = State.WAITING if isinstance(stopped, Paused) else State.UNDER_WAY
            self._write(writer, self.plan.rounds, state)
            raise
        summary = self._write(writer, rounds, State.DONE, model, holdout)
        context = self.job.context
        if tracking := tracking_of(context.execution, context.project, context.terminal):
            send_rounds(tracking, self.folder.path, tracked_rounds(summary))
        # The time of a stage is kept with it, so that a run that continues says what the whole refinement took.
        seconds = sum(record.seconds for record in self.executor.records)
        return FinishedRefinement(out=self.folder.path, summary=summary, seconds=seconds, pairs=self.pairs)

    def _measured(self, rounds: list[Round], model: Artifact) -> HoldoutSummary | None:
        """Let the models before and after answer the held-out prompts. Returns None if nothing is held out."""
        return measured(self.job, answer_held(self.job, rounds, model), model, self.folder.reverted())

    def _warn_of_reverts(self) -> None:
        """Say that new rounds know nothing of what the user took back, if there will be new rounds."""
        rows = self.folder.reverted()
        # The first planned round is the state before any refinement.
        if rows and len(self.plan.rounds) - 1 > len(self.writer.written_rounds):
            self.job.context.terminal.say(
                f"warning: {plural(rows, 'row')} {'was' if rows == 1 else 'were'} taken back with `burnish revert`. "
                "The next rounds go on from the labels of the earlier rounds, with the changes that were taken back. "
                "In the dataset, a row that was taken back keeps the label that it has now, unless one of the next "
                "rounds changes it again"
            )

    def _show(self) -> None:
        """Say what was found in the data. Raises ConfigError or DataError as `cut_answers` does."""
        facts, found, say = read_facts(self.job.data), self.job.found, self.job.context.terminal.say
        # The first row is rendered as burnish's own backends do it. A caller's backend may do it in another way.
        if not self.shown:
            return
        for line in data_words(facts, unused_columns(facts, found.table)):
            say(line)
        if found.proposals is not None and self.job.proposals is not None:
            say(read_paired(self.job.proposals).words())
        first = first_row(found)
        if first is None:
            return
        for line in row_words(first):
            say(line)
        if not first.problem and (long := cut_answers(found, facts, self.job.context.own_generator is not None)):
            say(f"warning: {long}")

    def _write(
        self,
        writer: Writer,
        rounds: list[Round],
        state: State,
        model: Artifact | None = None,
        holdout: HoldoutSummary | None = None,
    ) -> Summary:
        """Write what is finished into the folder, and the preference pairs of the finished rounds."""
        with explained_write_errors(self.folder.path):
            contents = Contents(rounds=rounds, selftest=self.selftest, state=state, model=model, holdout=holdout)
            summary = writer.write(contents)
        if self.pairs is not None:
            self.job.context.terminal.say(write_pairs(self.folder, self.pairs).words())
        return summary

    def _model(self, last: Round) -> Artifact:
        """Return the last round's model. If the user took changes back, return a model that is trained on the labels
        that stand."""
        # The usual case: the model of the last round was trained on the labels that stand.
        if not has_reverts(self.folder.path / LEDGER):
            return last.model
        job, standing, folder = self.job, self.folder.standing(), self.folder
        # Sorted by id: the order in the fingerprint must not depend on the order of the reverts.
        chosen: dict[str, JsonValue] = {id_: change.after for id_, change in sorted(standing.items())}

        def run(work: Work) -> None:
            every = {row.example_id: row for row in iter_rows(Path(job.data.path) / DEMONSTRATIONS, Demonstration)}
            answers = folder.answers(change.after for change in standing.values())
            # The given answers, replaced by the answers that stand.
            every |= {id_: answers[change.after] for id_, change in standing.items()}
            work.count(rows=write_rows(work.path / DEMONSTRATIONS, every.values()))

        labels = job.steps.stage("standing", {"chosen": chosen}, {"data": job.data}, run, "reverts")
        setting = job.setting()
        return job.steps.train(setting.base, setting.rows, labels, setting.train, "after reverts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The rounds and the stages of a refinement, as they would run.

    `ends` are the rounds in which the refinement may end by its own rule, as far as that is not decided.
    """

    rounds: list[Round]
    records: list[StageRecord]
    ends: AbstractSet[str]

    @property
    def changing(self) -> list[str]:
        """The fingerprints of the rounds that may change labels: all except round 0."""
        return [round_.demonstrations.fingerprint for round_ in self.rounds[1:]]


def planned(found: RefinementInputs, context: RunContext, own_annotator: AnnotatorPlan | None) -> Planned:
    """Plan all stages. Only the dataset's first rows are read, and nothing is computed."""
    # The same `Job` is planned and run, with another runner. So a plan cannot differ from the run.
    planner = Planner(context.store)
    job = Job(found, context, planner, own_annotator)
    job.read_files()
    rounds = job.rounds(tried(job))
    answer_held(job, rounds, rounds[-1].model)
    return Planned(rounds=rounds, records=planner.records, ends=planner.undecided)


def planned_in(found: RefinementInputs, run_options: RunOptions) -> Planned:
    """Plan what `refine_data` would run."""
    return planned(found, _context(found, run_options), run_options.annotator)


def _context(found: RefinementInputs, run_options: RunOptions) -> RunContext:
    """Return what stages need to run: the store, the models, the budget and the terminal."""
    if run_options.backend is None:
        check_heads(found.models)
    # Named by the folder, so that calls which were paid for before a crash count against the budget.
    run = short_hash("run", str(run_options.out.resolve()))
    return RunContext(
        store=open_store(run_options.store),
        models=found.models,
        student=found.config.model,
        execution=found.config.execution,
        run=run,
        folder=run_options.out,
        budget=judges_budget(found.config, run, run_options.budget),
        terminal=Terminal(),
        project=found.config.name,
        own_backend=run_options.backend,
        own_generator=run_options.generator,
    )
