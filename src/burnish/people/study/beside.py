"""The studies in which people compare the pairs of a refinement or a run.

Each study that is made from a folder is noted there, wherever the study lies. A folder beside it that is named after
it, such as `refined-study`, needs no note.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from burnish.people.mailbox import STUDIES
from burnish.people.study import reading
from burnish.people.study.export import deliver
from burnish.people.study.model import StudyState
from burnish.people.study.schema import FILE, opened_to_read
from burnish.store.files import Appender, read_rows

SUFFIX = "-study"


def study_with(folder: Path, pairs: Collection[str]) -> Path | None:
    """Return the newest study of a folder that has all these pairs, or None if there is none."""
    return next((path for path, items in _studies(folder) if items.issuperset(pairs)), None)


def free_place(folder: Path) -> Path:
    """Return where the next study of a folder can be: `refined-study`, `refined-study-2` and so on."""
    number, place = 1, _named(folder, 1)
    while place.exists():
        number += 1
        place = _named(folder, number)
    return place


def _named(folder: Path, number: int) -> Path:
    return folder.with_name(f"{folder.name}{SUFFIX}" + (f"-{number}" if number > 1 else ""))


def note_study(folder: Path, study: Path) -> None:
    """Note in a folder that a study was made from it. Raises StageError if the folder cannot be written."""
    with Appender(folder / STUDIES) as out:
        out.append([_Note(study=str(study.resolve()))])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """A line of `studies.jsonl`: the folder of a study, as an absolute path."""

    study: str


def _studies(folder: Path) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield the studies of a folder with the names of their items of work, the newest first."""
    for place in reversed(_places(folder)):
        # A study may have been moved or deleted.
        if (place / FILE).is_file():
            with closing(opened_to_read(place / FILE)) as db:
                yield place, frozenset(item.name for item in reading.items(db))


def _places(folder: Path) -> list[Path]:
    """Return where the studies of a folder were made, the oldest first: each place once, as it is best written."""
    number, found = 1, dict[Path, Path]()
    while (place := _named(folder, number)).exists():
        found[place.resolve()] = place
        number += 1
    notes = folder / STUDIES
    for note in read_rows(notes, _Note) if notes.exists() else []:
        # The last one is the newest, so a place that is named goes to its end.
        place = Path(note.study)
        found[place] = found.pop(place, place)
    return list(found.values())


def take_over(folder: Path, pairs: Collection[str]) -> Iterator[tuple[Path, int]]:
    """Add the answers of each study to the folder that waits for `pairs`, if nobody works on the study any more.

    That is so if all answers that the study wants are there, or if it is closed and all people have ended. Studies that
    have none of the pairs are left out. Yields each study from which there was something new, and how many annotations.
    """
    for path, items in _studies(folder):
        if items.isdisjoint(pairs):
            continue
        with closing(opened_to_read(path / FILE)) as db:
            counts = reading.counts(db, time.time())
            over = counts.free == 0 or counts.state is StudyState.CLOSED
            if over and counts.live == 0 and (new := deliver(db, folder)):
                yield path, new
