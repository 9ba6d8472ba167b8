"""A crew of threads that make calls. An interrupted run does not have to wait for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")
GRACE = 2.0
"""Seconds that calls under way have to finish when the work is interrupted.

Their answers are paid for, so they should be kept if possible.
"""


class Crew(Generic[J, R]):
    """Does jobs in up to `size` threads, and returns each job with its result in the order of completion.

    `work` gets the job and a function that waits some seconds and says whether to stop. The threads are daemons. Python
    waits at exit for the threads of `concurrent.futures`, so an interrupted run would have to wait for the longest
    timeout.
    """

    def __init__(self, size: int, work: Callable[[J, Callable[[float], bool]], R]) -> None:
        self.size, self.work = size, work
        self._stop = threading.Event()
        self._jobs: queue.SimpleQueue[J | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[J, R | BaseException]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, job: J) -> None:
        """Give a job to a thread. A new thread is started as long as there are fewer than `size`."""
        if len(self._threads) < self.size:
            thread = threading.Thread(target=self._run, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)

    def result(self) -> tuple[J, R]:
        """Wait for the next finished job, and return it with its result.

        Raises the exception of its work if the work failed.
        """
        job, result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return job, result

    def close(self) -> None:
        """Drop jobs that have not begun, wake threads that wait, and give calls under way GRACE seconds to finish."""
        self._stop.set()
        for _ in self._threads:
            self._jobs.put(None)  # a thread that waits for a job ends when it gets None
        end = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stop.is_set():
            try:
                # `Event.wait` sleeps and says whether the event came, so a pause between retries ends as soon as the
                # crew is closed.
                result = self.work(job, self._stop.wait)
            except BaseException as error:
                # Every exception is handed over: if the thread just ended, `result` would wait for ever.
                self._results.put((job, error))
            else:
                self._results.put((job, result))
