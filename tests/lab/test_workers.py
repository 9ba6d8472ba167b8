"""A worker in this process: what it plans and computes, and how it reports the end of a stage."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment import fake, small
from rich.console import Console
from working import METHODS, briefed, outputs

from burnish.errors import DataError, Paused, StageError
from burnish.lab import workers
from burnish.lab.inputs import resolve
from burnish.lab.pool import BRIEF, About, Assignment, Report, line_of, read_line
from burnish.report.terminal import Terminal
from burnish.store.files import tree_checksums
from burnish.store.stages import Store


@pytest.fixture
def on_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in this process use the fake backend."""

    def opener_of(*_: object) -> Callable[[], object]:
        return fake

    monkeypatch.setattr(workers, "opener_of", opener_of)


# --- a worker in this process


@pytest.mark.slow
@pytest.mark.usefixtures("on_fake")
def test_a_worker_finds_every_stage_of_the_plan(tmp_path: Path) -> None:
    """The brief goes through JSON, as it does for a process. The plan of the worker is that of the run."""
    config = small(methods=METHODS, seeds=[0, 1], measure=["kl", "win_rate"])
    brief = briefed(config, tmp_path)
    worker = workers.Worker(BRIEF.validate_json(BRIEF.dump_json(brief)), Terminal())
    for stage in brief.stages:
        assert worker.compute(Assignment(config=0, fingerprint=stage.fingerprint)) >= 0
    assert all(Store(tmp_path).done(stage.name, stage.fingerprint) for stage in brief.stages)


@pytest.mark.slow
@pytest.mark.usefixtures("on_fake")
@pytest.mark.parametrize(
    "annotator",
    [
        {"kind": "classifier", "checkpoints": 2},
        {"kind": "mixed", "other": {"kind": "likelihood", "model": "builtin:judge-3"}},
        {"kind": "majority", "of": [{"kind": "oracle"}, {"kind": "likelihood", "model": "builtin:judge-3"}]},
    ],
)
def test_the_edges_of_a_plan_are_all_that_a_stage_needs(tmp_path: Path, annotator: dict[str, Any]) -> None:
    """Each stage is computed in an empty store, after nothing but what it needs, and has the same result."""
    config = small(
        methods=[*METHODS, {"kind": "naive", "rounds": 1}],
        supervision={"annotator": annotator, "demonstrations": "correct"},
        task={"kind": "sums", "train": 40, "test": 5},
        measure=["kl", "win_rate"],
    )
    whole, apart = tmp_path / "whole", tmp_path / "apart"
    brief = briefed(config, whole)
    worker = workers.Worker(brief, Terminal())
    for stage in brief.stages:
        worker.compute(Assignment(config=0, fingerprint=stage.fingerprint))
    expected, needs = outputs(whole), {stage.fingerprint: stage.needs for stage in brief.stages}
    place = {stage.fingerprint: f"{stage.name}/{stage.fingerprint[:32]}" for stage in brief.stages}
    for number, stage in enumerate(brief.stages):
        wanted, rest = set[str](), [stage.fingerprint]
        while rest:
            key = rest.pop()
            if key in needs and key not in wanted:
                wanted.add(key)
                rest.extend(needs[key])
        store = apart / str(number)
        for key in wanted - {stage.fingerprint}:
            (store / "stages" / place[key]).parent.mkdir(parents=True, exist_ok=True)
            (store / "stages" / place[key]).symlink_to(whole / "stages" / place[key])
        lone = workers.Worker(dataclasses.replace(brief, store=str(store)), Terminal())
        lone.compute(Assignment(config=0, fingerprint=stage.fingerprint))
        folder = store / "stages" / place[stage.fingerprint]
        sums = {name: sum_ for name, sum_ in tree_checksums(folder).items() if "manifest" not in name}
        assert sums == {
            name.removeprefix(f"{place[stage.fingerprint]}/"): sum_
            for name, sum_ in expected.items()
            if name.startswith(place[stage.fingerprint])
        }, stage.label


@pytest.mark.usefixtures("on_fake")
def test_a_stage_that_the_plan_does_not_have_is_an_error(tmp_path: Path) -> None:
    worker = workers.Worker(briefed(small(), tmp_path), Terminal())
    with pytest.raises(StageError, match="stage 0123abcd: a worker's plan of 'small' does not have it"):
        worker.compute(Assignment(config=0, fingerprint="0123abcdef"))


