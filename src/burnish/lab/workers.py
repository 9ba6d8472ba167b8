"""Seeds and methods side by side: worker processes that fill the store, and die with the run that started them."""

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
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter

from burnish.backends.machine import opener_of, provenance
from burnish.config import Config
from burnish.errors import BurnishError, StageError
from burnish.lab.experiment import Experiment
from burnish.lab.inputs import resolve
from burnish.report.terminal import Terminal
from burnish.store.runners import Executor
from burnish.store.stages import Store, Talk

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.2
PATIENCE = 10.0
"""Seconds that a worker may take to end."""
DONE = b"burnish: done\n"
SHARES: TypeAdapter[list[Config | None]] = TypeAdapter(list[Config | None])


Share: TypeAlias = Config | None
"""A worker's part of an experiment; None where the others do it all."""


def compute(configs: Sequence[Config], store: Path, talk: Talk) -> Iterator[int]:
    """Compute experiments' stages in `execution.workers` processes; yields the index of each when it is done, in turn.

    A worker that is done with its part of one goes on to the next. Locks in the store keep a shared stage from being
    computed twice. Raises StageError if a worker fails; what it finished is kept.
    """
    workers = max(config.execution.workers for config in configs)
    dealt = [shares_of(config, workers, turn) for turn, config in enumerate(configs)]
    talk.say(f"{workers} workers for {len(configs)} experiments" if len(configs) > 1 else f"{workers} workers")
    children = [_start([shares[n] for shares in dealt], store, n) for n in range(workers)]
    try:
        for index in range(len(configs)):
            for child in children:
                _wait_for_one(child)
                if index == len(configs) - 1:
                    _wait_to_end(child)
            yield index
    finally:
        for child in children:
            child.terminate()
            child.wait()


def _wait_for_one(child: subprocess.Popen[bytes]) -> None:
    """Wait until a worker is done with one more experiment; what a library prints there is passed over."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.endswith(DONE):  # a library may have left its own line open
            return
    raise StageError("execution.workers: a worker stopped; its message is above, what it finished is kept")


def _wait_to_end(child: subprocess.Popen[bytes]) -> None:
    """Give a worker that is done the time to end, so that its memory is known; one that hangs is ended later."""
    try:
        child.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return


def shares_of(config: Config, workers: int, turn: int = 0) -> list[Share]:
    """Deal the seeds out over the workers; where there are fewer seeds than workers, the methods.

    Methods of one seed share their first stages: whoever comes second waits for them. `turn` says who is dealt to
    first, so that over several experiments the shares become even.
    """
    if len(config.seeds) >= workers:
        parts = [config.model_copy(update={"seeds": config.seeds[n::workers]}) for n in range(workers)]
    else:
        parts = [
            config.model_copy(update={"methods": config.methods[n::workers]}) if config.methods[n::workers] else None
            for n in range(workers)
        ]
    return [parts[(n + turn) % workers] for n in range(workers)]


def _start(shares: Sequence[Share], store: Path, number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "burnish.lab.workers", str(os.getpid()), str(store), str(number)]
    with _deaf():
        # Our own interpreter and module.
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
    assert child.stdin is not None
    child.stdin.write(SHARES.dump_json(list(shares)))
    child.stdin.close()
    return child


@contextmanager
def _deaf() -> Generator[None, None, None]:
    """Start processes that do not hear Ctrl-C, from their first instruction on.

    A terminal sends it to all processes at once. The run ends its workers itself; each would else print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work_through(config: Config, store: Path, number: int) -> None:
    """Compute the stages of a share of an experiment and nothing else: a worker's part of a run."""
    terminal = Terminal(bars=number == 0)
    inputs = resolve(config, offline_ok=False)
    executor = Executor(Store(store), terminal, provenance(config.execution, config.models.strong))
    opener = opener_of(config.execution, config.models.strong, terminal, inputs.models.sources)
    Experiment(config=config, inputs=inputs, runner=executor, backend=opener).run(config.seeds)


def die_with(parent: int) -> None:
    """End this process when `parent` ends: by the kernel on Linux, by looking five times a second elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Work for a run: the shares come on standard input; a line on standard output says that one is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what starts here does not hear it either
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent, store, number = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    die_with(parent)
    shares = SHARES.validate_json(sys.stdin.buffer.read())
    try:
        for share in shares:
            if share is not None:
                work_through(share, store, number)
            sys.stdout.buffer.write(DONE)
            sys.stdout.buffer.flush()
    except BurnishError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
