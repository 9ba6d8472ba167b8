"""Tasks of Ray and who starts them. A small stand-in plays Ray; benchmarks/ray_kills.py uses a real cluster."""

from __future__ import annotations

import dataclasses
import os
import queue
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from experiment import fake, small
from working import DECODE, briefed, outputs

from burnish.lab import ray_driver, remote, workers
from burnish.lab.pool import BRIEF, About, Assignment, Brief, Report, line_of, read_line
from burnish.lab.ray_driver import Driver
from burnish.lab.remote import Origin, work
from burnish.lab.running import run
from burnish.lab.workers import Channel
from burnish.store.stages import Store


class RayError(Exception): ...


class NodeDiedError(RayError): ...


class OutOfMemoryError(RayError): ...


class RayTaskError(RayError): ...


class RaySystemError(RayError): ...


class Lines:
    """The lines of a task. They are made while they are read."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.lines = lines

    def __next__(self) -> bytes:
        return next(self.lines)


class PlayedRay:
    """Plays the part of Ray that burnish uses. `task` computes in place of the function that is given."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        NodeDiedError=NodeDiedError,
        OutOfMemoryError=OutOfMemoryError,
        RayTaskError=RayTaskError,
        RaySystemError=RaySystemError,
    )

    def __init__(self, task: Callable[..., Iterator[bytes]] | None = None, nodes: Mapping[str, float] | None = None):
        self.task, self.has = task, {"CPU": 4.0} if nodes is None else dict(nodes)
        self.given: list[dict[str, Any]] = []
        self.cancelled: list[Any] = []

    def put(self, value: object) -> object:
        return value

    def get(self, value: object) -> object:
        return value

    def remote(self, function: Callable[..., Iterator[bytes]]) -> Any:
        def options(**values: Any) -> Any:
            self.given.append(values)

            def start(*arguments: object) -> Lines:
                return Lines((self.task or function)(*arguments))

            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def wait(self, lines: list[Lines], num_returns: int, timeout: float) -> tuple[list[Lines], list[Lines]]:
        ready = [one for one in lines if not isinstance(one.lines, Never)]
        return ready[:1], lines

    def cluster_resources(self) -> Mapping[str, float]:
        return self.has

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": self.has}, {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 9.0}}]

    def cancel(self, lines: Lines, force: bool) -> None:
        self.cancelled.append(lines)


class Never(Iterator[bytes]):
    """The lines of a task that finds no node."""

    def __next__(self) -> bytes:
        raise AssertionError


def served(ray: PlayedRay, brief: Brief, keys: list[str]) -> list[Report]:
    """Let a driver compute these stages. Returns its reports."""
    reports: list[Report] = []
    tasks = queue.SimpleQueue[Assignment | None]()

    def put(line: bytes) -> None:
        reports.append(read_line(line, Report))
        if reports[-1].about is not About.SAID and keys:
            tasks.put(Assignment(config=0, fingerprint=keys.pop(0)))
        elif reports[-1].about is not About.SAID:
            tasks.put(None)

    tasks.put(Assignment(config=0, fingerprint=keys.pop(0)))
    Driver(ray, BRIEF.dump_json(brief), brief, Channel(put)).serve(tasks)
    return reports


@pytest.fixture
def on_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    remote._worker.cache_clear()

    def opener_of(*_: object) -> Callable[[], object]:
        return fake

    monkeypatch.setattr(workers, "opener_of", opener_of)


@pytest.mark.slow
@pytest.mark.usefixtures("on_fake")
def test_tasks_compute_what_one_process_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = small(methods=[{"kind": "sft"}], decode=DECODE)
    run(config, tmp_path / "alone", tmp_path / "alone-store", backend=fake)
    Store(tmp_path / "store").refer(tmp_path / "out", [])
    brief = briefed(config, Path("store"))
    reports = served(PlayedRay(), brief, [stage.fingerprint for stage in brief.stages])
    assert [one.message for one in reports if one.about is About.FAILED] == []
    assert sum(one.about is About.FINISHED for one in reports) == len(brief.stages)
    # What happens is told while it happens, and the end comes last.
    assert [one.about for one in reports[:3]] == [About.SAID, About.SAID, About.FINISHED]
    assert outputs(tmp_path / "store") == outputs(tmp_path / "alone-store")


@pytest.mark.usefixtures("on_fake")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "0.0.1"}, "and the run has 0.0.1; install the same version on all nodes"),
        ({"folder": "/no/such"}, "has no folder /no/such; start the run in a folder on a disk that all nodes share"),
        ({}, "does not see elsewhere; put it on a disk that all nodes share, or into a bucket"),
    ],
)
def test_a_node_that_is_set_up_in_another_way_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    brief = briefed(small(), tmp_path / "store")
    data = BRIEF.dump_json(dataclasses.replace(brief, store="elsewhere"))
    origin = dataclasses.replace(Origin(folder=os.getcwd()), **changes)
    first, last = work(data, origin, line_of(Assignment(config=0, fingerprint=brief.stages[0].fingerprint)))
    report = read_line(last, Report)
    assert (first, report.about, report.error) == (b"", About.FAILED, "ConfigError")
    assert words in report.message


