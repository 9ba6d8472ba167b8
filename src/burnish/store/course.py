"""The course of a run: which stages it has, which of them are finished, and how long the rest may take."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """A stage of a plan. If it was finished when the plan was made (`reused`), `seconds` says how long it took.

    `needs` and `outside` are those of the stage.
    """

    fingerprint: str
    name: str
    label: str
    reused: bool
    seconds: float
    needs: tuple[str, ...] = ()
    outside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePosition:
    """Where a stage stands in its run: number `number` of `total`.

    `expected` is how many seconds the stage may take. `rest` is how many seconds all other stages that are not finished
    may take. Each of the two is None if nothing is known.
    """

    number: int
    total: int
    expected: float | None = None
    rest: float | None = None

    def left(self, elapsed: float, of_stage: float | None) -> float | None:
        """Return the seconds that are left in the whole run, or None if they are not known.

        The stage has run for `elapsed` seconds. `of_stage` is how many seconds are left in this stage, as far as its
        own rows show this. If it is None, the expected time counts.
        """
        if of_stage is None and self.expected is not None:
            of_stage = max(self.expected - elapsed, 0.0)
        return None if of_stage is None or self.rest is None else of_stage + self.rest


class Course:
    """The stages of a run, in the order of its plan.

    The time of a stage is estimated from finished stages of the same kind. These are stages whose label is the same
    apart from its numbers ("seed 0 round 1 comparisons", "seed 2 round 3 comparisons"). If there are none, they are the
    stages with the same name ("judge"). The estimate is the mean of their times. If a stage has no estimate, the run
    has none either.
    """

    def __init__(self, stages: Iterable[PlannedStage], shared: bool = False) -> None:
        """Number the stages. If several have the same fingerprint, the first one counts.

        If the run is `shared` by several workers, the rest of the run has no estimate, because others work on it at the
        same time.
        """
        self.stages: dict[str, PlannedStage] = {}
        for stage in stages:
            self.stages.setdefault(stage.fingerprint, stage)
        self._numbers = {fingerprint: number for number, fingerprint in enumerate(self.stages, 1)}
        self._shared = shared
        self._waiting = set(self.stages)
        self._seconds: dict[str, list[float]] = {}
        for stage in self.stages.values():
            if stage.reused:
                self.finished(stage.fingerprint, stage.seconds)

    def finished(self, fingerprint: str, seconds: float) -> None:
        """Record that a stage is finished and how long it took.

        A stage that is not in the plan is left out, and each stage counts once.
        """
        if fingerprint in self._waiting:
            self._waiting.remove(fingerprint)
            for kind in kinds_of(self.stages[fingerprint]):
                self._seconds.setdefault(kind, []).append(seconds)

    def position(self, fingerprint: str) -> StagePosition | None:
        """Return where a stage stands, or None if it is not in the plan."""
        if fingerprint not in self.stages:
            return None
        others = [self._expected(self.stages[other]) for other in self._waiting - {fingerprint}]
        known = [seconds for seconds in others if seconds is not None]
        return StagePosition(
            number=self._numbers[fingerprint],
            total=len(self.stages),
            expected=self._expected(self.stages[fingerprint]),
            rest=None if self._shared or len(known) < len(others) else sum(known),
        )

    def announce(self, say: Callable[[str], None]) -> None:
        """Say in one line how many stages are reused. If there are none, nothing is said."""
        if reused := sum(stage.reused for stage in self.stages.values()):
            say(f"{reused} of {len(self.stages)} stages are finished already and are reused")

    def _expected(self, stage: PlannedStage) -> float | None:
        """Return the mean seconds of finished stages of the same kind, or None if there are none."""
        found: Sequence[float] | None = next(
            (self._seconds[kind] for kind in kinds_of(stage) if kind in self._seconds), None
        )
        return fmean(found) if found else None


@functools.lru_cache(maxsize=100_000)
def kinds_of(stage: PlannedStage) -> tuple[str, str]:
    """Return the kinds that a stage belongs to, the narrower one first."""
    # Seeds, rounds and parts are numbers in a label. Stages that differ in them alone do about the same work.
    return re.sub(r"\d+", "#", f"{stage.name}: {stage.label}"), stage.name
