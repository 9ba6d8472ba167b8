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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue

from burnish.errors import StageError
from burnish.store.attempts import WORK, stage_key
from burnish.store.canonical import canonical
from burnish.store.files import Appender, explained_write_errors, pretty, sync_directory, tree_checksums, write_atomic
from burnish.store.manifest import MANIFEST, PLACE_DIGITS, SCHEMA_VERSION, Damage, Output, read_costs, read_manifest
from burnish.types import Artifact

T = TypeVar("T")
COSTS = "costs.json"
"""The file with what a stage has cost until now. It lies in the work folder and is not part of the result."""
SAVED_SECONDS = 0.2
"""The least time between two syncs of a file of batches: small batches would spend all of their time on it."""
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST}
"""What systems say if a folder cannot be moved because another one has its name and is not empty."""
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
class Stage:
    """A unit of work with an identity.

    `run` computes the result. `label` is the name that people see, and `resumable` says that the rows of a killed run
    can be kept. `outside` says that the stage asks a server, people or a user's program. `after` are results that the
    stage takes work from if they exist, so it is computed after them. None of these is part of the identity.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished stage, as its manifest describes it."""

    path: Path
    name: str
    fingerprint: str
    payload: Mapping[str, Any]
    seconds: float
    counts: Mapping[str, int]
    outputs: Mapping[str, Output]

    @property
    def size(self) -> int:
        """The size of all output files in bytes."""
        return sum(output.bytes for output in self.outputs.values())


class Store:
    """A folder with the finished stages, the work under way, and the records of the runs that refer to stages."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, name: str, fingerprint: str) -> Path:
        """Return the folder for the result of a stage. It need not exist."""
        return self.root / "stages" / name / fingerprint[:PLACE_DIGITS]

    def work_place(self, name: str, fingerprint: str) -> Path:
        """Return the folder in which version 0.1 computed a stage. What a killed run left there is still used."""
        return self.root / WORK / stage_key(name, fingerprint)

    def done(self, name: str, fingerprint: str) -> Done | None:
        """Return a finished stage, or None if there is none or its manifest is damaged.

        Raises StageError as `look` does.
        """
        return self.read(self.place(name, fingerprint))

    def read(self, place: Path) -> Done | None:
        """Return the finished stage in a folder, or None if there is none or its manifest is damaged.

        Raises StageError as `look` does.
        """
        stage = self.look(place)
        return None if isinstance(stage, Damage) else stage

    def look(self, place: Path) -> Done | Damage | None:
        """Return the finished stage in a folder, or why it cannot be used, or None if the folder does not exist.

        The manifest must be valid and belong to this folder. The outputs are not read; see `damage`. Raises StageError
        if another version of burnish wrote the manifest, or if it cannot be read.
        """
        return self._look(place, place.parent.name, place.name)

    def sealed(self, work: Path, name: str, fingerprint: str) -> Done | Damage | None:
        """Return finished work that was not moved to its place yet. The result is as in `look`."""
        return self._look(work, name, fingerprint[:PLACE_DIGITS])

    def _look(self, place: Path, name: str, digits: str) -> Done | Damage | None:
        found = read_manifest(place, name, digits)
        if found is None or isinstance(found, Damage):
            return found
        manifest, payload = found
        return Done(
            path=place,
            name=manifest.payload.name,
            fingerprint=manifest.fingerprint,
            payload=payload,
            seconds=manifest.seconds,
            counts=manifest.counts,
            outputs=manifest.outputs,
        )

    def every(self, name: str = "*") -> Iterator[Done]:
        """Yield the finished stages (of one name) whose manifests can be read, the latest first."""
        for place in self.places(name):
            if done := self.read(place):
                yield done

    def places(self, name: str = "*") -> list[Path]:
        """Return the folders of finished stages (of one name), the latest first.

        Their manifests need not be readable.
        """
        # Names that begin with a dot are folders that are being removed (see `remove_tree`).
        folders = [place for place in self.root.glob(f"stages/{name}/*") if not place.name.startswith(".")]
        return sorted(folders, key=lambda place: -place.lstat().st_mtime)

    def damage(self, done: Done) -> Damage | None:
        """Return the first output whose checksum differs from the one in the manifest, or None if all are whole.

        A missing file and a file that the manifest does not name are damage, too. Raises StageError if the system does
        not allow a file to be read.
        """
        try:
            checksums = tree_checksums(done.path)
        except OSError as error:
            raise StageError(
                f"{error.filename}: cannot be read ({error.strerror}); check its permissions and the disk"
            ) from error
        checksums.pop(MANIFEST, None)  # the manifest cannot hold its own checksum
        for name in sorted({*checksums, *done.outputs}):
            if name not in done.outputs or checksums.get(name) != done.outputs[name].sha256:
                return Damage(path=done.path / name, why="a file is changed, missing or not of this stage")
        return None

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

    def refer(self, out: Path, fingerprints: Sequence[str]) -> None:
        """Record from which stages the results in the folder `out` came, so that `gc` keeps these stages.

        Raises StageError if the record cannot be written.
        """
        # One record for each results folder: a new run into the same folder replaces the record of the old run.
        name = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]
        record = {
            "schema_version": SCHEMA_VERSION,
            "out": str(out.resolve()),
            "stages": sorted(set(fingerprints)),
            "host": socket.gethostname(),
        }
        write_atomic(self.root / "runs" / f"{name}.json", pretty(record))


def inode_of(path: Path) -> int | None:
    """Return the number of a file or folder, which tells it from another one with the same name. None if it is not
    there."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