@pytest.mark.parametrize(
    ("error", "about", "words"),
    [
        (NodeDiedError("The task died\nbecause"), About.LOST, "lost: its node died"),
        (OutOfMemoryError("x"), About.LOST, "lost: its node ran out of memory: lower execution.batch_tokens"),
        (RayError("Worker crashed.\nmore"), About.LOST, "its worker on the Ray cluster was lost: Worker crashed."),
        (RayTaskError("a\nModuleNotFoundError: no burnish"), About.FAILED, "ModuleNotFoundError: no burnish"),
        (None, About.LOST, "it ended without a report"),
    ],
)
def test_how_a_task_ends_that_has_no_report(tmp_path: Path, error: Exception | None, about: About, words: str) -> None:
    def task(*_: object) -> Iterator[bytes]:
        yield b""
        if error is not None:
            raise error

    brief = briefed(small(), tmp_path)
    key = brief.stages[0].fingerprint
    (report,) = served(PlayedRay(task), brief, [key])
    assert (report.about, report.fingerprint) == (about, key)
    assert words in report.message


def test_a_stage_gets_what_it_needs(tmp_path: Path) -> None:
    def task(_: object, __: object, line: bytes) -> Iterator[bytes]:
        yield line_of(Report(about=About.FINISHED))

    needs = {"models": {"cpus": 2, "memory_gb": 3}, "answer": {"gpus": 0.5}}
    brief = briefed(small(execution={"needs": needs}), tmp_path)
    keys = {stage.name: stage.fingerprint for stage in brief.stages}
    ray = PlayedRay(task, {"CPU": 8.0, "GPU": 2.0})
    served(ray, brief, [keys[name] for name in ("data", "train", "answer")])
    resources = [(one["num_cpus"], one["num_gpus"], one["memory"]) for one in ray.given]
    assert resources == [(1.0, 0.0, None), (2.0, 1.0, 3e9), (1.0, 0.5, None)]
    assert {one["max_retries"] for one in ray.given} == {0}


def test_a_training_gets_what_all_its_processes_need(tmp_path: Path) -> None:
    """Ray gives a task one node. So the processes that share a training are on one node, too."""

    def task(_: object, __: object, line: bytes) -> Iterator[bytes]:
        yield line_of(Report(about=About.FINISHED))

    needs = {"models": {"processes": 4, "cpus": 2, "memory_gb": 3}}
    brief = briefed(small(execution={"needs": needs}), tmp_path)
    keys = {stage.name: stage.fingerprint for stage in brief.stages}
    ray = PlayedRay(task, {"CPU": 8.0, "GPU": 4.0})
    served(ray, brief, [keys[name] for name in ("train", "answer")])
    resources = [(one["num_cpus"], one["num_gpus"], one["memory"]) for one in ray.given]
    assert resources == [(8.0, 4.0, 12e9), (2.0, 1.0, 3e9)]


def test_a_stage_that_no_node_can_compute_is_an_error_and_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example because the only node with a GPU has lost it."""
    monkeypatch.setattr(ray_driver, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(ray_driver, "PATIENCE", 0.05)
    brief = briefed(small(execution={"needs": {"models": {"gpus": 1}}}), tmp_path)
    (key,) = [stage.fingerprint for stage in brief.stages if stage.name == "train"][:1]
    ray = PlayedRay(lambda *_: Never())
    warning, report = served(ray, brief, [key])
    assert "train: no node of the Ray cluster has 1 CPU core and 1 GPU; waiting" in warning.message
    assert (report.about, report.error) == (About.FAILED, "BackendError")
    assert report.message.endswith("add a node, or lower execution.needs; finished work is kept")
    assert len(ray.cancelled) == 1


def test_a_stage_that_waited_for_a_busy_node_is_given_time_when_that_node_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage waits longer than PATIENCE before the only node with a GPU is gone. Then another node comes."""
    monkeypatch.setattr(ray_driver, "LOOK_SECONDS", 0.0)
    now = [0.0]
    monkeypatch.setattr(ray_driver.time, "monotonic", lambda: now[0])
    brief = briefed(small(execution={"needs": {"models": {"gpus": 1}}}), tmp_path)
    (key,) = [stage.fingerprint for stage in brief.stages if stage.name == "train"][:1]
    reports: list[Report] = []
    ray = PlayedRay(lambda *_: Never(), {"CPU": 4.0, "GPU": 1.0})
    driver = Driver(ray, b"", brief, Channel(lambda line: reports.append(read_line(line, Report))))
    driver._submit(Assignment(config=0, fingerprint=key))
    seen: list[list[About]] = []
    for moment, gpus in ((400.0, 1.0), (410.0, 0.0), (600.0, 0.0), (610.0, 1.0), (620.0, 0.0), (900.0, 0.0)):
        now[0], ray.has["GPU"] = moment, gpus
        driver._look()
        seen.append([report.about for report in reports])
    assert seen[2] == [About.SAID]  # it is told once
    assert seen[-1] == [About.SAID, About.SAID]
    now[0] = 921.0
    driver._look()
    assert reports[-1].about is About.FAILED


def test_needs_of_a_stage_that_does_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="needs: 'trian' is no stage that computes with a model; write models for"):
        small(execution={"needs": {"trian": {"gpus": 1}}})
    with pytest.raises(ValueError, match=r"1.5 found; give a part of one GPU, or a whole number of them"):
        small(execution={"needs": {"models": {"gpus": 1.5}}})
    with pytest.raises(
        ValueError, match=r"needs.answer.processes: 2 found, but only trainings are shared by processes"
    ):
        small(execution={"needs": {"answer": {"processes": 2}}})
    with pytest.raises(ValueError, match=r"gpus: 0.5 found with processes: 2; each process of a training has one GPU"):
        small(execution={"needs": {"train": {"processes": 2, "gpus": 0.5}}})


def test_the_plan_of_a_run_is_the_same_for_every_executor(tmp_path: Path) -> None:
    plans = [
        briefed(small(execution=settings), tmp_path).stages for settings in ({}, {"executor": "ray", "workers": 3})
    ]
    assert plans[0] == plans[1]
