"""Locks of stages. They keep processes from doing the same work twice. What is correct does not depend on them."""

from __future__ import annotations

import errno
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from burnish.store.attempts import LOCKS, Others, this_process
from burnish.store.files import explained_write_errors
from burnish.store.stages import Store
from burnish.store.talk import Talk

PATIENCE = 10.0
"""Seconds to wait for the lock of a stage before saying which process holds it."""
POLL = 1.0
"""Seconds between two looks at the attempts of other hosts."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What systems say if a file system has no locks."""


@contextmanager
def stage_lock(root: Path, key: str, talk: Talk) -> Generator[bool]:
    """Hold the lock of the stage with this key. If another process holds it, say which one, and wait.

    The kernel frees the lock when the process ends, so that a killed run blocks nobody. Gives False if the file system
    has no locks. Raises StageError if the lock cannot be written.
    """
    path = root / LOCKS / key
    with explained_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(f"{path}.lock"), Path(f"{path}.holder")
    if not _acquired(lock, holder, key, talk):
        yield False
        return
    try:
        with explained_write_errors(path):
            holder.write_text(this_process())
        yield True
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _acquired(lock: FileLock, holder: Path, key: str, talk: Talk) -> bool:
    """Wait for a lock. Return False if the file system has no locks."""
    try:
        try:
            # Short waits are usual if workers need the same stage, and are not worth a message.
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            _say_who(owner_of(holder), key, talk)
            # The other run may need hours, and its messages may go elsewhere.
            with talk.stage(f"wait for {_short(key)}"):
                lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def wait_for_others(store: Store, name: str, fingerprint: str, others: Others, talk: Talk) -> None:
    """Wait while another host computes a stage, until the stage is finished or that host gives no more signs of life.

    On one machine the lock of the stage does this. Locks do not always hold between hosts.
    """
    owner = _busy(store, others)
    if owner is None:
        return
    _say_who(owner, others.key, talk)
    with talk.stage(f"wait for {_short(others.key)}"):
        while store.done(name, fingerprint) is None and _busy(store, others) is not None:
            time.sleep(POLL)


def _busy(store: Store, others: Others) -> str | None:
    """Return which process on another host computes a stage now, or None if there is none."""
    alive = others.alive()
    return others.owner(alive[0]) if alive else store.elsewhere(others.key)


@contextmanager
def cache_lock(root: Path) -> Generator[None]:
    """Keep other processes of this machine from replacing copies in a cache. Hold it for a few file operations only."""
    path = root / LOCKS / "cache.lock"
    lock = FileLock(path)
    with explained_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    try:
        yield
    finally:
        lock.release()


def is_locked(root: Path, key: str) -> bool | None:
    """Say whether a process holds the lock of a stage. Return None if the file system has no locks."""
    # The kernel frees a lock when its process dies. So the file alone says nothing, and only an attempt to lock tells.
    try:
        with FileLock(root / LOCKS / f"{key}.lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None


def _say_who(owner: str, key: str, talk: Talk) -> None:
    talk.say(f"{_short(key)} is being computed by {owner}; waiting for it")


def _short(key: str) -> str:
    """Return the name of a stage and the first digits of its fingerprint."""
    name, _, digits = key.rpartition("-")
    return f"{name} {digits[:8]}"


def owner_of(holder: Path) -> str:
    """Say which process holds a lock, if its note can be read."""
    try:
        return holder.read_text(encoding="utf-8", errors="replace")[:200] if holder.is_file() else "another process"
    except OSError:  # that process ended after `is_file` and removed its note
        return "another process"
