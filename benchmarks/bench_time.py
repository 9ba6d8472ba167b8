"""Seconds that work takes, on the wall and on all CPUs together, and what several measurements say together."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict, TypeVar

R = TypeVar("R")
CLOCKS = ("cpu", "wall")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one piece of work. CPU seconds hardly change when other programs are busy, so they compare better."""

    cpu: float
    wall: float

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.cpu + other.cpu, self.wall + other.wall)

    def of(self, clock: str) -> float:
        """Return the seconds on the clock `cpu` or `wall`."""
        return self.cpu if clock == "cpu" else self.wall


def now() -> Spent:
    """Return the times of both clocks. A difference of two of them is what was spent."""
    return Spent(time.process_time(), time.perf_counter())


def since(start: Spent) -> Spent:
    """Return what was spent since `start`."""
    end = now()
    return Spent(end.cpu - start.cpu, end.wall - start.wall)


def timed(function: Callable[[], R]) -> tuple[R, Spent]:
    """Call a function, and return its result and what it cost."""
    start = now()
    result = function()
    return result, since(start)


class Middle(TypedDict):
    """The median of several measurements, the smallest and the largest of them."""

    median: float
    min: float
    max: float


def middle(values: Sequence[float], digits: int = 3) -> Middle:
    """Return median, minimum and maximum, rounded to `digits` decimals."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }
