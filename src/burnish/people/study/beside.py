"""The studies in which people compare the pairs of a refinement or a run: the folders beside it that are named after
it, such as `refined-study`."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from burnish.people.study import reading
from burnish.people.study.export import deliver
from burnish.people.study.model import StudyState
from burnish.people.study.schema import FILE, opened_to_read

SUFFIX = "-study"


def study_with(folder: Path, pairs: Collection[str]) -> Path | None:
    """Return the newest study beside a folder that has all these pairs, or None if there is none."""
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


def _studies(folder: Path) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield the studies beside a folder with the names of their items of work, the newest first."""
    number, found = 1, list[Path]()
    while (place := _named(folder, number)).exists():
        found.append(place)
        number += 1
    for place in reversed(found):
        if (place / FILE).is_file():
            with closing(opened_to_read(place / FILE)) as db:
                yield place, frozenset(item.name for item in reading.items(db))


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
