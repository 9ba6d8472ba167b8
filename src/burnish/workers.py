"""Seeds and methods side by side: worker processes that fill the store, and die with the run that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from burnish.config import Config
from burnish.errors import BurnishError, StageError
from burnish.lab import Experiment, resolve
from burnish.machine import opener_of, provenance
from burnish.stages import Executor, Store, Talk
from burnish.terminal import Terminal

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.2


def compute(config: Config, store: Path, talk: Talk) -> None:
    """Compute an experiment's stages in `execution.workers` processes.

    Locks in the store keep a shared stage from being computed twice. Raises StageError if a worker fails; what it
    finished is kept.
    """
    shares = shares_of(config)
    talk.say(f"{len(shares)} workers for {len(config.seeds)} seeds and {len(config.methods)} methods")
    children = [_start(share, store, number) for number, share in enumerate(shares)]
    try:
        for child in children:
            if child.wait() != 0:
                raise StageError("execution.workers: a worker stopped; its message is above, what it finished is kept")
    finally:
        for child in children:
            child.terminate()


def shares_of(config: Config) -> list[Config]:
    """Deal the seeds out over the workers; where there are fewer seeds than workers, the methods too.

    Methods of one seed share their first stages: whoever comes second waits for them.
    """
    count = config.execution.workers
    if len(config.seeds) >= count:
        return [config.model_copy(update={"seeds": config.seeds[number::count]}) for number in range(count)]
    count = min(count, len(config.methods))
    return [config.model_copy(update={"methods": config.methods[number::count]}) for number in range(count)]


def _start(share: Config, store: Path, number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "burnish.workers", str(os.getpid()), str(store), str(number)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 (our own interpreter and module)
    assert child.stdin is not None
    child.stdin.write(share.model_dump_json().encode())
    child.stdin.close()
    return child


def work_through(config: Config, store: Path, number: int) -> None:
    """Compute the stages of a share of an experiment and nothing else: a worker's part of a run."""
    terminal = Terminal(bars=number == 0)
    inputs = resolve(config, offline_ok=False)
    executor = Executor(Store(store), terminal, provenance(config))
    opener = opener_of(config, terminal, inputs.sources)
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
    """Work for a run: the config comes on standard input."""
    parent, store, number = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    die_with(parent)
    config = Config.model_validate_json(sys.stdin.buffer.read())
    try:
        work_through(config, store, number)
    except BurnishError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