def test_experiments_with_equal_settings_share_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only one backend is open at a time."""
    opened: list[object] = []

    def opener_of(*_: object) -> Callable[[], object]:
        def open_one() -> object:
            opened.append(fake())
            return opened[-1]

        return open_one

    monkeypatch.setattr(workers, "opener_of", opener_of)
    bench = workers._Bench(Terminal())
    configs = [small(), small(name="two", seeds=[5]), small(models={"weak": "builtin:weak", "strong": "builtin:weak"})]
    one, two, three = (bench.opener(config, resolve(config, offline_ok=False)) for config in configs)
    assert one() is two()
    assert one() is opened[0]
    assert three() is opened[1]
    assert one() is opened[2]
    assert len(opened) == 3


@pytest.mark.parametrize(
    ("raised", "about", "message"),
    [
        (DataError("rows: bad"), About.FAILED, "rows: bad"),
        (Paused("3 pairs wait", "burnish annotate"), About.PAUSED, "3 pairs wait"),
        (
            OSError(28, "No space left on device"),
            About.FAILED,
            "No space left on device; free space or raise the limit",
        ),
        (
            RuntimeError("CUDA error: uncorrectable ECC error"),
            About.LOST,
            "cannot be used any more (CUDA error: uncorr",
        ),
        (ZeroDivisionError("no luck"), About.FAILED, "ZeroDivisionError: no luck; burnish or a library has a fault"),
    ],
)
def test_how_a_stage_ends_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, about: About, message: str
) -> None:
    def compute(*_: object) -> float:
        raise raised

    monkeypatch.setattr(workers.Worker, "compute", compute)
    lines = io.StringIO()
    worker = workers.Worker(briefed(small(), tmp_path), Terminal(console=Console(file=lines, soft_wrap=True)))
    report = workers.attempted(worker, Assignment(config=0, fingerprint="ab"))
    # The traceback goes where the reports go, so that the run has all of it before it hears of the failure.
    assert lines.getvalue().endswith("\nZeroDivisionError: no luck\n") == isinstance(raised, ZeroDivisionError)
    assert (report.about, report.fingerprint) == (about, "ab")
    assert message in report.message
    assert report.command == ("burnish annotate" if about is About.PAUSED else "")
    # Nothing but an error of burnish keeps its class.
    expected = (
        "" if about in {About.PAUSED, About.LOST} else "DataError" if isinstance(raised, DataError) else "StageError"
    )
    assert report.error == expected


# --- a worker process by itself


def started(brief: bytes, folder: Path, given: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a worker with a brief and what comes on its stdin, until it ends."""
    (folder / "brief").write_bytes(brief)
    with (folder / "brief").open("rb") as file:
        command = [sys.executable, "-m", "burnish.lab.workers", str(os.getpid()), str(file.fileno())]
        return subprocess.run(command, input=given, capture_output=True, check=False, pass_fds=[file.fileno()])


@pytest.mark.slow
def test_a_kind_that_only_the_run_knows_is_an_error(tmp_path: Path) -> None:
    brief = BRIEF.dump_json(briefed(small(), tmp_path)).replace(b'"kind":"likelihood"', b'"kind":"coin"')
    done = started(brief, tmp_path, b"")
    assert (done.returncode, done.stderr) == (2, b"")
    report = read_line(done.stdout, Report)
    assert (report.about, report.error) == (About.FAILED, "ConfigError")
    assert "a worker cannot read the config (configs.0.supervision.annotator" in report.message
    assert "'coin' found" in report.message
    assert report.message.endswith("set workers: 1, or make it a plug-in")


@pytest.mark.slow
def test_a_worker_whose_run_was_killed_while_it_wrote_ends_in_silence(tmp_path: Path) -> None:
    done = started(BRIEF.dump_json(briefed(small(), tmp_path)), tmp_path, b'{"config": 0, "finger')
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.slow
def test_a_worker_process_reports_what_it_says_and_how_a_stage_ends(tmp_path: Path) -> None:
    brief = briefed(small(), tmp_path / "store")
    (data,) = (stage for stage in brief.stages if stage.name == "data")
    task = line_of(Assignment(config=0, fingerprint=data.fingerprint))
    done = started(BRIEF.dump_json(brief), tmp_path, task)
    assert (done.returncode, done.stderr) == (0, b"")
    first, *_, last = (read_line(line, Report) for line in done.stdout.splitlines())
    assert (first.about, first.message) == (About.SAID, f"[1/{len(brief.stages)}] data: started")
    assert (last.about, last.fingerprint) == (About.FINISHED, data.fingerprint)
    assert Store(tmp_path / "store").done("data", data.fingerprint)
