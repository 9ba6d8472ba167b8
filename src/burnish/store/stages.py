"""Stages: what is identified by its semantic content, computed once, and complete or absent.

A stage's fingerprint is the sha256 of canonical JSON of (name, version, semantic config, fingerprints of inputs).
Work happens beside the result under a lock; `manifest.json` is written last, then the directory is renamed.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson
from filelock import FileLock, Timeout
from pydantic import JsonValue

from burnish.errors import StageError
from burnish.store.canonical import canonical
from burnish.store.files import (
    Appender,
    explained_write_errors,
    pretty,
    tree_checksums,
    write_atomic,
)
from burnish.types import Artifact

T = TypeVar("T")
MANIFEST = "manifest.json"
PATIENCE = 10.0
"""Seconds of waiting for a stage that go without saying."""
COSTS = "costs.json"
"""What a stage has cost so far: beside the work, not part of the result."""
SCHEMA_VERSION = 1


@dataclass(slots=True)
class Work:
    """Where a stage's function writes, and what it counts for the report."""

    path: Path
    counts: dict[str, int] = field(default_factory=dict[str, int])
    started: float = field(default_factory=time.monotonic)

    def append_batches(
        self,
        name: str,
        batches: Callable[[Path], Iterable[Sequence[T]]],
        counts: Callable[[Sequence[T]], Mapping[str, int]],
        row: Callable[[T], object] = lambda one: one,
    ) -> None:
        """Append the rows of each batch to a file as soon as the batch is there, and add to the stage's counts.

        A resumable stage writes through this: what an earlier run appended before it was killed is kept. `batches` is
        called once, with the path of the file, so that it can read which rows are done and leave them out. `counts`
        says what a batch adds to the counts, and `row` turns one of its items into the row that is written.
        """
        with Appender(self.path / name) as out:  # cuts off a half-written last line, so that the file can be read
            for batch in batches(out.path):
                out.append(row(one) for one in batch)
                self.count(**counts(batch))

    def count(self, **numbers: int) -> None:
        """Add to the stage's counts (rows, tokens, comparisons)."""
        for key, number in numbers.items():
            self.counts[key] = self.counts.get(key, 0) + number
        write_atomic(self.path / COSTS, pretty({"counts": self.counts, "seconds": self.seconds}))

    @property
    def seconds(self) -> float:
        """Time spent so far, that of killed runs included up to their last count."""
        return round(time.monotonic() - self.started, 3)

    def take_up(self) -> None:
        """Go on counting where a killed run stopped."""
        costs = self.path / COSTS
        if costs.exists():
            spent = orjson.loads(costs.read_bytes())
            self.counts, self.started = spent["counts"], self.started - spent["seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A unit of work with an identity. `label` is for people and `resumable` for restarts: neither is identity."""

    name: str
    version: int
    config: Mapping[str, JsonValue]
    inputs: Mapping[str, Artifact]
    run: Callable[[Work], None]
    label: str = ""
    resumable: bool = False

    @property
    def payload(self) -> dict[str, Any]:
        """What is hashed."""
        inputs = {name: artifact.fingerprint for name, artifact in self.inputs.items()}
        return {"name": self.name, "version": self.version, "config": dict(self.config), "inputs": inputs}

    @property
    def fingerprint(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(canonical(self.payload)).hexdigest()


class Talk(Protocol):
    """Where a runner tells people what it does; data never goes there."""

    def say(self, message: str) -> None:
        """Print one line."""
        ...

    @contextmanager
    def stage(self, label: str) -> Generator[None, None, None]:
        """Show that a stage is running."""
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the manifest of a finished stage says."""

    path: Path
    name: str
    fingerprint: str
    payload: Mapping[str, Any]
    seconds: float
    counts: Mapping[str, int]
    size: int


class Store:
    """A directory of finished stages, of work under way, and of the runs that refer to them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, name: str, fingerprint: str) -> Path:
        """Return where a stage's result lies, whether or not it is there."""
        return self.root / "stages" / name / fingerprint[:32]

    def work_place(self, name: str, fingerprint: str) -> Path:
        """Return where a stage is worked on."""
        return self.root / "work" / f"{name}-{fingerprint[:32]}"

    def done(self, name: str, fingerprint: str) -> Done | None:
        """Return a finished stage, None if its manifest is not there."""
        return self.read(self.place(name, fingerprint))

    def read(self, place: Path) -> Done | None:
        """Read the manifest in a directory."""
        try:
            manifest = orjson.loads((place / MANIFEST).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except orjson.JSONDecodeError:
            raise StageError(f"{place / MANIFEST}: damaged; remove the folder and run again") from None
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise StageError(
                f"{place / MANIFEST}: schema_version {manifest['schema_version']} found, this burnish reads "
                f"{SCHEMA_VERSION}; use another --store or the burnish that wrote it"
            )
        return Done(
            path=place,
            name=manifest["payload"]["name"],
            fingerprint=manifest["fingerprint"],
            payload=manifest["payload"],
            seconds=manifest["seconds"],
            counts=manifest["counts"],
            size=sum(entry["bytes"] for entry in manifest["outputs"].values()),
        )

    def every(self, name: str = "*") -> Iterator[Done]:
        """Yield all finished stages (of one name), the latest first."""
        places = sorted(self.root.glob(f"stages/{name}/*"), key=lambda place: -place.stat().st_mtime)
        for place in places:
            if not place.name.startswith(".") and (done := self.read(place)):
                yield done

    def sound(self, done: Done) -> bool:
        """Say whether every output still has the checksum that the manifest records."""
        recorded = orjson.loads((done.path / MANIFEST).read_bytes())["outputs"]
        found = tree_checksums(done.path)
        found.pop(MANIFEST, None)
        return found == {name: entry["sha256"] for name, entry in recorded.items()}

    @contextmanager
    def lock(self, name: str, fingerprint: str, talk: Talk) -> Generator[None, None, None]:
        """Hold a stage's lock; if another process has it, say who and wait. The kernel frees it when we die."""
        path = self.root / "locks" / f"{name}-{fingerprint[:32]}"
        with explained_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        lock, holder = FileLock(f"{path}.lock"), Path(f"{path}.holder")
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            owner = holder.read_text() if holder.exists() else "another process"
            talk.say(f"{name} {fingerprint[:8]} is being computed by {owner}; waiting for it")
            lock.acquire()
        try:
            with explained_write_errors(path):
                holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def refer(self, out: Path, fingerprints: Sequence[str]) -> None:
        """Record which stages a run's results came from, so that gc keeps them."""
        name = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]
        record = {"schema_version": SCHEMA_VERSION, "out": str(out.resolve()), "stages": sorted(set(fingerprints))}
        write_atomic(self.root / "runs" / f"{name}.json", pretty(record))
