"""The commands `run` and `explain` as functions: from an experiment's config to a folder of results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from burnish.annotators.llm.questions import CallEstimate
from burnish.backends.machine import opener_of, provenance
from burnish.backends.tracking import send_rounds, tracking_of
from burnish.config import Config
from burnish.errors import ConfigError, PeopleAwaited, brief
from burnish.inputs.feasible import check_launched_once
from burnish.inputs.memory import MemoryNeed, memory_needs, not_built_in
from burnish.lab.asked import any_elsewhere, asked, calls_of, sent_elsewhere
from burnish.lab.by_workers import Sound, computed
from burnish.lab.doubts import doubts_of
from burnish.lab.executors import check_executor, common_executor
from burnish.lab.experiment import Experiment
from burnish.lab.inputs import resolve, resolved
from burnish.lab.judged import changes_of, confidence_of
from burnish.lab.measure import results_of
from burnish.lab.pairing import graded_of, prompt_grades
from burnish.lab.planned_experiment import PlannedExperiment, planned, planner_of
from burnish.lab.timing import timings_of, trained_models
from burnish.lab.tracked import tracked_rounds
from burnish.people.mailbox import Mailbox
from burnish.protocols import Backend, Generator
from burnish.report.figures import draw_figures, write_figures
from burnish.report.page import write_report
from burnish.report.terminal import Terminal
from burnish.report.text import plural
from burnish.results import (
    CHANGES_FILE,
    CONFIDENCE_FILE,
    CONFIG_FILE,
    MODELS_FILE,
    RESULTS_FILE,
    TIMINGS_FILE,
    Results,
    write_prompt_grades,
)
from burnish.steps.engines import GENERATOR, check_engine
from burnish.store.course import Course
from burnish.store.explain import Explanation, explain, flat
from burnish.store.files import explained_write_errors, pretty, write_atomic
from burnish.store.json_rows import dump_line
from burnish.store.known_hashes import HASHES, KnownHashes
from burnish.store.opening import default_store, open_store
from burnish.store.runners import Executor, planned_stages
from burnish.store.stages import Store
from burnish.tasks import make_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a finished run leaves: its results, and the folder where they are."""

    results: Results
    out: Path


def run(
    config: Config,
    out: Path | None = None,
    store: Path | None = None,
    backend: Callable[[], Backend] | None = None,
    generator: Generator | None = None,
) -> Finished:
    """Run an experiment, and write results, figures and a report into `out`. Finished stages are reused.

    If not given, `out` is `runs/NAME` and `store` is `default_store()`. `backend` is a function that opens a backend of
    your own. `generator` is an object that implements the Generator protocol; it answers the prompts, and the backend
    only trains and scores. With one of them, everything runs in this process. After a crash, the same call continues.

    Raises BurnishError if the user must correct something, and Paused if the run must wait for people or a larger
    budget.
    """
    (finished,) = run_all([config], [out or Path("runs") / config.name], store, backend, generator)
    return finished


def run_all(
    configs: Sequence[Config],
    places: Sequence[Path],
    store: Path | None = None,
    backend: Callable[[], Backend] | None = None,
    generator: Generator | None = None,
) -> Iterator[Finished]:
    """Run experiments one after the other in one store. `places` are their results folders.

    Each is yielded as soon as its results are written. Raises BurnishError and Paused as `run` does.
    """
    check_launched_once()
    check_engine(generator, GENERATOR, "burnish.run: generator", "Generator")
    root, terminal, own = open_store(store or default_store()), Terminal(), _Own(backend, generator)
    if not own.given:
        check_executor(common_executor(configs))
    known = KnownHashes(root.root / HASHES)
    # All experiments are checked before the first one starts.
    jobs = [
        _prepared(config, place, root, terminal, known, own_backend=own.given)
        for config, place in zip(configs, places, strict=True)
    ]
    # Several experiments may ask the same server for the same. A line is said once.
    for line in dict.fromkeys(line for job in jobs for line in job.sent):
        terminal.say(line)
    # One course for all of them: a stage that several experiments share is counted once.
    course = Course(stage for job in jobs for stage in job.stages)
    course.announce(terminal.say)
    started = time.monotonic()
    sound = Sound()
    workers = max(job.config.execution.workers for job in jobs)
    # A caller's own objects live in this process and cannot be sent to a worker. Without workers, `_assembled` runs the
    # stages itself.
    alone = own.given or all(job.config.execution.alone for job in jobs)
    every = (index for index in range(len(jobs)))
    try:
        with closing(every if alone else computed(jobs, root, terminal, course, sound, workers)) as done:
            for index in done:
                yield _assembled(jobs[index], root, terminal, own, course, sound, started)
                started = time.monotonic()
    finally:
        for job in jobs:
            job.inputs.models.rest()


