"""Makes many requests at the same time, and gives their answers in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TypeVar

from burnish.services.crew import Crew

J = TypeVar("J")
R = TypeVar("R")
AHEAD = 4
"""An answer that takes long holds back the ones after it. At most so many times `size` of them wait or are asked."""


def in_order(jobs: Iterable[J], work: Callable[[J, Callable[[float], bool]], R], size: int) -> Iterator[R]:
    """Do jobs in `size` threads, and yield their results in the order of the jobs.

    So files have the same bytes whatever answer comes first. If a job fails, no other one is begun, and its exception
    is raised after the results of all jobs under way, so that no answer is lost.
    """
    pending = enumerate(jobs)
    known: dict[int, R] = {}
    given = came = following = 0
    failure: BaseException | None = None
    with closing(Crew[tuple[int, J], R](size, lambda job, pause: work(job[1], pause))) as crew:
        while True:
            while failure is None and given - following < AHEAD * size and (job := next(pending, None)) is not None:
                crew.submit(job)
                given += 1
            if came == given:
                break
            came += 1
            try:
                (number, _), known[number] = crew.result()
            except Exception as error:
                failure = failure or error
            while following in known:
                yield known.pop(following)
                following += 1
        # Only after a failure: the answers behind it.
        yield from (known[number] for number in sorted(known))
    if failure is not None:
        raise failure
