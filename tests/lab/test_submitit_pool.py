"""Jobs of Slurm: what they reserve, report and lose. A small stand-in plays submitit; the last test uses the real one,
where it is installed, with processes on this machine. No test has ever run on Slurm."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from experiment import small
from working import briefed

from burnish.config.executors import SubmititExecutor
from burnish.errors import BackendError, ConfigError
from burnish.lab import submitit_pool
from burnish.lab.pool import About, Assignment, Brief, Report, line_of
from burnish.lab.submitit_pool import SubmititJobs, check_submitit

LOCAL = SubmititExecutor(kind="submitit", cluster="local")
SLURM = SubmititExecutor(kind="submitit", minutes=90, options={"slurm_partition": "gpu"})


class PlayedJob:
    """A job that has ended already."""

    def __init__(self, number: int) -> None:
        self.job_id, self.state, self.cancelled = str(number), "NODE_FAIL", False

    def done(self) -> bool:
        return True

    def stderr(self) -> str:
        return "x\nslurmstepd: error: node lost\n"

    def cancel(self, check: bool) -> None:
        self.cancelled = True


class PlayedExecutor:
    """Plays the executor of submitit. `says` gives the lines of a job, and what it raises when it is submitted."""

    def __init__(self, says: Callable[[], list[Report]]) -> None:
        self.says, self.parameters, self.jobs = says, dict[str, Any](), list[PlayedJob]()

    def update_parameters(self, **parameters: Any) -> None:
        self.parameters = parameters

    def submit(self, function: object, brief: str, origin: object, assignment: bytes, into: str) -> PlayedJob:
        assert Path(brief).is_file()
        Path(into).write_bytes(b"".join(map(line_of, self.says())))
        self.jobs.append(PlayedJob(len(self.jobs) + 1))
        return self.jobs[-1]


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[SubmititJobs, PlayedExecutor, Brief]]:
    """Returns a function that opens a pool of two jobs on a played cluster."""
    monkeypatch.setattr(submitit_pool, "LOOK_SECONDS", -1.0)

    def opened(says: Callable[[], list[Report]], **execution: Any) -> tuple[SubmititJobs, PlayedExecutor, Brief]:
        played = PlayedExecutor(says)

        def auto(folder: Path, cluster: str) -> PlayedExecutor:
            assert (folder, cluster) == (tmp_path / "out" / "jobs", "slurm")
            return played

        monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=auto))
        brief = dataclasses.replace(briefed(small(execution=execution), tmp_path), folders=(str(tmp_path / "out"),))
        return SubmititJobs(brief, SLURM, 2), played, brief

    return opened


Opened = Callable[..., tuple[SubmititJobs, PlayedExecutor, Brief]]


def test_a_job_reserves_what_its_stage_needs_and_reports(pool: Opened) -> None:
    ends = [Report(about=About.SAID, message="seed 0 weak: started"), Report(about=About.FINISHED, seconds=2.0)]
    needs = {"train": {"gpus": 0.5, "cpus": 4, "memory_gb": 32}}
    jobs, played, brief = pool(lambda: ends, needs=needs, device="cuda")
    keys = {stage.name: stage.fingerprint for stage in brief.stages}
    jobs.submit(Assignment(config=0, fingerprint=keys["train"]))
    assert played.parameters == {
        "name": "burnish-train",
        "timeout_min": 90,
        "gpus_per_node": 1,
        "cpus_per_task": 4,
        "mem_gb": 32.0,
        "slurm_partition": "gpu",
    }
    said, end = jobs.reports(60.0)
    assert (said.message, end.about, end.fingerprint) == ("seed 0 weak: started", About.FINISHED, keys["train"])
    jobs.submit(Assignment(config=0, fingerprint=keys["answer"]))
    assert (played.parameters["gpus_per_node"], played.parameters["cpus_per_task"]) == (1, 1)
    jobs.submit(Assignment(config=0, fingerprint=keys["data"]))
    assert played.parameters["gpus_per_node"] == 0
    assert not jobs.free()
    jobs.close()
    assert [job.cancelled for job in played.jobs] == [False, True, True]


def test_a_job_reserves_what_all_processes_of_a_training_need(pool: Opened) -> None:
    needs = {"models": {"processes": 4, "cpus": 8, "memory_gb": 64}}
    jobs, played, brief = pool(lambda: [Report(about=About.FINISHED)], needs=needs, device="cuda")
    keys = {stage.name: stage.fingerprint for stage in brief.stages}
    reserved: list[tuple[int, int, float]] = []
    for name in ("train", "answer"):
        jobs.submit(Assignment(config=0, fingerprint=keys[name]))
        reserved.append(tuple(played.parameters[one] for one in ("gpus_per_node", "cpus_per_task", "mem_gb")))
    assert reserved == [(4, 32, 256.0), (1, 8, 64.0)]
    jobs.close()


def test_a_job_that_ends_without_a_word_is_lost(pool: Opened) -> None:
    jobs, _, brief = pool(lambda: [Report(about=About.SAID, message="started")])
    jobs.submit(Assignment(config=0, fingerprint=brief.stages[0].fingerprint))
    _, lost = jobs.reports(60.0)
    assert (lost.about, lost.fingerprint) == (About.LOST, brief.stages[0].fingerprint)
    assert lost.message == "its job 1 ended (NODE_FAIL); its last words: slurmstepd: error: node lost"
    assert jobs.free()
    assert jobs.reports(0.0) == []
    jobs.close()


def test_a_job_that_is_refused_is_an_error(pool: Opened) -> None:
    def refuse() -> list[Report]:
        raise RuntimeError("sbatch:\ninvalid partition specified: gpu")

    jobs, _, brief = pool(refuse)
    with pytest.raises(ConfigError, match=r"cannot be submitted \(invalid partition specified: gpu\); check execution"):
        jobs.submit(Assignment(config=0, fingerprint=brief.stages[0].fingerprint))
    jobs.close()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = [object()]

    def find_spec(_: str) -> object:
        return found[0]

    def no_program(_: str) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    monkeypatch.setattr("shutil.which", no_program)
    check_submitit(LOCAL)
    with pytest.raises(ConfigError, match=r"no Slurm here \(no program sbatch\)"):
        check_submitit(SLURM)
    found[0] = None
    with pytest.raises(BackendError, match=r"pip install 'burnish\[train,slurm\]'"):
        check_submitit(SLURM)


@pytest.mark.slow
def test_real_jobs_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    from burnish.store.stages import Store

    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "store").refer(tmp_path / "out", [])
    brief = dataclasses.replace(briefed(small(), tmp_path / "store"), folders=(str(tmp_path / "out"),))
    jobs = SubmititJobs(brief, LOCAL, 1)
    (data,) = [stage for stage in brief.stages if stage.name == "data"]
    jobs.submit(Assignment(config=0, fingerprint=data.fingerprint))
    found: list[Report] = []
    end = time.monotonic() + 120
    while jobs.free() is False:
        found += jobs.reports(1.0)
        assert time.monotonic() < end, found
    jobs.close()
    assert [report.message.rpartition(": ")[2] for report in found[:1]] == ["started"]
    assert (found[-1].about, found[-1].message) == (About.FINISHED, "")
    assert Store(tmp_path / "store").done("data", data.fingerprint) is not None