@dataclass(frozen=True, slots=True)
class _Own:
    """A caller's own backend and generator. None stands for the usual one."""

    backend: Callable[[], Backend] | None
    generator: Generator | None

    @property
    def given(self) -> bool:
        """Whether the caller gave one of them."""
        return self.backend is not None or self.generator is not None


def _prepared(
    config: Config, out: Path, root: Store, terminal: Terminal, known: KnownHashes, own_backend: bool
) -> PlannedExperiment:
    """Check everything that can be checked before anything is spent. Claim the stages, so that `gc` does not delete
    those of a run that is not finished."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out: {str(out)!r} is a file; name a folder for the results")
    inputs = resolve(config, offline_ok=False, known=known)
    # A caller's own objects compute everything in this process.
    planner = planner_of(config, inputs, root, whole=own_backend)
    records = planner.records
    for warning in doubts_of(config, inputs, records, root, offline_ok=False, own_backend=own_backend).warnings:
        terminal.say(f"warning: {warning}")
    if other := _replaced(config, out):
        terminal.say(f"warning: {other}")
    # The folder is made now: a place that cannot be written must not show after hours.
    with explained_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    # `gc` keeps the stages of every run whose results folder exists.
    root.refer(out, [record.fingerprint for record in records])
    # The data are only read for this where they leave the machine: a large task takes a while.
    sent = sent_elsewhere(config, asked(config, inputs, records), records) if any_elsewhere(config) else ()
    return PlannedExperiment(
        config=config,
        inputs=inputs,
        out=out,
        stages=planned_stages(records),
        open_end=bool(planner.undecided),
        sent=(*inputs.models.sent(), *sent),
    )


def _replaced(config: Config, out: Path) -> str | None:
    """Return a warning if the folder holds the results of other settings, which the run replaces."""
    try:
        found: Any = yaml.safe_load((out / CONFIG_FILE).read_bytes())
    except (OSError, yaml.YAMLError):  # there are no results, or a user edited the file
        return None
    # What is left out changes no result.
    kept = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    before, now = (
        flat({name: value for name, value in settings.items() if name not in {"name", "note", "execution"}})
        for settings in (kept, config.model_dump(mode="json"))
    )
    fields = [name for name in dict.fromkeys((*now, *before)) if before.get(name) != now.get(name)]
    if not fields:
        return None
    first = fields[0]
    more = f" and {plural(len(fields) - 1, 'other setting')}" if len(fields) > 1 else ""
    return (
        f"{out} holds the results of other settings ({first}: {brief(before.get(first))} there, "
        f"{brief(now.get(first))} now{more}), which this run replaces; use another --out to keep both. Finished stages "
        "stay in the store"
    )


def _assembled(
    job: PlannedExperiment, root: Store, terminal: Terminal, own: _Own, course: Course, sound: Sound, started: float
) -> Finished:
    """Compute what no worker has computed, and write the results folder."""
    config, out = job.config, job.out
    made_with = provenance(config.execution, config.models.strong)
    # Timings tell stages that this run reused from those that its workers have just computed.
    before = job.finished_before if sound.before is None else sound.before
    executor = Executor(root, terminal, made_with, before, course, sound.stages)
    opener = own.backend or opener_of(
        config.execution, config.models.strong, terminal, job.inputs.models.sources, config.name
    )
    # Workers only fill the store. This pass finds their stages done there and collects the outcomes.
    experiment = Experiment(
        config=config,
        inputs=job.inputs,
        runner=executor,
        backend=opener,
        generator=own.generator,
        folder=out,
        terminal=terminal,
    )
    try:
        outcomes = experiment.run(config.seeds)
    except PeopleAwaited as stop:
        # Pairs of earlier settings wait no more.
        Mailbox(out).keep(stop.pairs)
        raise
    Mailbox(out).keep(())
    if job.open_end or config.execution.parts > 1:
        # Which stages belong to the results is known only now. Parts of stages are needed no more.
        root.refer(out, [record.fingerprint for record in executor.records])
    task = make_task(job.inputs.task)
    # The config as it ran, so that the results name the commits of the models and data on the hub.
    results = results_of(resolved(config, job.inputs), outcomes, graded := graded_of(outcomes), task)
    models = trained_models(executor.records, root)
    timings = timings_of(config, executor.records, time.monotonic() - started)
    write_prompt_grades(out, prompt_grades(graded))
    write_atomic(out / CHANGES_FILE, b"".join(dump_line(_json(change)) for change in changes_of(outcomes, task)))
    write_atomic(out / CONFIDENCE_FILE, b"".join(dump_line(_json(row)) for row in confidence_of(outcomes, task)))
    write_atomic(out / CONFIG_FILE, _as_yaml(config))
    # The results come last: whoever finds results.json also finds the other files.
    for name, record in ((MODELS_FILE, models), (TIMINGS_FILE, timings), (RESULTS_FILE, results)):
        write_atomic(out / name, pretty(_json(record)))
    drawings = draw_figures(results)
    write_figures(out, drawings)
    write_report(out, drawings)
    if tracking := tracking_of(config.execution, config.name, terminal):
        send_rounds(tracking, out, tracked_rounds(config, results))
    return Finished(results=results, out=out)


def _as_yaml(config: Config) -> bytes:
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)  # pyright: ignore[reportUnknownMemberType] its stub
    return text.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do.

    `unresolved` are the hub ids that could not be resolved to a commit. `judge` is an upper bound on the calls to
    judges on servers. It is None if no server is asked or the task cannot be loaded. `sent` says what goes to servers
    that are not on this machine. `memory` says what trainings, answers and scores need with models that are not built
    in. `warnings` say what will hardly work. `unread` says why the data were not read and checked, and is None if they
    were.
    """

    stages: list[Explanation]
    unresolved: list[str]
    judge: CallEstimate | None
    sent: tuple[str, ...]
    warnings: list[str]
    unread: str | None
    memory: tuple[MemoryNeed, ...] = ()


def plan(config: Config, store: Path | None = None) -> Plan:
    """Say for every stage of an experiment whether it is done, new, or runs again, and which fields are the cause.

    Raises ConfigError or DataError as `resolve` and `doubts_of` do.
    """
    place = open_store(store or default_store())
    # A dry run reads what earlier runs have hashed, and writes nothing.
    inputs = resolve(config, offline_ok=True, known=KnownHashes(place.root / HASHES, kept=False))
    records = planned(config, inputs, place)
    doubts = doubts_of(config, inputs, records, place, offline_ok=True)
    found = asked(config, inputs, records)
    return Plan(
        stages=explain(records, place),
        unresolved=inputs.unresolved,
        judge=calls_of(found),
        sent=(*inputs.models.sent(), *sent_elsewhere(config, found, records)),
        warnings=doubts.warnings,
        unread=doubts.unread,
        memory=memory_needs(records, not_built_in(inputs.models.sources), config.execution),
    )


def _json(record: Any) -> Any:
    return record.model_dump(mode="json")
