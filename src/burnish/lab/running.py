"""The commands `run` and `explain` as functions: from an experiment's config to a folder of results."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from burnish.annotators.llm.questions import Estimate, estimate, mean_characters, summed
from burnish.backends.machine import opener_of, peak_memory, provenance, threads_of, versions
from burnish.config import Config, JudgeConfig
from burnish.errors import BurnishError, ConfigError
from burnish.lab import workers
from burnish.lab.doubts import doubts_of
from burnish.lab.experiment import Experiment
from burnish.lab.inputs import ExperimentInputs, resolve, resolved, server_judges
from burnish.lab.measure import changes_of, results_of
from burnish.protocols import Backend
from burnish.report.figures import write_figures
from burnish.report.page import write_report
from burnish.report.terminal import Terminal
from burnish.results import (
    CHANGES_FILE,
    CONFIG_FILE,
    RESULTS_FILE,
    TIMINGS_FILE,
    Machine,
    Results,
    StageTiming,
    Timings,
)
from burnish.store.explain import Explanation, explain
from burnish.store.files import default_store, dump_line, explained_write_errors, pretty, write_atomic
from burnish.store.runners import Executor, Planner, StageRecord
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
) -> Finished:
    """Run an experiment, and write results, figures and a report into `out`. Finished stages are reused.

    If not given, `out` is `runs/NAME` and `store` is `default_store()`. After a crash, the same call continues. Raises
    BurnishError if the user must correct something, and Paused if the run must wait for people or a larger budget.
    """
    (finished,) = run_all([config], [out or Path("runs") / config.name], store, backend)
    return finished


def run_all(
    configs: Sequence[Config],
    places: Sequence[Path],
    store: Path | None = None,
    backend: Callable[[], Backend] | None = None,
) -> Iterator[Finished]:
    """Run experiments one after the other in one store. `places` are their results folders.

    Each is yielded as soon as its results are written. Raises BurnishError and Paused as `run` does.
    """
    root, terminal = Store(store or default_store()), Terminal()
    # All experiments are checked before the first one starts.
    jobs = [
        _prepared(config, place, root, terminal, own_backend=backend is not None)
        for config, place in zip(configs, places, strict=True)
    ]
    started = time.monotonic()
    for index in _computed(configs, root, terminal, backend):
        yield _assembled(jobs[index], root, terminal, backend, started)
        started = time.monotonic()


def _computed(
    configs: Sequence[Config], root: Store, terminal: Terminal, backend: Callable[[], Backend] | None
) -> Iterable[int]:
    """Yield the index of each experiment when workers have finished its stages, or at once if this process computes
    them."""
    # A caller's own backend lives in this process and cannot be sent to a worker.
    if backend is None and max(config.execution.workers for config in configs) > 1:
        return workers.compute(configs, root.root, terminal)
    # Nothing is computed in this case: `_assembled` runs the stages itself.
    return range(len(configs))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """An experiment whose inputs are found. `finished_before` are the stages that the store had before this run."""

    config: Config
    inputs: ExperimentInputs
    out: Path
    finished_before: frozenset[str]


def _prepared(config: Config, out: Path, root: Store, terminal: Terminal, own_backend: bool) -> _Job:
    """Check everything that can be checked before anything is spent. Claim the stages, so that `gc` does not delete
    those of a run that is not finished."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out: {str(out)!r} is a file; name a folder for the results")
    inputs = resolve(config, offline_ok=False)
    records = planned(config, inputs, root)
    for warning in doubts_of(config, inputs, records, root, offline_ok=False, own_backend=own_backend).warnings:
        terminal.say(f"warning: {warning}")
    # The folder is made now: a place that cannot be written must not show after hours.
    with explained_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    # `gc` keeps the stages of every run whose results folder exists.
    root.refer(out, [record.fingerprint for record in records])
    # Timings tell stages that this run reused from those that its workers have just computed.
    finished_before = frozenset(record.fingerprint for record in records if record.reused)
    return _Job(config=config, inputs=inputs, out=out, finished_before=finished_before)


