"""The verb `gc`: free what no run refers to, checkpoints first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from burnish.store.files import remove_tree
from burnish.store.stages import Store

ORDER = ("train_preferences", "train", "train_classifier")
"""What is freed first: the largest that are the least likely to be wanted again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A folder that no run refers to."""

    path: Path
    name: str
    size: int


def collect(store: Store, dry_run: bool = False) -> list[Garbage]:
    """Remove finished stages and abandoned work that no recorded run with an existing results folder refers to.

    What another process works on at this moment stays. Returns what was (or would be) removed, in that order.
    """
    wanted = _wanted(store)
    found = [*_unreferred(store, wanted), *_abandoned(store)]
    found.sort(key=lambda item: (ORDER.index(item.name) if item.name in ORDER else len(ORDER), str(item.path)))
    if not dry_run:
        for item in found:
            remove_tree(item.path)
        _forget(store)
    return found


def _wanted(store: Store) -> set[str]:
    wanted: set[str] = set()
    for path in (store.root / "runs").glob("*.json"):
        record = orjson.loads(path.read_bytes())
        if Path(record["out"]).is_dir():
            wanted.update(record["stages"])
    return wanted


def _unreferred(store: Store, wanted: set[str]) -> Iterator[Garbage]:
    for done in store.every():
        if done.fingerprint not in wanted:
            yield Garbage(path=done.path, name=done.name, size=done.size)


def _abandoned(store: Store) -> Iterator[Garbage]:
    for path in sorted((store.root / "work").glob("*")):
        if path.is_dir() and not _held(store.root / "locks" / f"{path.name}.lock"):
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            yield Garbage(path=path, name=path.name.rpartition("-")[0], size=size)


def _held(lock: Path) -> bool:
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _forget(store: Store) -> None:
    for path in (store.root / "runs").glob("*.json"):
        if not Path(orjson.loads(path.read_bytes())["out"]).is_dir():
            path.unlink()
    for gone in store.root.glob("*/*/.*.gone"):
        shutil.rmtree(gone, ignore_errors=True)
