"""The verb `gc`: removes what no run refers to, checkpoints first."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from burnish.errors import StageError
from burnish.store.attempts import WORK, Life, Others, forgotten_notes, key_of
from burnish.store.garbage import MODELS, Garbage, garbage_at
from burnish.store.locking import is_locked
from burnish.store.manifest import PLACE_DIGITS, Damage, RunRecord
from burnish.store.stages import DAMAGED, Store


def collect(store: Store, dry_run: bool = False) -> list[Garbage]:
    """Remove finished stages that no run needs, abandoned work, and damaged files that were put aside.

    A run needs its stages as long as it is recorded and its results folder exists. The folder of a run on another host
    counts as existing, because it may be on a disk of that host. Work of another process that is running now is kept.
    Returns what was removed, or with `dry_run` what would be removed, in the order of removal. Raises StageError if the
    record of a run is damaged. It is then unknown what that run needs, and nothing is removed.
    """
    records = _records(store)
    wanted = {fingerprint for record in records.values() if not _is_over(record) for fingerprint in record.stages}
    garbage = [*store.unneeded({fingerprint[:PLACE_DIGITS] for fingerprint in wanted}), *_abandoned(store)]
    garbage.sort(key=lambda item: (MODELS.index(item.name) if item.name in MODELS else len(MODELS), str(item.path)))
    garbage += [garbage_at(path, DAMAGED) for path in sorted((store.root / DAMAGED).glob("*"))]
    if not dry_run:
        for item in garbage:
            store.remove(item)
        _forget(store, records)
    return garbage


def _is_over(record: RunRecord) -> bool:
    """Say whether a run needs nothing any more, because its results folder is gone."""
    return record.host in {"", socket.gethostname()} and not Path(record.out).is_dir()


def _records(store: Store) -> dict[str, RunRecord]:
    records: dict[str, RunRecord] = {}
    for name, record in store.run_records():
        if isinstance(record, Damage):
            raise StageError(
                f"{record}: nothing is freed, because it is not known which stages this run needs; run its command "
                "again, which writes the file anew, or remove the file"
            )
        records[name] = record
    return records


def _abandoned(store: Store) -> Iterator[Garbage]:
    """Yield the folders of attempts that do not go on."""
    for path in sorted((store.root / WORK).glob("*")):
        key = key_of(path)
        if path.is_dir() and key is not None and not _goes_on(store.root, key, path):
            yield garbage_at(path, key.rpartition("-")[0])


def _goes_on(root: Path, key: str, folder: Path) -> bool:
    """Say whether a process works in the folder of an attempt. Processes on other hosts show it by signs of life."""
    busy = is_locked(root, key)
    return busy or Others(root, key, locked=busy is False).state(folder) is Life.ALIVE


def _forget(store: Store, records: dict[str, RunRecord]) -> None:
    for name, record in records.items():
        if _is_over(record):
            store.forget_run(name)
    for note in forgotten_notes(store.root):
        note.unlink(missing_ok=True)
    store.forget_silent()
    # `remove_tree` renames before it deletes. A kill in between leaves folders with this ending.
    for gone in [*store.root.glob("*/*/.*.gone"), *store.root.glob("*/.*.gone")]:
        shutil.rmtree(gone, ignore_errors=True)
