"""Processes that act as hosts of their own which share a store. It imports little, because many are started."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import orjson
import pytest

from burnish.store import attempts, locking, runners
from burnish.store.course import StagePosition
from burnish.store.runners import Executor
from burnish.store.stages import Stage, Store, Work

ROWS = 12


class Silent:
    def say(self, message: str) -> None:
        pass

    @contextmanager
    def stage(self, label: str, position: StagePosition | None = None) -> Generator[None]:
        yield

    def rows(self, done: int, total: int) -> None:
        pass


def no_locks_for(patch: pytest.MonkeyPatch) -> None:
    """Let the file system have no locks."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    patch.setattr(filelock.FileLock, "acquire", refuse)


def not_at_all(*_: object) -> None:
    """Do not wait for other hosts."""


def on_host(patch: pytest.MonkeyPatch, host: str) -> None:
    """Let this process take itself for one on another host."""
    patch.setattr(attempts, "machine", lambda: host)


def rows_stage(number: int, log: Path, seed: int) -> Stage:
    """Return a stage that writes rows with pauses between them. Half of these stages can be resumed."""
    resumable, pause = number % 2 == 0, random.Random(seed)

    def run(work: Work) -> None:
        with log.open("a") as lines:
            lines.write(f"{number}\n")

        def batches(path: Path) -> Iterator[list[dict[str, int]]]:
            for row in range(path.read_bytes().count(b"\n"), ROWS):
                time.sleep(pause.random() * 0.02)
                yield [{"row": row, "of": number}]

        work.append_batches("rows.jsonl", batches, lambda batch: {"rows": len(batch)})

    return Stage(name="rows", version=1, config={"number": number}, inputs={}, run=run, resumable=resumable)


def compute_all(root: str, seed: int, count: int, waits: bool) -> None:
    """Compute all stages, as a host of its own that has no locks."""
    with pytest.MonkeyPatch.context() as patch:
        no_locks_for(patch)
        on_host(patch, f"host {seed}")
        patch.setattr(attempts, "LEASE", 0.4)
        patch.setattr(attempts, "BEAT", 0.05)
        patch.setattr(locking, "POLL", 0.02)
        if not waits:
            patch.setattr(runners, "wait_for_others", not_at_all)
        patch.setattr("burnish.store.stages.SAVED_SECONDS", 0.0)
        log = Path(root) / "log"
        for number in range(count):
            artifact = Executor(Store(Path(root)), Silent(), {}).run(rows_stage(number, log, seed))
            assert (Path(artifact.path) / "rows.jsonl").read_bytes() == expected(number)


def expected(number: int) -> bytes:
    return b"".join(orjson.dumps({"row": row, "of": number}) + b"\n" for row in range(ROWS))
