"""A worker process. It computes one stage after another for a run, and dies with the process that started it.

It reads a `Brief` from an open file and then one `Assignment` a line from stdin. It writes one `Report` a line to its
stdout. The traceback of a fault is a part of the reports, so it is complete before the failure is reported. Its stderr
has what libraries print.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from burnish.backends.machine import opener_of, provenance
from burnish.config import Config, Execution, ModelConfig
from burnish.config.executors import PART
from burnish.errors import BurnishError, ConfigError, Paused, PeopleAwaited, StageError, system_refusals
from burnish.lab.experiment import Experiment
from burnish.lab.inputs import ExperimentInputs
from burnish.lab.pool import BRIEF, About, Assignment, Brief, Report, line_of, read_line
from burnish.protocols import Backend
from burnish.report.terminal import Terminal
from burnish.services.parent import die_with
from burnish.store.course import Course
from burnish.store.opening import open_store
from burnish.store.runners import Executor, Planner
from burnish.store.stages import Stage

# What torch says if a GPU has failed. After such an error the process cannot use any GPU.
_LOST_GPU = ("CUDA error:", "No CUDA GPUs are available", "NVML")


class Worker:
    """Computes stages of the experiments of a brief. It plans each experiment once, when it is first given a stage of
    it."""

    def __init__(self, brief: Brief, terminal: Terminal) -> None:
        self.brief, self.terminal = brief, terminal
        self.store, self.course = open_store(brief.store), Course(brief.stages, shared=True)
        self._plans: dict[int, Mapping[str, Stage]] = {}
        self._bench = _Bench(terminal)

    def compute(self, assignment: Assignment) -> float:
        """Compute a stage, and return how many seconds it took. Raises whatever the stage raises."""
        config = self.brief.configs[assignment.config]
        if assignment.config not in self._plans:
            self._plans[assignment.config] = self._planned(assignment.config)
        stage = self._plans[assignment.config].get(assignment.fingerprint)
        if stage is None:
            raise StageError(
                f"stage {assignment.fingerprint[:8]}: a worker's plan of {config.name!r} does not have it; a plug-in "
                "that gives other settings in each process may be the cause"
            )
        # The inputs of the stage are not checked again: the run has checked them, or a worker has just written them.
        made_with = provenance(config.execution, config.models.strong)
        executor = Executor(self.store, self.terminal, made_with, course=self.course)
        executor.run(stage)
        (record,) = executor.records
        # The parts of a stage count in its time, and have been reported already.
        parts = [self.store.done(one.kind, one.fingerprint) for one in stage.after if one.kind == stage.name + PART]
        return max(0.0, record.seconds - sum(part.seconds for part in parts if part is not None))

    def _planned(self, index: int) -> Mapping[str, Stage]:
        """Return the stages of an experiment by their fingerprints. Nothing is computed, and no model is loaded."""
        config, inputs = self.brief.configs[index], self.brief.inputs[index]
        planner = Planner(self.store, parts=config.execution.parts, every_part=True)
        experiment = Experiment(
            config=config,
            inputs=inputs,
            runner=planner,
            backend=self._bench.opener(config, inputs),
            folder=Path(self.brief.folders[index]),
            terminal=self.terminal,
        )
        experiment.run(config.seeds)
        return {record.fingerprint: record.stage for record in planner.records}


class _Bench:
    """Keeps one backend open. Stages of several experiments come in turn, and the models of two would not fit into
    memory."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._opened: tuple[tuple[Execution, ModelConfig, Mapping[str, ModelConfig], str], Backend] | None = None

    def opener(self, config: Config, inputs: ExperimentInputs) -> Callable[[], Backend]:
        """Return a function that opens the backend of an experiment. Experiments with equal settings share one."""
        # The name matters only to who gets the metrics of trainings.
        project = config.name if config.execution.report_to else ""
        made_from = (config.execution, config.models.strong, inputs.models.sources, project)

        def opened() -> Backend:
            if self._opened is None or self._opened[0] != made_from:
                self._opened = None  # frees the other models before this one is loaded
                self._opened = made_from, opener_of(*made_from[:2], self._terminal, *made_from[2:])()
            return self._opened[1]

        return opened


