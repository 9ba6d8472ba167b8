"""What is being computed now, from the signs of life that attempts leave in a store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.store.attempts import LEASE, LOCKS, Life, key_of, machine, now_at, read_words


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """An attempt to compute a stage. `digits` are the first 32 of the stage's fingerprint.

    `seconds` is how long it has run, and `beat` how long ago its last sign of life was, in seconds. `done` of `total`
    units were done at that time; they are None if this is not known. `life` says whether it still goes on.
    """

    stage: str
    digits: str
    label: str
    host: str
    process: int | None
    seconds: float
    beat: float
    life: Life
    done: int | None
    total: int | None


def under_way(key: str, about: Mapping[str, Any], beat: float) -> UnderWay:
    """Return an attempt from the key of its stage, what its note says, and the seconds since its last sign of life."""
    stage, _, digits = key.rpartition("-")
    return UnderWay(
        stage=stage,
        digits=digits,
        label=str(about.get("label", "")),
        host=str(about.get("host", "unknown")),
        process=about.get("process"),
        seconds=round(float(about.get("seconds", 0.0)) + beat, 1),
        beat=round(beat, 1),
        life=_life(about, beat),
        done=about.get("done"),
        total=about.get("total"),
    )


def _life(about: Mapping[str, Any], beat: float) -> Life:
    # A process on this machine can be looked for. Of others, only their signs of life are known.
    if about.get("machine") == machine() and not _runs(about.get("process")):
        return Life.ENDED
    return Life.SILENT if beat > LEASE else Life.ALIVE


def _runs(process: int | None) -> bool:
    if process is None:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return not _is_dead(process)


def _is_dead(process: int) -> bool:
    """Say whether a process has ended and nobody has asked how. In a container such processes may stay for ever."""
    try:
        # The name of the program comes before the state, in brackets, and may hold brackets itself.
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # not Linux, or it has just gone
        return False
    return state in {"Z", "X"}


def notes_under_way(root: Path) -> Iterator[UnderWay]:
    """Yield the attempts whose notes lie in the folder of a store."""
    notes = sorted((root / LOCKS).glob("*.json"))
    now = now_at(root) if notes else 0
    for note in notes:
        key = key_of(Path(note.stem))
        with suppress(FileNotFoundError):  # it has just ended
            if key is not None:
                beat = max(now - note.stat().st_mtime_ns, 0) / 1e9
                yield under_way(key, read_words(note.read_bytes()), beat)
