"""What happens on a node of a cluster: a task of Ray or a job of Slurm computes one stage.

It gets the brief and an assignment. It plans the experiment again and finds the stage, so no function of burnish is
sent to it.
"""

from __future__ import annotations

import functools
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish import __version__
from burnish.errors import BurnishError, ConfigError
from burnish.lab.pool import Assignment, Report, line_of, read_line
from burnish.lab.workers import Channel, Worker, attempted, briefed, failed
from burnish.store.opening import open_store
from burnish.store.stages import RUNS, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a run was started: its folder, and the version of burnish."""

    folder: str
    version: str = __version__


def work(brief: bytes, origin: Origin, assignment: bytes) -> Iterator[bytes]:
    """Compute a stage, and yield its reports as lines while it runs. The last one says how it ended.

    The first line is empty. It tells the run that a node was found.
    """
    yield b""
    task, lines = read_line(assignment, Assignment), queue.SimpleQueue[bytes | None]()

    # In another thread, because this one sends the lines.
    def compute() -> None:
        try:
            lines.put(line_of(_computed(brief, origin, task, lines.put)))
        finally:
            lines.put(None)

    threading.Thread(target=compute, name="stage", daemon=True).start()
    while (line := lines.get()) is not None:
        yield line


def _computed(brief: bytes, origin: Origin, task: Assignment, put: Callable[[bytes], None]) -> Report:
    try:
        worker, channel = _worker(brief, origin)
    except BurnishError as error:
        return failed(task.fingerprint, error)
    channel.put = put
    return attempted(worker, task)


@functools.lru_cache(maxsize=1)
def _worker(brief: bytes, origin: Origin) -> tuple[Worker, Channel]:
    """Return the worker of this process, and the channel that takes its lines.

    Ray lets a process compute several tasks, so the plan and the model of the worker are kept.
    """
    node = socket.gethostname()
    if origin.version != __version__:
        raise ConfigError(
            f"execution.executor: node {node} has burnish {__version__}, and the run has {origin.version}; install the "
            "same version on all nodes"
        )
    try:
        os.chdir(origin.folder)
    except OSError:
        raise ConfigError(
            f"execution.executor: node {node} has no folder {origin.folder}; start the run in a folder on a disk that "
            "all nodes share"
        ) from None
    known = briefed(brief)
    _check_store(known.store, node)
    channel = Channel(lambda line: None)
    return Worker(known, channel.terminal()), channel


def _check_store(address: str, node: str) -> None:
    """Check that this node sees the store. The run has left its record there."""
    store = open_store(address)
    if type(store) is Store and not any((Path(address) / RUNS).glob("*.json")):
        raise ConfigError(
            f"store: node {node} does not see {address}; put it on a disk that all nodes share, or into a bucket"
        )
