"""Attempts to compute a stage. Each one has a folder of its own, and a note that shows that it goes on.

Several processes may compute the same stage at the same time, if they are on hosts whose locks do not hold for one
another. They never write into the same folder, and only one of them can move its folder to the place of the result. So
locks and notes only save work. What is correct does not depend on them.
"""

from __future__ import annotations

import functools
import os
import re
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from burnish.errors import StageError
from burnish.store.files import explained_write_errors, remove_tree, tree_size
from burnish.store.manifest import MANIFEST, PLACE_DIGITS

BEAT = 10.0
"""Seconds between two signs of life of an attempt."""
LEASE = 120.0
"""Seconds without a sign of life after which an attempt on another host counts as dead. A process that computes may
keep the thread that gives the signs waiting, so this is many times `BEAT`. Being wrong costs time, and nothing else."""
WORK, LOCKS = "work", "locks"
"""The folders of a store with the attempts, and with their notes and the locks of the stages."""
MOST_LABEL, NOTE_BYTES = 200, 2048
"""The most characters of a label in the note of an attempt, and the bytes of the note."""
_FOLDER = re.compile(rf"(?P<stage>.+-[0-9a-f]{{{PLACE_DIGITS}}})(\..+)?")


class LeaseError(StageError):
    """The folder of an attempt was removed, because its process gave no sign of life."""


class Life(StrEnum):
    """What is known of an attempt. `ENDED`: its process is dead. `SILENT`: it gave no sign of life for too long, but
    it may still write. `ALIVE`: it goes on."""

    ENDED = "ended"
    SILENT = "silent"
    ALIVE = "alive"


@functools.cache
def machine() -> str:
    """Identify the running system: processes with the same value share one kernel, and so locks work between them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def stage_key(name: str, fingerprint: str) -> str:
    """Return the name of the lock of a stage. The folders of its attempts begin with it."""
    return f"{name}-{fingerprint[:PLACE_DIGITS]}"


def key_of(folder: Path) -> str | None:
    """Return the `stage_key` of the folder of an attempt, or None if the folder is something else."""
    found = _FOLDER.fullmatch(folder.name)
    return found["stage"] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What an attempt does, for people: the label of its stage, and how many of how many units are done, or None if
    this is not known."""

    label: str = ""
    progress: Callable[[], tuple[int, int] | None] = lambda: None


@dataclass(slots=True)
class Attempt:
    """This process's attempt to compute a stage. Its folder need not exist yet."""

    path: Path
    note: Path
    doing: Doing
    # Gives more signs of life, where other hosts do not see the note.
    sign: Callable[[], None] = lambda: None
    _started: float = field(default_factory=time.monotonic)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def lost(self) -> bool:
        """Whether another process has removed this attempt, because it took it for dead. It removes the note first."""
        return not self.note.exists()

    def check(self) -> None:
        """Raise LeaseError if this attempt was removed."""
        if self.lost:
            raise lease_lost(self.path)

    def words(self) -> bytes:
        """Return what the note says: who makes the attempt, and how far it is."""
        about: dict[str, Any] = {
            "host": socket.gethostname(),
            "machine": machine(),
            "process": os.getpid(),
            "label": self.doing.label[:MOST_LABEL],
            # Not the time of its start: the clocks of two hosts may differ.
            "seconds": round(time.monotonic() - self._started, 1),
        }
        if (progress := self.doing.progress()) is not None:
            about["done"], about["total"] = progress
        # Always as long: who reads it while it is written finds old or new words, and no piece of a longer note.
        return orjson.dumps(about).ljust(NOTE_BYTES)

    def beat(self) -> None:
        """Give signs of life until `end` is called."""
        while not self._over.wait(BEAT):
            # An error here is no error of the work: the file server may be away for a while. If the note is gone, then
            # `check` raises.
            with suppress(OSError, StageError):
                # Not made anew: whoever removed the note has taken the attempt away.
                with self.note.open("r+b") as file:
                    file.write(self.words())
                # Without a time of our own: a file server then uses its clock, which is the same for all hosts.
                os.utime(self.note)
                self.sign()

    def end(self) -> None:
        """Give no more signs of life."""
        self._over.set()


def lease_lost(path: Path) -> LeaseError:
    """Return the error of an attempt whose folder was removed."""
    return LeaseError(
        f"{path}: this folder was removed by another process, because this one gave no sign of life for "
        f"{LEASE:.0f} seconds (was it stopped, or was the disk away?); run the same command again: finished work is "
        "kept"
    )


@contextmanager
def attempting(root: Path, key: str, doing: Doing | None = None) -> Generator[Attempt]:
    """Begin an attempt to compute the stage with this key. It gives signs of life until the end of the block. They say
    what it is `doing`.

    What is then still in its folder is left for the next attempt. Raises StageError if the store cannot be written.
    """
    # The random part keeps two attempts apart, also if two hosts have the same name.
    host = re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())[:40]
    path = root / WORK / f"{key}.{host}.{os.getpid()}.{secrets.token_hex(4)}"
    attempt = Attempt(path, _note_of(path), doing or Doing())
    with explained_write_errors(attempt.note):
        attempt.note.parent.mkdir(parents=True, exist_ok=True)
        attempt.note.write_bytes(attempt.words())
    threading.Thread(target=attempt.beat, name="beat", daemon=True).start()
    try:
        yield attempt
    finally:
        attempt.end()
        attempt.note.unlink(missing_ok=True)


