"""Workers that are jobs of Slurm, through the package submitit. Each job computes one stage."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.config.executors import SubmititExecutor, gpus_of, needs_of
from burnish.errors import BackendError, ConfigError
from burnish.lab.pool import BRIEF, About, Assignment, Brief, Report, line_of, read_line
from burnish.lab.remote import Origin, work
from burnish.store.files import explained_write_errors, unique

JOBS = "jobs"
"""The folder below the results folder with the logs of jobs."""
POLL_SECONDS = 0.2
"""How often the reports of jobs are looked for, in seconds."""
LOOK_SECONDS = 5.0
"""How often Slurm is asked whether a job still runs, in seconds."""


def check_submitit(executor: SubmititExecutor) -> None:
    """Check that submitit is installed and that Slurm is there. Raises BackendError or ConfigError."""
    if importlib.util.find_spec("submitit") is None:
        raise BackendError(
            "execution.executor: submitit is not installed; install it: pip install 'burnish[train,slurm]'"
        )
    if executor.cluster == "slurm" and shutil.which("sbatch") is None:
        raise ConfigError(
            "execution.executor: there is no Slurm here (no program sbatch); run burnish on a login node, or set "
            "execution.executor.cluster to local"
        )


def compute_job(brief: str, origin: Origin, assignment: bytes, into: str) -> None:
    """Compute a stage in a job, and write its reports into the file `into`."""
    with Path(into).open("ab", buffering=0) as lines:
        for line in work(Path(brief).read_bytes(), origin, assignment):
            lines.write(line)


@dataclass(slots=True, eq=False)
class _SlurmJob:
    """A job. `read` bytes of the file with its reports are read. `looked` is when it was last asked for."""

    assignment: Assignment
    job: Any
    lines: Path
    read: int = 0
    looked: float = 0.0


class SubmititJobs:
    """A pool of jobs. At most `count` of them are submitted at a time."""

    def __init__(self, brief: Brief, executor: SubmititExecutor, count: int) -> None:
        """Prepare the folder of the jobs, which lies in the first results folder."""
        self._brief, self._settings, self._count = brief, executor, count
        self._folder = Path(brief.folders[0]).absolute() / JOBS
        self._names = {stage.fingerprint: stage.name for stage in brief.stages}
        self._jobs: list[_SlurmJob] = []
        self._file = self._folder / f"brief-{unique()}.json"
        with explained_write_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(BRIEF.dump_json(brief))
        submitit = importlib.import_module("submitit")
        self._executor: Any = submitit.AutoExecutor(folder=self._folder, cluster=executor.cluster)

    def free(self) -> bool:
        """Say whether one more job may be submitted."""
        return len(self._jobs) < self._count

    def submit(self, assignment: Assignment) -> None:
        """Submit a job. Raises ConfigError if Slurm or submitit refuses it."""
        lines = self._folder / f"{assignment.fingerprint[:16]}-{unique()}.jsonl"
        try:
            self._executor.update_parameters(**self._parameters(assignment))
            job = self._executor.submit(
                compute_job, str(self._file), Origin(folder=os.getcwd()), line_of(assignment), str(lines)
            )
        # submitit raises errors of many kinds for a wrong parameter, and RuntimeErrors with the words of Slurm.
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError, OSError) as error:
            words = str(error).strip().splitlines()
            raise ConfigError(
                f"execution.executor: a job cannot be submitted ({words[-1] if words else type(error).__name__}); "
                "check execution.executor.options and execution.needs"
            ) from None
        self._jobs.append(_SlurmJob(assignment, job, lines))

    def _parameters(self, assignment: Assignment) -> dict[str, Any]:
        execution, name = self._brief.configs[assignment.config].execution, self._names[assignment.fingerprint]
        needs = needs_of(execution.needs, name)
        memory = {} if needs.memory_gb is None else {"mem_gb": needs.memory_gb}
        return {
            "name": f"burnish-{name}",
            "timeout_min": self._settings.minutes,
            # What GPUs the nodes have is not known here. Slurm gives whole ones.
            "gpus_per_node": math.ceil(gpus_of(needs, name, execution.device, 0.0)),
            "cpus_per_task": needs.cpus,
            **memory,
            **self._settings.options,
        }

    def reports(self, timeout: float) -> Sequence[Report]:
        """Return what was reported since the last call. If there is nothing, wait at most `timeout` seconds."""
        end = time.monotonic() + timeout
        while not (found := [report for job in list(self._jobs) for report in self._heard(job)]):
            if time.monotonic() >= end:
                break
            time.sleep(POLL_SECONDS)
        return found

    def _heard(self, job: _SlurmJob) -> list[Report]:
        """Return what a job has reported since the last call, and whether it is lost."""
        # Asked before its lines are read: what it writes before its end is then read.
        ended = False
        if time.monotonic() - job.looked > LOOK_SECONDS:
            job.looked, ended = time.monotonic(), job.job.done()
        found: list[Report] = []
        with suppress(FileNotFoundError), job.lines.open("rb") as lines:
            lines.seek(job.read)
            for line in lines:
                if line.endswith(b"\n"):
                    job.read += len(line)
                    found.append(read_line(line, Report))
        if any(report.about is not About.SAID for report in found):
            self._jobs.remove(job)
        elif ended:
            self._jobs.remove(job)
            found.append(_lost(job))
        return [
            report if report.about is About.SAID else replace(report, fingerprint=job.assignment.fingerprint)
            for report in found
        ]

    def close(self) -> None:
        """Cancel all jobs that are not finished."""
        for job in self._jobs:
            job.job.cancel(check=False)
        self._jobs.clear()
        self._file.unlink(missing_ok=True)


def _lost(job: _SlurmJob) -> Report:
    """Report that a job has ended without a word of its own."""
    words = (job.job.stderr() or "").strip().splitlines()
    last = f"; its last words: {words[-1]}" if words else ""
    return Report(about=About.LOST, message=f"its job {job.job.job_id} ended ({job.job.state}){last}")
