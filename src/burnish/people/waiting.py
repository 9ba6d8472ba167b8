"""Waits until people have judged the pairs that a refinement needs, and goes on by itself."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from burnish.errors import PeopleAwaited
from burnish.people.mailbox import Mailbox
from burnish.people.study.beside import free_place, study_with, take_over
from burnish.report.text import plural

T = TypeVar("T")
POLL_SECONDS = 2.0
"""How often the folder and its studies are looked at, in seconds."""


def with_people(
    run: Callable[[], T],
    say: Callable[[str], None],
    sleep: Callable[[float], object] = time.sleep,
    *,
    wait: bool = True,
) -> T:
    """Run until nothing waits for people, and return what the run returns.

    Each time the run waits, the commands with which people judge are said. It goes on as soon as each pair has a
    verdict: from a spreadsheet, or from a study of the folder that has all answers that it wants. An interrupt
    loses nothing, because answers are kept where they were given. All other errors and pauses of the run pass through;
    without `wait`, the pause for people does, too.
    """
    while True:
        try:
            return run()
        except PeopleAwaited as stop:
            if not wait:
                raise
            say(f"waiting: {stop.message}")
            for line in stop.ways.splitlines():
                say(f"  {line}")
            say("this command goes on by itself when all answers are there; Ctrl-C stops it, and nothing is lost")
            _until_judged(stop.folder, say, sleep)


def together(stops: Sequence[PeopleAwaited]) -> PeopleAwaited:
    """Return one pause for several ones, whose pairs wait in the same folders. There must be at least one."""
    folders = {stop.folder: stop for stop in stops}
    if len({stop.pairs for stop in stops}) == 1:
        return stops[0]
    pairs = frozenset[str]().union(*(stop.pairs for stop in stops))
    # The ways of a folder name a study only if it has all pairs that wait there, so they are made again.
    ways = "\nand\n".join(ways_of(Mailbox(folder)) for folder in folders)
    return PeopleAwaited(f"{plural(len(pairs), 'pair')} wait for people", ways, next(iter(folders)), pairs)


def ways_of(mailbox: Mailbox) -> str:
    """Return the commands with which people judge the pairs that wait: in a spreadsheet, or on web pages."""
    folder = mailbox.folder
    here, known = shlex.quote(str(folder)), study_with(folder, {pair.id for pair in mailbox.asked()})
    pages = shlex.quote(str(known or free_place(folder)))
    new = "" if known is not None else f"burnish study new {pages} --from {here} --kind comparisons\n"
    return (
        f"burnish annotate export {here} --to pairs.csv\nfill in the column `verdict`\n"
        f"burnish annotate import {here} pairs.csv\nor on web pages:\n"
        f"{new}burnish study serve {pages}\nburnish study export {pages} --into {here}"
    )


def _until_judged(folder: Path, say: Callable[[str], None], sleep: Callable[[float], object]) -> None:
    mailbox, told = Mailbox(folder), False
    while pairs := mailbox.unanswered():
        taken = list(take_over(folder, pairs))
        for study, count in taken:
            say(f"{plural(count, 'new annotation')} from {study}")
        if not taken:
            sleep(POLL_SECONDS)
        elif (left := len(mailbox.unanswered())) and not told:
            say(f"{plural(left, 'pair')} have no answer yet; let people judge them in one of the ways above")
            told = True
    say("all pairs are judged; going on")
