"""Workers that are tasks of a Ray cluster."""

from __future__ import annotations

import importlib.util
import os
import queue
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from burnish.config.executors import RayExecutor
from burnish.errors import BackendError, BurnishError, ConfigError, StageError, error_named
from burnish.lab.children import ChildWorker, died, file_of, start_child
from burnish.lab.pool import About, Assignment, Brief, Report

COMMAND = (sys.executable, "-m", "burnish.lab.ray_driver")
"""The program that speaks with Ray."""
CONNECT = (sys.executable, "-m", "burnish.backends.ray_cluster")
"""The program that connects to a cluster and leaves it. Its argument is the address."""
ANSWER_SECONDS = 5.0
"""How long a cluster may take to accept a connection, in seconds."""
CONNECT_SECONDS = 60.0
"""How long it may take until this run is connected to a cluster, in seconds. Ray itself waits for two minutes."""
PATIENCE = 10.0
"""How long the connection may take to end, in seconds."""


def check_ray(executor: RayExecutor) -> None:
    """Check that ray is installed and that something answers at the address of the cluster.

    Raises BackendError or ConfigError.
    """
    if importlib.util.find_spec("ray") is None:
        raise BackendError("execution.executor: ray is not installed; install it: pip install 'burnish[train,ray]'")
    if (address := _address(executor)) == "auto":
        return  # Ray finds at once that no cluster runs here
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ConfigError(f"execution.executor.address: {address!r} found; write HOST:PORT, as `ray start` prints it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from None


def check_cluster(executor: RayExecutor) -> None:
    """Connect to the cluster and leave it, in a process of its own. Raises ConfigError if no cluster answers.

    A run connects anyway. This is for a dry run.
    """
    address = _address(executor)
    try:
        done = subprocess.run([*CONNECT, address], capture_output=True, text=True, timeout=CONNECT_SECONDS, check=False)  # noqa: S603 our own module
    except subprocess.TimeoutExpired:
        raise _unreachable(address, f"nothing answered as Ray within {CONNECT_SECONDS:.0f} seconds") from None
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise _unreachable(address, words[-1] if words else f"Ray ended with exit code {done.returncode}")


def _address(executor: RayExecutor) -> str:
    return (os.environ.get("RAY_ADDRESS") or "auto") if executor.address == "auto" else executor.address


def _unreachable(address: str, why: str) -> ConfigError:
    where = "on this machine" if address == "auto" else f"at {address}"
    return ConfigError(
        f"execution.executor.address: no Ray cluster answers {where} ({why}); start one (`ray start --head`, see "
        "docs/scale.md), or correct the address or RAY_ADDRESS"
    )


class RayTasks:
    """A pool of tasks of a Ray cluster. At most `count` of them are given to Ray at a time."""

    def __init__(self, brief: Brief, executor: RayExecutor, count: int) -> None:
        """Connect to the cluster. Raises ConfigError if it does not answer."""
        self._executor, self._count = executor, count
        self._running: set[str] = set()
        self._heard: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._early: list[Report] = []
        self._brief = file_of(brief)
        # What Ray prints on stderr are the logs of nodes, and nothing that people need.
        self._driver = start_child(COMMAND, self._brief, self._hear, aloud=False)
        try:
            self._wait_for_cluster()
        except BaseException:
            self.close()
            raise

    def _hear(self, child: ChildWorker, report: Report | None) -> None:
        self._heard.put(report)

    def _wait_for_cluster(self) -> None:
        """Wait for the first line of the driver, which says how large the cluster is."""
        with suppress(queue.Empty):
            report = self._heard.get(timeout=CONNECT_SECONDS)
            if report is not None and report.about is About.SAID:
                self._early.append(report)
                return
            if report is not None:
                raise error_named(report.error)(report.message)
            self._driver.end(PATIENCE)
        ended = self._driver.process.poll() is not None
        said = self._driver.words[-1] if ended and self._driver.words else ""
        # Ray is not asked to go: it would wait for the cluster.
        self._driver.process.kill()
        raise _unreachable(
            _address(self._executor), said or f"nothing answered as Ray within {CONNECT_SECONDS:.0f} seconds"
        )

    def free(self) -> bool:
        """Say whether one more stage may be given to Ray."""
        return len(self._running) < self._count

    def submit(self, assignment: Assignment) -> None:
        """Give a stage to Ray."""
        self._running.add(assignment.fingerprint)
        self._driver.give(assignment)

    def reports(self, timeout: float) -> Sequence[Report]:
        """Return what was reported since the last call. If there is nothing, wait at most `timeout` seconds.

        Raises StageError if the connection to the cluster is lost.
        """
        found, self._early = self._early, []
        with suppress(queue.Empty):
            report = self._heard.get(timeout=timeout)
            while True:
                if report is None:
                    raise self._lost()
                self._running.discard(report.fingerprint)
                found.append(report)
                report = self._heard.get_nowait()
        return found

    def _lost(self) -> BurnishError:
        self._driver.end(PATIENCE)
        words = died(self._driver.process.returncode, list(self._driver.words)).removeprefix("its worker ")
        return StageError(
            f"the connection to the Ray cluster was lost (the process that holds it {words}); finished work is kept: "
            "run the same command again when the head of the cluster is there"
        )

    def close(self) -> None:
        """Leave the cluster. Ray ends the tasks that still run."""
        self._driver.let_go()
        if self._running:
            self._driver.process.terminate()
        self._driver.end(PATIENCE)
        self._brief.close()
