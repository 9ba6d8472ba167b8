"""Threads that make calls, and that nobody has to wait for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")
GRACE = 2.0
"""Seconds that calls under way have to come home when the work is broken off: they are paid for."""


class Crew(Generic[J, R]):
    """Does jobs in up to `size` threads and hands back each job with its result, in the order of completion.

    The threads are daemons, since those of `concurrent.futures` are joined at exit: an interrupt would wait for the
    longest timeout. `work` gets the job and a function that waits some seconds and says whether to stop.
    """

    def __init__(self, size: int, work: Callable[[J, Callable[[float], bool]], R]) -> None:
        self.size, self.work = size, work
        self._stop = threading.Event()
        self._jobs: queue.SimpleQueue[J | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[J, R | BaseException]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, job: J) -> None:
        """Hand a job to a thread."""
        if len(self._threads) < self.size:
            thread = threading.Thread(target=self._run, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)

    def result(self) -> tuple[J, R]:
        """Wait for the next finished job; what its work raised is raised here."""
        job, result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return job, result

    def close(self) -> None:
        """Drop what has not begun, stop waiting threads, and give the others a moment."""
        self._stop.set()
        for _ in self._threads:
            self._jobs.put(None)
        end = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stop.is_set():
            try:
                result = self.work(job, self._stop.wait)
            except (
                BaseException
            ) as error:  # handed over, whatever it is: a thread that ends would leave `result` waiting
                self._results.put((job, error))
            else:
                self._results.put((job, result))
