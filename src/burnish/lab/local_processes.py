"""Workers that are processes on this machine."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from burnish.lab.pool import BRIEF, About, Assignment, Brief, Report, line_of, read_line
from burnish.store.runners import LESS_MEMORY

COMMAND = (sys.executable, "-m", "burnish.lab.workers")
"""The program of a worker."""
PATIENCE = 10.0
"""How long a worker that has nothing to do may take to end, in seconds."""
GRACE = 1.0
"""How long the output of a dead worker may stay open, in seconds. A process that it started can still hold it."""
WORDS = 3
"""How many of the last lines on a dead worker's stderr are shown with its death."""


@dataclass(slots=True, eq=False)
class _Process:
    """A worker process. `at` is what it computes now, and `words` are the last lines on its stderr. `dead_since` is
    when its death was noticed."""

    child: subprocess.Popen[bytes]
    at: Assignment | None = None
    words: deque[str] = field(default_factory=lambda: deque[str](maxlen=WORDS))
    listener: threading.Thread | None = None
    dead_since: float | None = None


class LocalProcesses:
    """A pool of worker processes on this machine. A process computes one stage after another, because importing torch
    takes seconds. One that died is replaced when it is needed.

    The processes die with the thread that makes the calls.
    """

    def __init__(self, brief: Brief, count: int) -> None:
        self._count = count
        self._processes: list[_Process] = []
        # What workers report, and None when the stdout of a worker is closed.
        self._heard: queue.SimpleQueue[tuple[_Process, Report | None]] = queue.SimpleQueue()
        # A file and not a pipe: writing a long brief into a pipe would wait until the worker has started and reads it.
        # It has no name, so that a killed run leaves nothing behind.
        self._brief = tempfile.TemporaryFile()  # noqa: SIM115 it is closed in `close`
        self._brief.write(BRIEF.dump_json(brief))
        self._brief.flush()

    def free(self) -> bool:
        """Say whether a worker has nothing to do."""
        return sum(process.at is not None for process in self._processes) < self._count

    def submit(self, assignment: Assignment) -> None:
        """Give a stage to a worker that has nothing to do."""
        for process in [process for process in self._processes if process.child.poll() is not None]:
            if process.at is None:
                self._buried(process)
        # All start at once, at the first stage: so they are ready when there is more to do.
        while len(self._processes) < self._count:
            self._processes.append(self._started())
        process = next(process for process in self._processes if process.at is None)
        process.at = assignment
        assert process.child.stdin is not None
        # A worker that has just died cannot be written to. Its death is reported with this stage, as any other.
        with suppress(BrokenPipeError):
            process.child.stdin.write(line_of(assignment))
            process.child.stdin.flush()

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
            if process.child.poll() is not None:
                process.dead_since = process.dead_since or now
                if now - process.dead_since > GRACE:
                    found += self._buried(process)
        return found

    def close(self) -> None:
        """End all workers. Those that have nothing to do end by themselves, so that their peak memory is known."""
        for process in self._processes:
            assert process.child.stdin is not None
            with suppress(BrokenPipeError):
                process.child.stdin.close()
            if process.at is not None:
                process.child.terminate()
        for process in self._processes:
            try:
                process.child.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.child.kill()
                process.child.wait()
        self._processes.clear()
        self._brief.close()

    def _started(self) -> _Process:
        """Start a worker process, with a thread for each of its outputs."""
        command = [*COMMAND, str(os.getpid()), str(self._brief.fileno())]
        with _deaf():
            # S603 warns of commands from outside: this is our own interpreter and module.
            child = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[self._brief.fileno()],
            )
        process = _Process(child)
        process.listener = threading.Thread(target=self._hear_words, args=(process,), daemon=True)
        process.listener.start()
        threading.Thread(target=self._hear_reports, args=(process,), daemon=True).start()
        return process

    def _hear_reports(self, process: _Process) -> None:
        assert process.child.stdout is not None
        with process.child.stdout as lines:
            for line in lines:
                # A worker that is killed may leave a part of a line. And a library may print while it is imported.
                with suppress(ValueError):
                    self._heard.put((process, read_line(line, Report)))
        self._heard.put((process, None))

    def _hear_words(self, process: _Process) -> None:
        assert process.child.stderr is not None
        with process.child.stderr as lines:
            for line in lines:
                if words := line.decode(errors="replace").rstrip():
                    process.words.append(words.split("\r")[-1])
                    self._heard.put((process, Report(about=About.SAID, message=process.words[-1])))

    def _understood(self, process: _Process, report: Report | None) -> list[Report]:
        """Return a report, or how a worker died whose stdout is closed."""
        if report is None:
            try:
                process.child.wait(timeout=GRACE)
            except subprocess.TimeoutExpired:
                process.child.kill()  # a worker without a stdout can report nothing
                process.child.wait()
            return self._buried(process)
        if report.about is About.SAID:
            return [report]
        # A worker that cannot read its brief knows of no stage.
        ended, process.at = process.at, None
        return [] if ended is None else [replace(report, fingerprint=ended.fingerprint)]

    def _buried(self, process: _Process) -> list[Report]:
        """Forget a dead worker, and report that its stage is lost, if it had one."""
        if process not in self._processes:
            return []
        self._processes.remove(process)
        assert process.child.stdin is not None
        with suppress(BrokenPipeError):
            process.child.stdin.close()
        if process.at is None:
            return []
        # The end of its stderr says why it died. It may come later than the end of its stdout.
        assert process.listener is not None
        process.listener.join(timeout=GRACE)
        message = died(process.child.returncode, list(process.words))
        return [Report(about=About.LOST, fingerprint=process.at.fingerprint, message=message)]


def died(code: int, words: Sequence[str]) -> str:
    """Say how a worker died. `code` is its return code, and `words` are the last lines on its stderr."""
    last = f"; its last words: {' | '.join(words)}" if words else ""
    if code >= 0:
        return f"its worker ended with exit code {code}{last}"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:  # signals without a name, such as real-time signals
        name = ""
    # The kernel ends a process with SIGKILL if no memory is left.
    memory = f"; it may have run out of memory: {LESS_MEMORY}" if code == -signal.SIGKILL else ""
    return f"its worker was killed by signal {-code}{name}{memory}{last}"


@contextmanager
def _deaf() -> Generator[None, None, None]:
    """Start processes that ignore Ctrl-C from their first instruction on.

    A terminal sends Ctrl-C to all processes at once. The run ends its workers itself. Without this each worker would
    print a traceback.
    """
    # A child inherits the blocked signals of its parent, so SIGINT is blocked while it starts.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