def _assembled(
    job: _Job, root: Store, terminal: Terminal, backend: Callable[[], Backend] | None, started: float
) -> Finished:
    """Compute what no worker has computed, and write the results folder."""
    config, out = job.config, job.out
    executor = Executor(root, terminal, provenance(config.execution, config.models.strong), job.finished_before)
    opener = backend or opener_of(config.execution, config.models.strong, terminal, job.inputs.models.sources)
    # Workers only fill the store. This pass finds their stages done there and collects the outcomes.
    outcomes = Experiment(config=config, inputs=job.inputs, runner=executor, backend=opener, folder=out).run(
        config.seeds
    )
    task = make_task(job.inputs.task)
    # The config as it ran, so that the results name the commits of the models and data on the hub.
    results = results_of(resolved(config, job.inputs), outcomes, task)
    timings = _timings(config, executor.records, time.monotonic() - started)
    write_atomic(out / CHANGES_FILE, b"".join(dump_line(_json(change)) for change in changes_of(outcomes, task)))
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)  # pyright: ignore[reportUnknownMemberType] its stub
    write_atomic(out / CONFIG_FILE, settings.encode())
    write_atomic(out / TIMINGS_FILE, pretty(_json(timings)))
    # After the files beside it: whoever finds results.json also finds changes, config and timings.
    write_atomic(out / RESULTS_FILE, pretty(_json(results)))
    write_figures(out)
    write_report(out)
    return Finished(results=results, out=out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do.

    `unresolved` are the hub ids that could not be resolved to a commit. `judge` is an upper bound on the calls to
    judges on servers. It is None if no server is asked or the task cannot be loaded. `warnings` say what will hardly
    work. `unread` says why the data were not read and checked, and is None if they were.
    """

    stages: list[Explanation]
    unresolved: list[str]
    judge: Estimate | None
    warnings: list[str]
    unread: str | None


def plan(config: Config, store: Path | None = None) -> Plan:
    """Say for every stage of an experiment whether it is done, new, or runs again, and which fields are the cause.

    Raises ConfigError or DataError as `resolve` and `doubts_of` do.
    """
    place = Store(store or default_store())
    inputs = resolve(config, offline_ok=True)
    records = planned(config, inputs, place)
    doubts = doubts_of(config, inputs, records, place, offline_ok=True)
    return Plan(
        stages=explain(records, place),
        unresolved=inputs.unresolved,
        judge=_judge_calls(config, inputs, records),
        warnings=doubts.warnings,
        unread=doubts.unread,
    )


def _judge_calls(config: Config, inputs: ExperimentInputs, records: Sequence[StageRecord]) -> Estimate | None:
    """Return an upper bound on the calls for all comparisons that are still to be judged.

    Answers are assumed to be as long as the references. Returns None if no server is asked, or if the task cannot be
    loaded.
    """
    judges = server_judges(config)
    if not judges:
        return None
    try:
        data = make_task(inputs.task).load()
    except BurnishError:  # for example a hub dataset without a network: the plan is still useful without this line
        return None
    waiting = [record for record in records if record.stage.name == "judge" and not record.reused]
    rates = {record.fingerprint for record in records if record.stage.name == "versus"}
    # Judgements for win rates and those of the annotator are both stages named `judge`. Their input tells them apart.
    of_rates = sum(record.stage.inputs["comparisons"].fingerprint in rates for record in waiting)
    estimates: list[Estimate] = []
    if isinstance(config.judge, JudgeConfig) and of_rates:
        estimates.append(estimate(config.judge, len(data.test) * of_rates, mean_characters(data.test)))
    annotating = [judge for judge in config.supervision.annotator.members if isinstance(judge, JudgeConfig)]
    if annotating and len(waiting) > of_rates:
        # Half of the training rows, since only half U is refined.
        comparisons = len(config.seeds) * sum(
            method.comparisons_per_row * method.last_round * len(data.train) // 2 for method in config.methods
        )
        estimates += [estimate(judge, comparisons, mean_characters(data.train)) for judge in annotating]
    return summed(estimates)


def planned(config: Config, inputs: ExperimentInputs, store: Store) -> list[StageRecord]:
    """Return the stages of an experiment in order, without running any of them."""
    planner = Planner(store)

    # A plan that loaded a model would be a fault of burnish, so this raises AssertionError.
    def no_backend() -> Backend:
        raise AssertionError("a plan runs nothing")

    Experiment(config=config, inputs=inputs, runner=planner, backend=no_backend).run(config.seeds)
    return planner.records


def _json(record: Any) -> Any:
    return record.model_dump(mode="json")


def _timings(config: Config, records: list[StageRecord], seconds: float) -> Timings:
    """Return how long each stage took, on which machine, and with which versions of the libraries."""
    return Timings(
        total_seconds=round(seconds, 3),
        peak_memory_bytes=peak_memory(),
        machine=Machine(
            platform=platform.platform(),
            cpu_count=os.cpu_count(),
            device=config.execution.device,
            threads=threads_of(config.execution, config.models.strong),
        ),
        versions=versions(),
        stages=tuple(_stage_timing(record) for record in records),
    )


def _stage_timing(record: StageRecord) -> StageTiming:
    return StageTiming(
        name=record.stage.name,
        label=record.stage.label,
        fingerprint=record.fingerprint,
        reused=record.reused,
        seconds=record.seconds,
        rows=record.counts.get("rows", 0),
        tokens=record.counts.get("tokens", 0),
        comparisons=record.counts.get("comparisons", 0),
    )
