"""Workers that are processes on this machine."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from burnish.backends.allocator import filling_holes
from burnish.backends.machine import visible_gpus
from burnish.config.executors import most_processes
from burnish.lab.children import ChildWorker, died, file_of, start_child
from burnish.lab.pool import About, Assignment, Brief, Report

COMMAND = (sys.executable, "-m", "burnish.lab.workers")
"""The program of a worker."""
PATIENCE = 10.0
"""How long a worker that has nothing to do may take to end, in seconds."""
GRACE = 1.0
"""How long the output of a dead worker may stay open, in seconds. A process that it started can still hold it."""


class LocalProcesses:
    """A pool of worker processes on this machine. A process computes one stage after another, because importing torch
    takes seconds. One that died is replaced when it is needed. If there are several GPUs, each process sees one of
    them, or as many as the processes of a training need.

    The processes die with the thread that makes the calls.
    """

    def __init__(self, brief: Brief, count: int) -> None:
        self._count = count
        self._processes: list[ChildWorker] = []
        # What workers report, and None when the stdout of a worker is closed.
        self._heard: queue.SimpleQueue[tuple[ChildWorker, Report | None]] = queue.SimpleQueue()
        self._brief = file_of(brief)
        several = max(most_processes(config.execution.needs)[0] for config in brief.configs)
        self._gpus = [",".join(group) for group in _groups(visible_gpus(), several)]

    def free(self) -> bool:
        """Say whether a worker has nothing to do."""
        return sum(process.at is not None for process in self._processes) < self._count

    def submit(self, assignment: Assignment) -> None:
        """Give a stage to a worker that has nothing to do."""
        for process in [one for one in self._processes if one.process.poll() is not None]:
            if process.at is None:
                self._buried(process)
        # All start at once, at the first stage: so they are ready when there is more to do.
        while len(self._processes) < self._count:
            self._processes.append(self._started())
        process = next(process for process in self._processes if process.at is None)
        process.at = assignment
        process.give(assignment)

    def reports(self, timeout: float) -> Sequence[Report]:
        """Return what was reported since the last call. If there is nothing, wait at most `timeout` seconds."""
        found: list[Report] = []
        with suppress(queue.Empty):
            item = self._heard.get(timeout=timeout)
            while True:
                found += self._understood(*item)
                item = self._heard.get_nowait()
        # Usually the closed stdout tells that a worker died. But a process that it forked may still hold it open.
        now = time.monotonic()
        for process in list(self._processes):
            if process.process.poll() is not None:
                process.dead_since = process.dead_since or now
                if now - process.dead_since > GRACE:
                    found += self._buried(process)
        return found

    def close(self) -> None:
        """End all workers. Those that have nothing to do end by themselves, so that their peak memory is known."""
        for process in self._processes:
            process.let_go()
            if process.at is not None:
                process.process.terminate()
        for process in self._processes:
            process.end(PATIENCE)
        self._processes.clear()
        self._brief.close()

    def _started(self) -> ChildWorker:
        """Start a worker process. It gets the GPUs that the fewest others have."""
        taken = [child.gpu for child in self._processes]
        gpu = min(self._gpus, key=taken.count, default="") if len(self._gpus) > 1 else ""
        environment = filling_holes() | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})
        child = start_child(COMMAND, self._brief, self._hear, environment)
        child.gpu = gpu
        return child

    def _hear(self, process: ChildWorker, report: Report | None) -> None:
        self._heard.put((process, report))

    def _understood(self, process: ChildWorker, report: Report | None) -> list[Report]:
        """Return a report, or how a worker died whose stdout is closed."""
        if report is None:
            try:
                process.process.wait(timeout=GRACE)
            except subprocess.TimeoutExpired:
                process.process.kill()  # a worker without a stdout can report nothing
                process.process.wait()
            return self._buried(process)
        if report.about is About.SAID:
            return [report]
        # A worker that cannot read its brief knows of no stage.
        ended, process.at = process.at, None
        if report.about is About.LOST:  # its GPU has failed, and it cannot use another one
            self._processes.remove(process)
            process.let_go()
            process.end(0)
        return [] if ended is None else [replace(report, fingerprint=ended.fingerprint)]

    def _buried(self, process: ChildWorker) -> list[Report]:
        """Forget a dead worker, and report that its stage is lost, if it had one."""
        if process not in self._processes:
            return []
        self._processes.remove(process)
        process.let_go()
        if process.at is None:
            return []
        # The end of its stderr says why it died. It may come later than the end of its stdout.
        assert process.listener is not None
        process.listener.join(timeout=GRACE)
        message = died(process.process.returncode, list(process.words))
        return [Report(about=About.LOST, fingerprint=process.at.fingerprint, message=message)]


def _groups(gpus: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield whole groups of so many GPUs. GPUs that are left over are used by nobody."""
    for start in range(0, len(gpus) - size + 1, size):
        yield gpus[start : start + size]
