"""Stages. A stage is identified by its content, computed once, and its result is either complete or absent.

The fingerprint of a stage is the sha256 of the canonical JSON of its name, its version, the settings that change its
result, and the fingerprints of its inputs. Each attempt to compute a stage writes into a folder of its own. Its
`manifest.json` is written last, and then the folder is moved to the place of the result, unless one is there.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue

from burnish.store.attempts import WORK, Attempt, Doing, attempting, discard, key_of, stage_key
from burnish.store.canonical import canonical
from burnish.store.files import Appender, explained_write_errors, pretty, remove_tree, sync_directory, write_atomic
from burnish.store.finished import Done, FinishedStages
from burnish.store.garbage import Garbage, garbage_at
from burnish.store.manifest import SCHEMA_VERSION, Damage, RunRecord, read_costs, read_record
from burnish.store.shards import Shard
from burnish.store.under_way import UnderWay, notes_under_way
from burnish.types import Artifact

T = TypeVar("T")
COSTS = "costs.json"
"""The file with what a stage has cost until now. It lies in the work folder and is not part of the result."""
SAVED_SECONDS = 0.2
"""The least time between two syncs of a file of batches: small batches would spend all of their time on it."""
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST}
"""What systems say if a folder cannot be moved because another one has its name and is not empty."""
RUNS = "runs"
"""The folder of the store with the records of runs."""
DAMAGED = "damaged"
"""The folder of the store to which damaged files are moved. `gc` empties it."""


@dataclass(slots=True)
class Work:
    """The folder into which the function of a stage writes, and the numbers that it counts for the report."""

    path: Path
    counts: dict[str, int] = field(default_factory=dict[str, int])
    started: float = field(default_factory=time.monotonic)
    # It is told how many rows are done, and of how many. This is shown to people and is not part of the result.
    tell: Callable[[int, int], None] = lambda done, total: None
    # It raises LeaseError if another process has removed the folder.
    check: Callable[[], None] = lambda: None
    _saved: float = field(default=0.0, init=False)
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    def expect(self, total: int, done: int = 0) -> None:
        """Say how many rows `append_batches` or `progress` will have to do, and how many of them are done already."""
        self._done, self._total = done, total
        self.tell(done, total)

    def progress(self, rows: int) -> None:
        """Say that `rows` more rows are done. Nothing is told unless `expect` was called."""
        if self._total:
            self._done += rows
            self.tell(self._done, self._total)

    def append_batches(
        self,
        name: str,
        batches: Callable[[Path], Iterable[Sequence[T]]],
        counts: Callable[[Sequence[T]], Mapping[str, int]],
        row: Callable[[T], object] = lambda item: item,
    ) -> None:
        """Append the rows of each batch to a file as soon as the batch is there, and add to the stage's counts.

        A resumable stage writes its rows with this method, so that rows of an earlier run that was killed are kept.
        `batches` is called once with the path of the file. It can read there which rows are done and leave them out.
        `counts` says what a batch adds to the counts, and `row` turns an item of a batch into the row that is written.
        Raises StageError if the file cannot be written.
        """
        # Opened before `batches` reads the file: opening cuts off an incomplete last line, which could not be read.
        with Appender(self.path / name) as out:
            try:
                for batch in batches(out.path):
                    # Written at once, so that a kill loses nothing. A power cut may lose what was not synced yet.
                    out.append((row(item) for item in batch), sync=False)
                    self._add(counts(batch))
                    self.progress(len(batch))
                    if time.monotonic() - self._saved >= SAVED_SECONDS:
                        out.sync()
                        self._save()
            finally:
                out.sync()
                self._save()

    def count(self, **numbers: int) -> None:
        """Add to the stage's counts (rows, tokens, comparisons), and save them for a run that goes on after a kill."""
        self._add(numbers)
        self._save()

    def _add(self, numbers: Mapping[str, int]) -> None:
        for key, number in numbers.items():
            self.counts[key] = self.counts.get(key, 0) + number

    def _save(self) -> None:
        self.check()
        write_atomic(self.path / COSTS, pretty({"counts": self.counts, "seconds": self.seconds}))
        self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds spent until now, including those of killed runs up to their last call of `count`."""
        return round(time.monotonic() - self.started, 3)

    def restart(self, parts: Sequence[Done]) -> None:
        """Count from what finished parts of the stage have counted and spent."""
        self.counts = {}
        for part in parts:
            self._add(part.counts)
        self.started = time.monotonic() - sum(part.seconds for part in parts)
        self._save()

    def take_up(self) -> Damage | None:
        """Go on counting where a killed run stopped.

        If the counts of that run are damaged, return why. Then counting begins anew.
        """
        spent = read_costs(self.path / COSTS)
        if isinstance(spent, Damage):
            return spent
        if spent is not None:
            self.counts, self.started = spent.counts, self.started - spent.seconds
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """How a stage can be cut into parts.

    `run` computes the lines of one part of the JSONL file `file`, in the order of the whole file. The stage finds the
    lines of finished parts in its own folder, as if a killed run had left them there.
    """

    file: str
    run: Callable[[Work, Shard], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A unit of work with an identity.

    `run` computes the result. `label` is the name that people see, and `resumable` says that the rows of a killed run
    can be kept. `outside` says that the stage asks a server, people or a user's program. `after` are results that the
    stage takes work from if they exist, so it is computed after them. `division` says how it can be cut into parts.
    None of these is part of the identity.
    """

    name: str
    version: int
    config: Mapping[str, JsonValue]
    inputs: Mapping[str, Artifact]
    run: Callable[[Work], None]
    label: str = ""
    resumable: bool = False
    outside: bool = False
    after: tuple[Artifact, ...] = ()
    division: Division | None = None

    @property
    def payload(self) -> dict[str, Any]:
        """The values that are hashed into the fingerprint."""
        # Inputs count by their fingerprints and not by their paths, so that a store can be moved.
        inputs = {name: artifact.fingerprint for name, artifact in self.inputs.items()}
        return {"name": self.name, "version": self.version, "config": dict(self.config), "inputs": inputs}

    @property
    def needs(self) -> tuple[str, ...]:
        """The fingerprints of what must exist before the stage is computed, sorted. Stages and files are among them."""
        # What lies inside the folder of a stage, such as a checkpoint, is named by the stage's fingerprint and a path.
        wanted = (*self.inputs.values(), *self.after)
        return tuple(sorted({artifact.fingerprint.partition("/")[0] for artifact in wanted}))

    @property
    def fingerprint(self) -> str:
        """The identity of the stage: 64 hex digits. Raises StageError if a value has no stable form."""
        return hashlib.sha256(canonical(self.payload)).hexdigest()


