"""Lets workers compute the stages of a run, as often as its plan grows."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from burnish.lab.computing import compute, whole
from burnish.lab.executors import common_executor, open_pool
from burnish.lab.planned_experiment import PlannedExperiment, planner_of
from burnish.lab.pool import Brief
from burnish.report.terminal import Terminal
from burnish.report.text import plural
from burnish.store.course import Course, PlannedStage
from burnish.store.runners import planned_stages
from burnish.store.stages import Store


@dataclass(slots=True)
class Sound:
    """The stages whose files need not be checked any more, because this run has checked or written them. With workers,
    `before` are those of them that the run reuses."""

    stages: set[str] = field(default_factory=set[str])
    before: frozenset[str] | None = None


def computed(
    jobs: Sequence[PlannedExperiment], root: Store, terminal: Terminal, course: Course, sound: Sound, count: int
) -> Generator[int, None, None]:
    """Let `count` workers compute all stages of experiments. Yields the index of each experiment when it is done.

    Where stages decide which stages follow, the experiments are planned and computed again until nothing is open.
    """
    sound.before = whole(tuple(course.stages.values()), root, count)
    sound.stages |= sound.before
    if len(sound.before) == len(course.stages):
        yield from range(len(jobs))
        return
    terminal.say(plural(count, "worker") + (f" for {len(jobs)} experiments" if len(jobs) > 1 else ""))
    open_end = True
    while open_end:
        plans = [_sure(job, root) for job in jobs]
        open_end = any(plan.open_end for plan in plans)
        stages = [plan.stages for plan in plans]
        with closing(_by_workers(jobs, stages, root, terminal, count, sound)) as done:
            for index in done:
                if not open_end:
                    yield index


@dataclass(frozen=True, slots=True)
class _Sure:
    """The stages of an experiment that are sure to run. With `open_end`, others follow when these are finished."""

    stages: list[PlannedStage]
    open_end: bool


def _sure(job: PlannedExperiment, root: Store) -> _Sure:
    """Plan an experiment again, as far as it is known which stages run. Claim them, as `_prepared` does."""
    if not job.open_end:
        return _Sure(job.stages, open_end=False)
    planner = planner_of(job.config, job.inputs, root, longest=False)
    stages = planned_stages(planner.records)
    root.refer(job.out, [stage.fingerprint for stage in (*job.stages, *stages)])
    return _Sure(stages, open_end=bool(planner.undecided))


def _by_workers(
    jobs: Sequence[PlannedExperiment],
    plans: Sequence[Sequence[PlannedStage]],
    root: Store,
    terminal: Terminal,
    count: int,
    sound: Sound,
) -> Generator[int, None, None]:
    """Let workers compute the planned stages of experiments. Yields the index of each experiment when it is done."""
    stages = Course(stage for plan in plans for stage in plan).stages
    executor = common_executor([job.config for job in jobs])
    brief = Brief(
        configs=tuple(job.config for job in jobs),
        inputs=tuple(job.inputs for job in jobs),
        folders=tuple(str(job.out) for job in jobs),
        store=root.address,
        stages=tuple(stages.values()),
    )
    # Stages that an earlier pass computed are as sound as those that the run began with.
    ready = frozenset(sound.stages & stages.keys())
    with terminal.run(f"{plural(count, 'worker')}: stages", len(stages), len(ready)) as finished:
        for index in compute(
            brief,
            [[stage.fingerprint for stage in plan] for plan in plans],
            ready,
            lambda left: open_pool(brief, executor, min(count, left)),
            terminal.say,
            lambda agenda: finished(lambda: agenda.seconds_left(count)),
        ):
            # A worker has just written and hashed them.
            sound.stages |= {stage.fingerprint for stage in plans[index]}
            yield index
