"""The verbs `run`, `plan` and `gc` as functions: an experiment from its config to a folder of results."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from burnish import workers
from burnish.config import Config
from burnish.errors import ConfigError
from burnish.explain import Explanation, explain
from burnish.lab import Experiment, resolve
from burnish.machine import opener_of, peak_memory, provenance, threads_of, versions
from burnish.measure import changes_of, results_of
from burnish.protocols import Backend
from burnish.report.figures import write_figures
from burnish.report.page import write_report
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
from burnish.stages import Executor, Planner, Record, Store
from burnish.store import dump_line, full_disk, pretty, write_atomic
from burnish.tasks import make_task
from burnish.terminal import Terminal


def default_store() -> Path:
    """Return `$BURNISH_STORE`, else `.burnish` in the working directory."""
    return Path(os.environ.get("BURNISH_STORE") or ".burnish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a run left: its results and where they lie."""

    results: Results
    out: Path


def run(
    config: Config,
    out: Path | None = None,
    store: Path | None = None,
    backend: Callable[[], Backend] | None = None,
) -> Finished:
    """Run an experiment, reusing every stage that is done; writes results, figures and report into `out`.

    `out` is `runs/NAME` and `store` is `default_store()` if not given. Raises BurnishError; the same call goes on
    after any crash.
    """
    out, place = out or Path("runs") / config.name, Store(store or default_store())
    started, terminal = time.monotonic(), Terminal()
    _check_out(out)
    inputs = resolve(config, offline_ok=False)
    executor = Executor(place, terminal, provenance(config))
    if config.execution.workers > 1 and backend is None:
        workers.compute(config, place.root, terminal)
    opener = backend or opener_of(config, terminal, inputs.sources)
    outcomes = Experiment(config=config, inputs=inputs, runner=executor, backend=opener).run(config.seeds)
    task = make_task(inputs.task)
    results = results_of(config, outcomes, task)
    place.refer(out, [record.fingerprint for record in executor.records])
    timings = _timings(config, executor.records, time.monotonic() - started)
    with full_disk(out):
        out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / CHANGES_FILE, b"".join(dump_line(_json(change)) for change in changes_of(outcomes, task)))
    write_atomic(out / CONFIG_FILE, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())
    write_atomic(out / TIMINGS_FILE, pretty(_json(timings)))
    write_atomic(out / RESULTS_FILE, pretty(_json(results)))
    write_figures(out)
    write_report(out)
    return Finished(results=results, out=out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do, and the hub ids that could not be resolved to a commit."""

    stages: list[Explanation]
    unresolved: list[str]


def plan(config: Config, store: Path | None = None) -> Plan:
    """Say for every stage of an experiment whether it is done, new, or runs again and which fields are the cause."""
    place = Store(store or default_store())
    planner = Planner(place)
    inputs = resolve(config, offline_ok=True)

    def no_backend() -> Backend:
        raise AssertionError("a plan runs nothing")

    Experiment(config=config, inputs=inputs, runner=planner, backend=no_backend).run(config.seeds)
    return Plan(stages=explain(planner.records, place), unresolved=inputs.unresolved)


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out: {str(out)!r} is a file; name a folder for the results")


def _json(record: Any) -> Any:
    return record.model_dump(mode="json")


def _timings(config: Config, records: list[Record], seconds: float) -> Timings:
    return Timings(
        total_seconds=round(seconds, 3),
        peak_memory_bytes=peak_memory(),
        machine=Machine(
            platform=platform.platform(),
            cpu_count=os.cpu_count(),
            device=config.execution.device,
            threads=threads_of(config),
        ),
        versions=versions(),
        stages=tuple(_stage_timing(record) for record in records),
    )


def _stage_timing(record: Record) -> StageTiming:
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
