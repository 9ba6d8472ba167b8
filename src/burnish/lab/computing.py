"""Computes the stages of a run with several workers, in the order of an `Agenda`."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import assert_never

from burnish.errors import BurnishError, Paused, PeopleAwaited, StageError, error_named
from burnish.lab.pool import About, Assignment, Brief, Pool, Report
from burnish.people.waiting import together
from burnish.report.text import plural
from burnish.store.agenda import Agenda
from burnish.store.course import PlannedStage
from burnish.store.stages import Store

TRIES = 3
"""How often a stage is tried whose worker dies. A worker without enough memory may succeed when the others are done."""
NODES = 20
"""The same if the whole machine of the worker dies. Mostly the stage is not the cause."""
POLL_SECONDS = 0.2
"""How often the run looks whether it was interrupted, in seconds."""


class Foreman:
    """Gives the stages of an agenda to a pool.

    If the worker of a stage dies, the stage is tried again, on another worker. If a stage waits for people, all stages
    that do not need it are computed, so that all pairs wait together. If a stage fails or must wait for a larger
    budget, no other stage is started. Those that run are finished, because hours of training should not be lost. Then
    the error is raised. It would come again at each try, and without that stage there are no results.
    """

    def __init__(self, agenda: Agenda, pool: Pool, experiments: Mapping[str, int], say: Callable[[str], None]) -> None:
        """`experiments` is the number of the experiment in which each stage is found."""
        self.agenda, self.pool, self.experiments, self.say = agenda, pool, experiments, say
        self._deaths: Counter[str] = Counter()
        self._nodes: Counter[str] = Counter()
        self._trouble: BurnishError | Paused | None = None
        self._awaited: list[PeopleAwaited] = []

    def work(self, stopped: Callable[[], bool] = lambda: False) -> Iterator[str]:
        """Yield the fingerprint of each stage when it is finished, until all are or `stopped` says so.

        Raises BurnishError if a stage failed, and Paused if one must wait.
        """
        while not stopped():
            while self._trouble is None and self.pool.free() and (stage := self.agenda.start_next()) is not None:
                number = self.experiments[stage.fingerprint]
                self.pool.submit(Assignment(config=number, fingerprint=stage.fingerprint))
            if not self.agenda.running:
                break
            for report in self.pool.reports(POLL_SECONDS):
                if report.about is About.FINISHED:
                    self.agenda.finish(report.fingerprint, report.seconds)
                    yield report.fingerprint
                else:
                    self._take(report)
        if self._trouble is not None:
            raise self._trouble
        if self._awaited and not stopped():
            raise together(self._awaited)

    def _take(self, report: Report) -> None:
        """Act on a report about a stage that is not finished, or say a line."""
        match report.about:
            case About.SAID:
                self.say(report.message)
            case About.FAILED:
                self._stop(report.fingerprint, error_named(report.error)(report.message))
            case About.PAUSED if report.pairs:
                self.agenda.set_aside(report.fingerprint)
                awaited = report.message, report.command, Path(report.folder), frozenset(report.pairs)
                self._awaited.append(PeopleAwaited(*awaited))
            case About.PAUSED:
                self._stop(report.fingerprint, Paused(report.message, report.command))
            case About.LOST:
                self._lost(report)
            case About.FINISHED:
                raise AssertionError(report)
            case _:
                assert_never(report.about)

    def _lost(self, report: Report) -> None:
        """Let a stage wait for another worker. If its workers died too often, stop."""
        stage = self.agenda.running[report.fingerprint]
        counted, most = (self._nodes, NODES) if report.node_died else (self._deaths, TRIES)
        counted[report.fingerprint] += 1
        deaths, label = counted[report.fingerprint], stage.label or stage.name
        if deaths >= most:
            words = f"{label}: {report.message}. It was tried {deaths} times; finished work is kept"
            self._stop(report.fingerprint, StageError(words))
            return
        again = "it is tried again" if self._trouble is None else "finished work is kept"
        self.say(f"{label}: {report.message}; {again}")
        self.agenda.give_back(report.fingerprint)

    def _stop(self, fingerprint: str, trouble: BurnishError | Paused) -> None:
        """Start no more stages. An error counts before a pause, and the first one counts."""
        self.agenda.give_back(fingerprint)
        if self._trouble is None or (isinstance(self._trouble, Paused) and not isinstance(trouble, Paused)):
            trouble, self._trouble = self._trouble or trouble, trouble
        if rest := self.agenda.running.values():
            first = str(trouble).splitlines()[0]
            labels = ", ".join(stage.label or stage.name for stage in rest)
            self.say(f"{first}; the run ends when {plural(len(rest), 'running stage')} are finished ({labels})")


def whole(stages: Sequence[PlannedStage], store: Store, threads: int) -> frozenset[str]:
    """Return the fingerprints of the reused stages of a plan whose files are undamaged.

    Each is read once, here, so that no worker has to read it again. Raises StageError if the system does not allow a
    file to be read.
    """

    def is_whole(stage: PlannedStage) -> bool:
        done = store.done(stage.name, stage.fingerprint)
        return done is not None and store.damage(done) is None

    reused = [stage for stage in stages if stage.reused]
    # Threads are enough: hashing a file does not hold Python's lock.
    pool = ThreadPoolExecutor(threads)
    try:
        return frozenset(
            stage.fingerprint for stage, sound in zip(reused, pool.map(is_whole, reused), strict=True) if sound
        )
    finally:
        pool.shutdown(cancel_futures=True)


def compute(
    brief: Brief,
    plans: Sequence[Sequence[str]],
    finished: AbstractSet[str],
    open_pool: Callable[[int], Pool],
    say: Callable[[str], None],
    tell: Callable[[Agenda], None] = lambda agenda: None,
) -> Iterator[int]:
    """Compute the stages of experiments, and yield the number of each experiment, in order, when it is done.

    `plans` has the fingerprints of the stages of each experiment, and `finished` those that need not be computed.
    `open_pool` gets the number of stages to compute and returns the workers. They go on while the caller uses an
    experiment that is done. `tell` is called in another thread when a stage is finished. Raises BurnishError and Paused
    as `Foreman.work` does. Finished stages are kept.
    """
    agenda = Agenda(brief.stages, finished)
    if agenda.left == 0:
        yield from range(len(plans))
        return
    # A stage that several experiments share is found in the first of them.
    experiments = {key: number for number, plan in reversed(list(enumerate(plans))) for key in plan}
    news: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        try:
            # The thread that starts the workers also ends them: the kernel kills them when this thread ends.
            with closing(open_pool(agenda.left)) as pool:
                for fingerprint in Foreman(agenda, pool, experiments, say).work(stop.is_set):
                    news.put(fingerprint)
                    tell(agenda)
            news.put(None)
        except BaseException as error:
            news.put(error)

    # A daemon: whatever happens, it does not keep the run alive.
    thread = threading.Thread(target=work, name="foreman", daemon=True)
    thread.start()
    try:
        yield from _announced(plans, finished, news)
    finally:
        stop.set()
        thread.join()


def _announced(
    plans: Sequence[Sequence[str]], finished: AbstractSet[str], news: queue.SimpleQueue[str | BaseException | None]
) -> Iterator[int]:
    """Yield the number of each experiment when all of its stages are finished.

    The last one is yielded when all workers have ended: only processes that have ended count in the peak memory.
    """
    done, over = set(finished), False
    for number, plan in enumerate(plans):
        left = set(plan) - done
        while left or (number == len(plans) - 1 and not over):
            new = news.get()
            if isinstance(new, BaseException):
                raise new
            over = over or new is None
            done |= {new} if new is not None else set()
            left.discard(new or "")
        yield number
