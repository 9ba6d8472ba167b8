"""The verb `gc`: removes what no run refers to, checkpoints first."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import StageError
from burnish.store.attempts import WORK, Others, State, discard, forgotten_notes, key_of
from burnish.store.files import remove_tree, tree_size
from burnish.store.locking import is_locked
from burnish.store.manifest import PLACE_DIGITS, Damage, RunRecord, read_record
from burnish.store.stages import DAMAGED, Store

ORDER = ("train_preferences", "train", "train_classifier", "train_rewards")
"""The stages that are removed first. They are the largest, and the least likely to be needed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A file or folder that no run refers to. `size` is in bytes."""

    path: Path
    name: str
    size: int


def collect(store: Store, dry_run: bool = False) -> list[Garbage]:
    """Remove finished stages that no run needs, abandoned work, and damaged files that were put aside.

    A run needs its stages as long as it is recorded and its results folder exists. The folder of a run on another host
    counts as existing, because it may be on a disk of that host. Work of another process that is running now is kept.
    Returns what was removed, or with `dry_run` what would be removed, in the order of removal. Raises StageError if the
    record of a run is damaged. It is then unknown what that run needs, and nothing is removed.
    """
    records = _records(store)
    wanted = {fingerprint for record in records.values() if not _is_over(record) for fingerprint in record.stages}
    garbage = [*_unreferred(store, {fingerprint[:PLACE_DIGITS] for fingerprint in wanted}), *_abandoned(store)]
    garbage.sort(key=lambda item: (ORDER.index(item.name) if item.name in ORDER else len(ORDER), str(item.path)))
    garbage += [_garbage(path, DAMAGED) for path in sorted((store.root / DAMAGED).glob("*"))]
    if not dry_run:
        for item in garbage:
            discard(item.path) if key_of(item.path) else remove_tree(item.path)
        _forget(store, records)
    return garbage


def _is_over(record: RunRecord) -> bool:
    """Say whether a run needs nothing any more, because its results folder is gone."""
    return record.host in {"", socket.gethostname()} and not Path(record.out).is_dir()


def _records(store: Store) -> dict[Path, RunRecord]:
    records: dict[Path, RunRecord] = {}
    for path in sorted((store.root / "runs").glob("*.json")):
        record = read_record(path)
        if isinstance(record, Damage):
            raise StageError(
                f"{record}: nothing is freed, because it is not known which stages this run needs; run its command "
                "again, which writes the file anew, or remove the file"
            )
        if record is not None:
            records[path] = record
    return records


def _unreferred(store: Store, wanted: set[str]) -> Iterator[Garbage]:
    """Yield the stages that no run needs.

    They are identified by their folder, not by their manifest. So a stage with a damaged manifest is removed only if no
    run needs it.
    """
    for place in store.places():
        if place.name not in wanted:
            yield _garbage(place, place.parent.name)


def _abandoned(store: Store) -> Iterator[Garbage]:
    """Yield the folders of attempts that do not go on."""
    for path in sorted((store.root / WORK).glob("*")):
        key = key_of(path)
        if path.is_dir() and key is not None and not _goes_on(store.root, key, path):
            yield _garbage(path, key.rpartition("-")[0])


def _goes_on(root: Path, key: str, folder: Path) -> bool:
    """Say whether a process works in the folder of an attempt. Processes on other hosts show it by signs of life."""
    busy = is_locked(root, key)
    return busy or Others(root, key, locked=busy is False).state(folder) is State.ALIVE


def _garbage(path: Path, name: str) -> Garbage:
    return Garbage(path=path, name=name, size=tree_size(path))


def _forget(store: Store, records: dict[Path, RunRecord]) -> None:
    for path in [*(path for path, record in records.items() if _is_over(record)), *forgotten_notes(store.root)]:
        path.unlink(missing_ok=True)
    # `remove_tree` renames before it deletes. A kill in between leaves folders with this ending.
    for gone in [*store.root.glob("*/*/.*.gone"), *store.root.glob("*/.*.gone")]:
        shutil.rmtree(gone, ignore_errors=True)
