"""The verbs `run`, `plan` and `gc` as functions: an experiment from its config to a folder of results."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from burnish import __version__, backends, identity, workers
from burnish.config import Config
from burnish.errors import ConfigError
from burnish.explain import Explanation, explain
from burnish.lab import Experiment, resolve
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

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "numpy")


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
    opener = backend or _opener(config, terminal, inputs.sources)
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


def run_quietly(config: Config, store: Path) -> None:
    """Compute the stages of a share of an experiment and nothing else: a worker's part of a run."""
    terminal = Terminal()
    inputs = resolve(config, offline_ok=False)
    executor = Executor(Store(store), terminal, provenance(config))
    opener = _opener(config, terminal, inputs.sources)
    Experiment(config=config, inputs=inputs, runner=executor, backend=opener).run(config.seeds)


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


def _opener(config: Config, terminal: Terminal, sources: Mapping[str, Any]) -> Callable[[], Backend]:
    execution = config.execution.model_copy(update={"threads": threads(config)})
    return functools.cache(lambda: backends.open_backend(execution, terminal, sources))


def threads(config: Config) -> int:
    """Return the CPU threads of one process. The built-in models are so small that a second thread slows them down."""
    if config.execution.threads != "auto":
        return config.execution.threads
    if config.models.strong.source.startswith(identity.BUILTIN):
        return 1
    return max(1, (os.cpu_count() or 1) // config.execution.workers)


def _json(record: Any) -> Any:
    return record.model_dump(mode="json")


def provenance(config: Config) -> dict[str, Any]:
    """Return what a manifest records besides identity: versions, machine, execution settings."""
    execution = config.execution.model_dump(mode="json") | {"threads": threads(config)}
    return {"versions": versions(), "platform": platform.platform(), "execution": execution}


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of burnish and of the libraries that are installed, without importing them."""
    found = {"burnish": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _timings(config: Config, records: list[Record], seconds: float) -> Timings:
    return Timings(
        total_seconds=round(seconds, 3),
        peak_memory_bytes=peak_memory(),
        machine=Machine(
            platform=platform.platform(),
            cpu_count=os.cpu_count(),
            device=config.execution.device,
            threads=threads(config),
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


def peak_memory() -> int:
    """Return the largest resident size of this process or of a worker so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * unit
