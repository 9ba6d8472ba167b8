"""Runs SQL that may be hostile in worker processes, so that a crash or an endless query does no other harm.

A worker answers one query at a time and normally lives as long as its sandbox. It is killed if a query takes `GRACE`
seconds longer than its limit, and a new worker takes its place. The worker's own clock stops most queries before that.
"""

from __future__ import annotations

import json
import os
import queue
import selectors
import subprocess
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from burnish.errors import BackendError
from burnish.sql.outcome import LENGTH, MEGABYTE, Kind, Limits, QueryOutcome, decoded
from burnish.sql.worker import command

T = TypeVar("T")
GRACE = 2.0
START_SECONDS = 60.0
MOST_MESSAGE = 1024 * MEGABYTE
"""The most bytes of a message. Our own worker never writes a longer one."""
# Each worker may use 1 GiB by its limits (see SPARE in worker.py).
MOST_WORKERS = 4
TAKEN_OVER = frozenset({Kind.TOO_LARGE, Kind.TIMEOUT})
"""After these outcomes a new worker is started. The old one's memory may be fragmented, and that could change the
outcome of the next query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """An SQL text, and the path of the database on which it runs."""

    database: Path
    sql: str


class Sandbox:
    """A pool of workers. Several threads may use it at once.

    The workers end with `close`, or when nothing refers to the sandbox any more.
    """

    def __init__(self, limits: Limits | None = None, workers: int | None = None) -> None:
        self.limits = limits or Limits()
        self.workers = workers or min(MOST_WORKERS, os.cpu_count() or 1)
        self._all = [_Worker(self.limits) for _ in range(self.workers)]
        # A stack and not a queue, so that queries one after the other start only one worker.
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in reversed(self._all):
            self._idle.put(worker)
        self._finish = weakref.finalize(self, _end, self._all)

    def run(self, query: Query) -> QueryOutcome:
        """Return the outcome of one query. Raises BackendError if the worker process cannot be started."""
        worker = self._idle.get()
        try:
            return worker.ask(query)
        finally:
            self._idle.put(worker)

    def run_all(self, queries: Sequence[Query], keep: Callable[[Query, QueryOutcome], T]) -> list[T]:
        """Run queries in all workers, and return what `keep` makes of each outcome, in the order of the queries.

        The outcomes themselves are not kept in memory. Raises as `run` and `keep` do.
        """

        def one(query: Query) -> T:
            return keep(query, self.run(query))

        if len(queries) < 2 or self.workers == 1:
            return [one(query) for query in queries]
        with ThreadPoolExecutor(min(self.workers, len(queries))) as threads:
            try:
                return list(threads.map(one, queries))
            except BaseException:
                # Leaving the block waits for the threads, and the threads wait for the workers' answers. So the workers
                # are ended first.
                threads.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise

    def close(self) -> None:
        """End the workers. A running query counts as crashed. A later query starts a new worker."""
        _end(self._all)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.end()


class _Worker:
    """One worker process. It is started at the first query, and again after it has ended."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, query: Query) -> QueryOutcome:
        """Return the outcome of a query. Raises BackendError if no process can be started for it."""
        values = {"database": os.path.abspath(query.database), "sql": query.sql}
        body = json.dumps(values).encode()
        # A worker may have died while it was idle. That is not the query's fault, so a new worker gets it.
        for attempt in (1, 2):
            process = self.process or self._start()
            try:
                assert process.stdin, process
                process.stdin.write(LENGTH.pack(len(body)) + body)
                process.stdin.flush()
                break
            except OSError:  # the process ended before it could read this query
                self.end()
                if attempt == 2:
                    raise BackendError(
                        "text_to_sql: the process that runs SQL ends before it gets a query; check that memory is free"
                    ) from None
        outcome = self._answer(process, time.monotonic() + self.limits.seconds + GRACE)
        if outcome.kind in TAKEN_OVER:
            self.end()
        return outcome

    def _answer(self, process: subprocess.Popen[bytes], until: float) -> QueryOutcome:
        try:
            (length,) = LENGTH.unpack(_read(process, LENGTH.size, until))
            if length > MOST_MESSAGE:
                raise ValueError(f"a message of {length} bytes")
            return decoded(_read(process, length, until))
        except TimeoutError:
            self.end()
            return QueryOutcome(kind=Kind.TIMEOUT, message="its worker was ended")
        except (EOFError, OSError, ValueError) as error:
            self.end()
            status = process.returncode
            return QueryOutcome(kind=Kind.CRASHED, message=f"the worker ended with status {status}: {error}")

    def _start(self) -> subprocess.Popen[bytes]:
        # This runs our own interpreter and module. From our environment it gets only the paths of shared libraries.
        kept = {name: value for name, value in os.environ.items() if name.endswith("LIBRARY_PATH")}
        process = subprocess.Popen(  # noqa: S603
            command(self.limits),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=kept,
        )
        self.process = process
        try:
            _read(process, LENGTH.size, time.monotonic() + START_SECONDS)
        except (EOFError, TimeoutError):
            self.end()
            raise BackendError(
                f"text_to_sql: the process that runs SQL does not start (status {process.returncode}); "
                "check that memory is free, and that burnish is still installed in the same place"
            ) from None
        return process

    def end(self) -> None:
        """Kill the process, if there is one."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe, process
                try:
                    pipe.close()
                except OSError:
                    continue  # some data could not be written, but nobody needs them any more


def _read(process: subprocess.Popen[bytes], count: int, until: float) -> bytes:
    """Read exactly `count` bytes. Raises TimeoutError at the time `until`, and EOFError if the process ends."""
    assert process.stdout, process
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while count:
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            # `os.read` returns the bytes that are there. The pipe's own `read` would wait for all bytes, without a
            # deadline.
            part = os.read(process.stdout.fileno(), min(count, MEGABYTE))
            if not part:
                raise EOFError("no answer")
            parts.append(part)
            count -= len(part)
    return b"".join(parts)
