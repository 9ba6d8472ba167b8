"""The verb `gc`: free what no run refers to, checkpoints first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from burnish.errors import StageError
from burnish.store.files import remove_tree
from burnish.store.manifest import PLACE_DIGITS, Damage, RunRecord, read_record
from burnish.store.stages import DAMAGED, Store

ORDER = ("train_preferences", "train", "train_classifier")
"""What is freed first: the largest that are the least likely to be wanted again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A folder that no run refers to."""

    path: Path
    name: str
    size: int


def collect(store: Store, dry_run: bool = False) -> list[Garbage]:
    """Remove what no recorded run with an existing results folder refers to: finished stages, abandoned work, and what
    was damaged and put aside.

    What another process works on at this moment stays. Returns what was (or would be) removed, in that order. Raises
    StageError where the record of a run is damaged: what that run needs is then unknown, and nothing is removed.
    """
    records = _records(store)
    wanted = {digits for record in records.values() if Path(record.out).is_dir() for digits in record.stages}
    found = [*_unreferred(store, {fingerprint[:PLACE_DIGITS] for fingerprint in wanted}), *_abandoned(store)]
    found.sort(key=lambda item: (ORDER.index(item.name) if item.name in ORDER else len(ORDER), str(item.path)))
    found += [_garbage(path, DAMAGED) for path in sorted((store.root / DAMAGED).glob("*"))]
    if not dry_run:
        for item in found:
            remove_tree(item.path)
        _forget(store, records)
    return found


def _records(store: Store) -> dict[Path, RunRecord]:
    records: dict[Path, RunRecord] = {}
    for path in sorted((store.root / "runs").glob("*.json")):
        record = read_record(path)
        if isinstance(record, Damage):
            raise StageError(
                f"{record}: nothing is freed, since it is not known which stages this run needs; run its command "
                "again, which writes the file anew, or remove the file"
            )
        if record is not None:
            records[path] = record
    return records


def _unreferred(store: Store, wanted: set[str]) -> Iterator[Garbage]:
    """Yield stages by their places: a damaged manifest is no reason to keep a stage, nor to free one that is needed."""
    for place in store.places():
        if place.name not in wanted:
            yield _garbage(place, place.parent.name)


def _abandoned(store: Store) -> Iterator[Garbage]:
    for path in sorted((store.root / "work").glob("*")):
        hidden = path.name.startswith(".")
        if path.is_dir() and not hidden and not _held(store.root / "locks" / f"{path.name}.lock"):
            yield _garbage(path, path.name.rpartition("-")[0])


def _garbage(path: Path, name: str) -> Garbage:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Garbage(path=path, name=name, size=sum(file.lstat().st_size for file in files))


def _held(lock: Path) -> bool:
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _forget(store: Store, records: dict[Path, RunRecord]) -> None:
    for path, record in records.items():
        if not Path(record.out).is_dir():
            path.unlink(missing_ok=True)
    for gone in [*store.root.glob("*/*/.*.gone"), *store.root.glob("*/.*.gone")]:
        shutil.rmtree(gone, ignore_errors=True)