Alter = Callable[[Callable[[bytes | None], bytes | None]], None]
"""Replaces an object by what a function makes of its bytes. The function gets None if there is no object, and returns
None if nothing is to be changed. It is called again if another process was faster."""


class Store(FinishedStages):
    """A folder with the finished stages, the work under way, and the records of the runs that refer to stages."""

    @property
    def address(self) -> str:
        """What `--store` was, so that another process can open the same store."""
        return str(self.root)

    def work_place(self, name: str, fingerprint: str) -> Path:
        """Return the folder in which version 0.1 computed a stage. What a killed run left there is still used."""
        return self.root / WORK / stage_key(name, fingerprint)

    def put_aside(self, path: Path, inode: int | None = None) -> Path | None:
        """Move a damaged file or folder away, and return its new path. Nothing is deleted until `gc` runs.

        If `inode` is given, only the folder with this number is moved. Returns None if another process has already
        moved or replaced it. Raises StageError if it cannot be moved.
        """
        kind = f"{path.parent.name}-" if path.parent.parent == self.root / "stages" else ""
        folder = self.root / DAMAGED
        with explained_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # The time keeps the names apart if the same stage is damaged more than once.
            aside = folder / f"{kind}{path.name}.{time.time_ns()}"
            try:
                path.rename(aside)
            except FileNotFoundError:
                return None
            if inode not in {None, inode_of(aside)}:
                # Between the look and the move, another host put a new result there. It belongs there, unless there is
                # one more by now.
                with suppress(OSError):
                    aside.rename(path)
                return None
        return aside

    def commit(self, work: Path, name: str, fingerprint: str) -> bool:
        """Move complete work to the place of the result. Return False if a result is already there.

        Raises StageError if the store cannot be written, and FileNotFoundError if the work was removed.
        """
        place = self.place(name, fingerprint)
        with explained_write_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                # The manifest lies in the folder. The system refuses to replace a folder that is not empty, so of
                # several processes that do this at the same time exactly one succeeds, on any host.
                work.rename(place)
            except OSError as error:
                if error.errno in _OCCUPIED:
                    return False
                raise
            sync_directory(place.parent)
        return True

    def attempting(self, key: str, doing: Doing | None = None) -> AbstractContextManager[Attempt]:
        """Begin an attempt to compute the stage with this key, as `attempts.attempting` does."""
        return attempting(self.root, key, doing)

    def under_way(self) -> Iterator[UnderWay]:
        """Yield the attempts of all processes that gave signs of life and have not ended in an orderly way."""
        return notes_under_way(self.root)

    def elsewhere(self, key: str) -> str | None:
        """Return which process computes a stage now, if `Others` cannot see it. There is none in a shared folder."""
        return None

    def tally(self, account: str) -> Alter | None:
        """Return what changes the object in which all hosts count the calls of an account. In a shared folder there is
        none: all processes see the same ledger."""
        return None

    def refer(self, out: Path, fingerprints: Sequence[str]) -> None:
        """Record from which stages the results in the folder `out` came, so that `gc` keeps these stages.

        Raises StageError if the record cannot be written.
        """
        name, record = record_of(out, fingerprints)
        write_atomic(self.root / RUNS / f"{name}.json", pretty(record))

    def run_records(self) -> Iterator[tuple[str, RunRecord | Damage]]:
        """Yield the names and the records of all runs."""
        for path in sorted((self.root / RUNS).glob("*.json")):
            if (record := read_record(path)) is not None:
                yield path.name, record

    def forget_run(self, name: str) -> None:
        """Remove the record of a run."""
        (self.root / RUNS / name).unlink(missing_ok=True)

    def forget_silent(self) -> None:
        """Remove the signs of life of dead attempts that `forgotten_notes` cannot see. A folder has none."""

    def unneeded(self, wanted: AbstractSet[str]) -> Iterator[Garbage]:
        """Yield the finished stages that no run needs. `wanted` are the names of the folders of the others.

        They are identified by their folder, not by their manifest. So a stage with a damaged manifest is among them
        only if no run needs it.
        """
        for place in self.places():
            if place.name not in wanted:
                yield garbage_at(place, place.parent.name)

    def remove(self, garbage: Garbage) -> None:
        """Remove what `gc` found."""
        discard(garbage.path) if key_of(garbage.path) else remove_tree(garbage.path)


def record_of(out: Path, fingerprints: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the name and the content of the record of a run."""
    # One record for each results folder: a new run into the same folder replaces the record of the old run.
    folder, host = str(out.resolve()), socket.gethostname()
    name = hashlib.sha256(folder.encode()).hexdigest()[:16]
    stages = sorted(set(fingerprints))
    return name, {"schema_version": SCHEMA_VERSION, "out": folder, "stages": stages, "host": host}


def inode_of(path: Path) -> int | None:
    """Return the number of a file or folder, which tells it from another one with the same name. None if it is not
    there."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