def _note_of(folder: Path) -> Path:
    return folder.parent.parent / LOCKS / f"{folder.name}.json"


def _about(note: Path) -> dict[str, Any]:
    """Read which process makes an attempt. Raises FileNotFoundError if it has ended."""
    return read_words(note.read_bytes())


def read_words(data: bytes) -> dict[str, Any]:
    """Return what a note says. It is empty if the note is being written, or the disk was full."""
    try:
        about: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return about if isinstance(about, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def this_process() -> str:
    """Say which process this is."""
    return owner({"process": os.getpid(), "host": socket.gethostname()})


def owner(about: Mapping[str, Any]) -> str:
    """Say which process wrote a note."""
    return f"process {about.get('process')} on {about['host']}" if "host" in about else "another process"


class Others:
    """The attempts of other processes to compute a stage."""

    def __init__(self, root: Path, key: str, locked: bool) -> None:
        """`locked` says that this process holds the lock of the stage, so no other one on this machine computes it."""
        self.root, self.key, self.locked = root, key, locked
        self._seen: dict[Path, tuple[int, float]] = {}

    def folders(self, *states: Life) -> list[Path]:
        """Return the folders of the attempts in one of these states."""
        work = self.root / WORK
        # Version 0.1 had one folder for each stage. Its name is the key alone.
        found = [path for path in (work / self.key, *sorted(work.glob(f"{self.key}.*"))) if path.exists()]
        return [path for path in found if self.state(path) in states]

    def state(self, folder: Path) -> Life:
        """Say what is known of an attempt."""
        note = _note_of(folder)
        try:
            beat, about = note.stat().st_mtime_ns, _about(note)
        except FileNotFoundError:  # its process ended in an orderly way, or is of a version that wrote no notes
            return Life.ENDED
        if self.locked and about.get("machine") == machine():
            return Life.ENDED
        # Two ways to see that an attempt is silent, and no clock of a host is used. Either its last sign is old by the
        # clock of the file system, or no sign came while this process watched.
        last, since = self._seen.get(note, (0, 0.0))
        if last != beat:
            self._seen[note] = beat, (since := time.monotonic())
        old = time.monotonic() - since > LEASE or now_at(self.root) - beat > LEASE * 1e9
        return Life.SILENT if old else Life.ALIVE

    def alive(self) -> list[Path]:
        """Return the folders of the attempts that go on."""
        return self.folders(Life.ALIVE)

    def owner(self, folder: Path) -> str:
        """Say which process makes an attempt, if its note can be read."""
        try:
            about = _about(_note_of(folder))
        except FileNotFoundError:
            about = {}
        return owner(about)

    def take_over(self, path: Path, resumable: bool) -> None:
        """Make the work of an attempt that has ended the content of the new folder `path`.

        Complete work, which only has to be moved to its place, is preferred. Other work is taken if the stage is
        `resumable`. Of several, the largest one is taken. The rest is removed.
        """
        for folder in sorted(self.folders(Life.ENDED, Life.SILENT), key=_worth, reverse=True):
            ended, wanted = self.state(folder) is Life.ENDED, resumable or (folder / MANIFEST).exists()
            # Another host may take over the same folder. Then it is gone, and this attempt begins with the next one.
            if wanted and not path.exists():
                with suppress(FileNotFoundError):
                    if ended:
                        folder.rename(path)
                    else:
                        # Its process may still write, so both must not share a file.
                        _copy(folder, path)
            elif ended:
                discard(folder)

    def clear(self) -> None:
        """Remove the attempts that have ended or are silent. The result is there, so nobody needs them."""
        for folder in self.folders(Life.ENDED, Life.SILENT):
            discard(folder)


def _worth(folder: Path) -> tuple[bool, int]:
    return (folder / MANIFEST).exists(), tree_size(folder)


def _copy(folder: Path, path: Path) -> None:
    try:
        shutil.copytree(folder, path)
    except shutil.Error:  # its process removed a file in the meantime
        shutil.rmtree(path)


def discard(folder: Path) -> None:
    """Remove the folder of an attempt and its note. The note is removed first: so its process, if it is still alive,
    knows that it lost the folder."""
    _note_of(folder).unlink(missing_ok=True)
    remove_tree(folder)


def now_at(root: Path) -> int:
    """Return the time in nanoseconds by the clock of the file system, which is the same for all hosts."""
    probe = root / LOCKS / f".clock.{secrets.token_hex(8)}"
    try:
        probe.touch()
        return probe.stat().st_mtime_ns
    except OSError:  # a store that may only be read
        return time.time_ns()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def forgotten_notes(root: Path) -> Iterator[Path]:
    """Yield the notes of attempts that have no folder. A process that was killed at the wrong moment leaves one."""
    for note in (root / LOCKS).glob("*.json"):
        folder = root / WORK / note.stem
        if not folder.exists() and Others(root, "", locked=False).state(folder) is not Life.ALIVE:
            yield note
