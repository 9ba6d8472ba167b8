"""Worker processes that compute seeds and methods in parallel. They fill the store, and die with the run that started
them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter

from burnish.backends.machine import opener_of, provenance
from burnish.config import Config
from burnish.errors import BurnishError, StageError
from burnish.lab.experiment import Experiment
from burnish.lab.inputs import resolve
from burnish.report.terminal import Terminal
from burnish.store.course import Course, PlannedStage
from burnish.store.runners import Executor
from burnish.store.stages import Store, Talk

PR_SET_PDEATHSIG = 1
"""The option of Linux's prctl(2) that sends this process a signal when its parent dies."""
POLL_SECONDS = 0.2
"""How often a worker looks whether its parent still lives, in seconds."""
PATIENCE = 10.0
"""How long a worker that is done may take to end, in seconds."""
DONE = b"burnish: done\n"
"""The line that a worker prints when it is done with its part of one experiment."""
WorkerShare: TypeAlias = Config | None
"""A worker's part of an experiment. It is None if the other workers do all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """What a worker is given: its share of each experiment, and the stages of the whole run, which it numbers as all
    workers do."""

    shares: list[WorkerShare]
    stages: list[PlannedStage]


DEALT: TypeAdapter[Dealt] = TypeAdapter(Dealt)


def compute(configs: Sequence[Config], store: Path, talk: Talk, stages: Sequence[PlannedStage] = ()) -> Iterator[int]:
    """Compute the stages of experiments in `execution.workers` processes. Yields the index of each experiment, in
    order, when it is done. `stages` are the planned stages of all experiments.

    A worker that is done with its part of one experiment starts on the next. Locks in the store keep two workers from
    computing the same stage. Raises StageError if a worker fails; the stages that it finished are kept.
    """
    workers = max(config.execution.workers for config in configs)
    dealt = [shares_of(config, workers, turn) for turn, config in enumerate(configs)]
    talk.say(f"{workers} workers for {len(configs)} experiments" if len(configs) > 1 else f"{workers} workers")
    # Each worker gets its shares of all experiments at once, so that it need not wait for slower ones.
    children = [
        _start(Dealt(shares=[shares[n] for shares in dealt], stages=list(stages)), store, n) for n in range(workers)
    ]
    try:
        for index in range(len(configs)):
            for child in children:
                _wait_for_one(child)
                # After its last share a worker ends by itself. Only processes that have ended count in the peak memory
                # of children.
                if index == len(configs) - 1:
                    _wait_to_end(child)
            yield index
    finally:
        for child in children:
            child.terminate()
            child.wait()


def _wait_for_one(child: subprocess.Popen[bytes]) -> None:
    """Wait until a worker is done with one more experiment. Lines that a library prints on stdout are ignored."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.endswith(DONE):  # `endswith`, because a library may have printed before it without a line end
            return
    raise StageError("execution.workers: a worker stopped; its message is above, and what it finished is kept")


def _wait_to_end(child: subprocess.Popen[bytes]) -> None:
    """Give a worker that is done the time to end, so that its peak memory is known. One that hangs is ended later."""
    try:
        child.wait(timeout=PATIENCE)
    # `compute` terminates it afterwards.
    except subprocess.TimeoutExpired:
        return


def shares_of(config: Config, workers: int, turn: int = 0) -> list[WorkerShare]:
    """Divide an experiment's seeds among the workers. If there are fewer seeds than workers, divide its methods.

    Methods of one seed share their first stages, and the worker that comes second waits for them. `turn` says which
    worker gets the first part, so that over several experiments all workers get about the same.
    """
    if len(config.seeds) >= workers:
        parts = [config.model_copy(update={"seeds": config.seeds[n::workers]}) for n in range(workers)]
    else:
        parts = [
            config.model_copy(update={"methods": config.methods[n::workers]}) if config.methods[n::workers] else None
            for n in range(workers)
        ]
    # The first parts are the larger ones where the seeds do not divide evenly.
    return [parts[(n + turn) % workers] for n in range(workers)]


def _start(dealt: Dealt, store: Path, number: int) -> subprocess.Popen[bytes]:
    """Start a worker process and send it its shares."""
    command = [sys.executable, "-m", "burnish.lab.workers", str(os.getpid()), str(store), str(number)]
    with _deaf():
        # S603 warns of commands from outside: this is our own interpreter and module.
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
    assert child.stdin is not None
    # The line end says that all of it was written (see `main`).
    child.stdin.write(DEALT.dump_json(dealt) + b"\n")
    # Closed, so that the worker's `read` comes to an end.
    child.stdin.close()
    return child


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


def work_through(config: Config, store: Path, terminal: Terminal, course: Course) -> None:
    """Compute the stages of one share of an experiment, and nothing else. Raises BurnishError as a run does."""
    inputs = resolve(config, offline_ok=False)
    made_with = provenance(config.execution, config.models.strong)
    executor = Executor(Store(store), terminal, made_with, course=course)
    opener = opener_of(config.execution, config.models.strong, terminal, inputs.models.sources)
    experiment = Experiment(config=config, inputs=inputs, runner=executor, backend=opener, terminal=terminal)
    experiment.run(config.seeds)


def die_with(parent: int) -> None:
    """End this process when `parent` ends. On Linux the kernel does it; elsewhere a thread looks five times a
    second."""
    if sys.platform == "linux":
        # The kernel does it even when the run is killed with SIGKILL and cannot act itself.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Also on Linux: the parent may have died before prctl was called. A daemon thread does not keep the process alive.
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """Kill this process as soon as its parent is another one than `parent`."""
    # A process whose parent died gets another parent, so the id of its parent changes.
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Work for a run. A `Dealt` comes as JSON on stdin. The line DONE on stdout says that one share is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # processes that this worker starts inherit this
    # SIGINT came in blocked (see `_deaf`). It is ignored from here on, so the block can go.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent, store, number = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    die_with(parent)
    given = sys.stdin.buffer.read()
    # The plan of a large run does not fit into the pipe at once. Ctrl-C may have ended the run while it wrote.
    if not given.endswith(b"\n"):
        sys.exit(2)
    dealt = DEALT.validate_json(given)
    # One worker draws progress bars. Several would draw over each other.
    terminal, course = Terminal(bars=number == 0), Course(dealt.stages, shared=True)
    try:
        for share in dealt.shares:
            if share is not None:
                work_through(share, store, terminal, course)
            sys.stdout.buffer.write(DONE)
            sys.stdout.buffer.flush()
    except BurnishError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