class Channel(io.StringIO):
    """Sends reports to the run. As a file, it takes text for people, and sends each line as a report."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        """`put` sends the line of a report. It may be replaced between two stages."""
        super().__init__()
        self.put, self._lock, self._rest = put, threading.Lock(), ""

    def send(self, report: Report) -> None:
        """Send one report."""
        # A thread says every minute that a stage is under way. Its line must not get into another one.
        with self._lock:
            self.put(line_of(report))

    def write(self, text: str, /) -> int:
        """Send each whole line as a report."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.send(Report(about=About.SAID, message=line))
        return len(text)

    def terminal(self) -> Terminal:
        """Return a terminal whose lines are sent. The run shows them."""
        # No terminal, whatever the environment says.
        return Terminal(console=Console(file=self, soft_wrap=True, highlight=False, force_terminal=False))


def own_stdout() -> Channel:
    """Return the channel to the run. What libraries and child processes print on stdout goes to stderr from now on."""
    sys.stdout.flush()
    handle = os.dup(1)
    os.dup2(2, 1)

    def put(data: bytes) -> None:
        while data:
            data = data[os.write(handle, data) :]

    return Channel(put)


def failed(fingerprint: str, error: BurnishError) -> Report:
    """Report an error that burnish raises on purpose."""
    return Report(about=About.FAILED, fingerprint=fingerprint, message=str(error), error=type(error).__name__)


def attempted(worker: Worker, assignment: Assignment) -> Report:
    """Compute a stage, and report how it ended. Errors that burnish raises on purpose are reports, too."""
    found = assignment.fingerprint
    try:
        with system_refusals():
            seconds = worker.compute(assignment)
    except BurnishError as error:
        return failed(found, error)
    except PeopleAwaited as stop:
        return Report(
            about=About.PAUSED,
            fingerprint=found,
            message=stop.message,
            command=stop.ways,
            folder=str(stop.folder),
            pairs=tuple(sorted(stop.pairs)),
        )
    except Paused as paused:
        return Report(about=About.PAUSED, fingerprint=found, message=paused.message, command=paused.command)
    except Exception as error:  # a fault of burnish, of a library or of a GPU
        if any(words in str(error) for words in _LOST_GPU):
            first = str(error).splitlines()[0]
            words = f"the GPU of its worker on {socket.gethostname()} cannot be used any more ({first})"
            return Report(about=About.LOST, fingerprint=found, message=words)
        # Not to stderr: that is another pipe, and the run may end before it has read the last lines of it.
        traceback.print_exc(file=worker.terminal.console.file)
        words = f"{type(error).__name__}: {error}; burnish or a library has a fault, and its traceback is above"
        return Report(about=About.FAILED, fingerprint=found, message=words, error="StageError")
    return Report(about=About.FINISHED, fingerprint=found, seconds=seconds)


def open_brief(handle: int) -> bytes:
    """Read the brief from an open file, and close the file."""
    # `pread` and not `read`: all workers share the file, and with it the position in it.
    data = os.pread(handle, os.fstat(handle).st_size, 0)
    os.close(handle)
    return data


def briefed(data: bytes) -> Brief:
    """Return the brief. Raises ConfigError if a kind that a config names is not known in this process."""
    try:
        return BRIEF.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(
            f"execution.workers: a worker cannot read the config ({'.'.join(map(str, first['loc']))}: {first['msg']}); "
            "a kind that a script registers is not known to other processes: set workers: 1, or make it a plug-in"
        ) from None


def started(parent: int) -> Channel:
    """Let this process die with its parent and leave Ctrl-C to it. Returns the channel to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # processes that this one starts inherit this
    # SIGINT came in blocked (see `LocalProcesses`). It is ignored from here on, so the block can go.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    die_with(parent)
    return own_stdout()


def main() -> None:
    """Work for a run. The arguments are the process id of the run and the number of the open file with the brief."""
    channel = started(int(sys.argv[1]))
    try:
        worker = Worker(briefed(open_brief(int(sys.argv[2]))), channel.terminal())
    except BurnishError as error:
        channel.send(failed("", error))
        sys.exit(2)
    for line in sys.stdin.buffer:
        # The run may be killed while it writes, so the last line may be a part of one.
        if line.endswith(b"\n"):
            channel.send(attempted(worker, read_line(line, Assignment)))


if __name__ == "__main__":
    main()
