"""What runs where: the attempts under way in a store, of all runs or of one."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import ConfigError
from burnish.store.attempts import LOCKS, Life
from burnish.store.manifest import PLACE_DIGITS, RunRecord
from burnish.store.opening import is_url, open_store
from burnish.store.stages import RUNS, Store
from burnish.store.under_way import UnderWay


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The attempts under way in the store at `address`. If they are those of one run, `out` is its results folder, and
    `finished` of `stages` planned stages are finished."""

    address: str
    attempts: list[UnderWay]
    out: str | None = None
    finished: int | None = None
    stages: int | None = None


def watched(place: Path | str | None, store: Path) -> Watched:
    """Return what is under way in a store, or in one run.

    `place` is a store or a results folder. A results folder is looked up in `store`. Without a place, everything in
    `store` is returned. Raises ConfigError if the place is neither, or if the store does not know the run.
    """
    whole = place is None or is_url(place) or _is_store(Path(place))
    root = open_store(place if whole and place is not None else store)
    finished = {path.name for path in root.places()}
    # A process that was killed leaves its note, also when another one has finished the stage.
    attempts = [one for one in root.under_way() if one.life is Life.ALIVE or one.digits not in finished]
    if whole:
        return Watched(address=root.address, attempts=attempts)
    assert place is not None
    wanted = {fingerprint[:PLACE_DIGITS] for fingerprint in _record(root, Path(place)).stages}
    return Watched(
        address=root.address,
        attempts=[attempt for attempt in attempts if attempt.digits in wanted],
        out=str(Path(place).resolve()),
        finished=len(wanted & finished),
        stages=len(wanted),
    )


def _record(root: Store, place: Path) -> RunRecord:
    """Return the record of the run whose results folder this is."""
    if not place.is_dir():
        raise ConfigError(f"{place}: no such folder; give a results folder or a store")
    out = str(place.resolve())
    records = [one for _, one in root.run_records() if isinstance(one, RunRecord) and one.out == out]
    if not records:
        raise ConfigError(f"{place}: {root.address} has no run with this results folder; give its --store")
    # In a bucket, another host may have a run with a results folder of the same path.
    return next((one for one in records if one.host == socket.gethostname()), records[0])


def _is_store(folder: Path) -> bool:
    # A working directory has a folder `runs`, too, in which results folders are.
    return (folder / LOCKS).is_dir() or any((folder / RUNS).glob("*.json"))
