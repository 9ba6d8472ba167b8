"""A Ray cluster of two nodes on this machine, whose second node can be killed and started again. Linux alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

RAY = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--disable-usage-stats")
SMALL = "--object-store-memory=80000000"
"""The least that Ray takes is 75 MB. Tasks of burnish exchange lines alone."""
READY_SECONDS = 180.0
"""How long a node may take to start on a busy machine, in seconds."""


class Cluster:
    """A head and a second node, each with one CPU core."""

    def __init__(self, folder: Path) -> None:
        """Start both. `folder` is Ray's temporary folder; its path must be short, because sockets lie below it."""
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._starts = 0
        port = self.address.rpartition(":")[2]
        self._head = self._started("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        self._node = self.start_node()

    def start_node(self) -> subprocess.Popen[bytes]:
        """Start the second node, and wait until it has joined the cluster."""
        self._node = self._started(f"--address={self.address}")
        return self._node

    def kill_node(self) -> None:
        """Kill the raylet of the second node with SIGKILL. Its tasks die with it."""
        (raylet,) = [pid for pid in _children(self._node.pid) if "/raylet/raylet" in _command(pid)]
        os.kill(raylet, signal.SIGKILL)
        self._node.wait()  # `ray start --block` ends when a process of its node dies

    def stop(self) -> None:
        """Kill everything that this cluster has started."""
        for start in (self._node, self._head):
            for pid in _children(start.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            start.kill()
            start.wait()
        for name in os.listdir("/proc"):
            # Agents that a killed raylet leaves have the folder in their command.
            if name.isdecimal() and str(self.folder) in _command(int(name)):
                with suppress(ProcessLookupError):
                    os.kill(int(name), signal.SIGKILL)

    def _started(self, *options: str) -> subprocess.Popen[bytes]:
        self._starts += 1
        log = self.folder / f"start-{self._starts}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        environment.pop("RAY_ADDRESS", None)
        with log.open("wb") as out:
            start = subprocess.Popen([*RAY, SMALL, *options], stdout=out, stderr=out, env=environment)
        end = time.monotonic() + READY_SECONDS
        while b"Ray runtime started" not in log.read_bytes():
            assert start.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        return start


def _children(parent: int) -> list[int]:
    """Return the child processes of a process."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name of the process is in brackets and may hold spaces. The parent is the second field after it.
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def two_nodes() -> Generator[Cluster]:
    """Start a cluster, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as name:
        cluster = Cluster(Path(name))
        try:
            yield cluster
        finally:
            cluster.stop()
