"""Hostile SQL is run by worker processes that can be killed: a crash or an endless query costs itself alone.

A worker lives as long as its sandbox and answers one query at a time. It is ended when a query outlives its time by
`GRACE` seconds (the worker's own clock stops most queries before), and a fresh one takes its place.
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
"""A longer answer is none that our own worker writes."""
# Each may hold 1 GiB by its limits (see SPARE of the worker).
MOST_WORKERS = 4
TAKEN_OVER = frozenset({Kind.TOO_LARGE, Kind.TIMEOUT})
"""After these a fresh worker takes over: memory in pieces may not change what becomes of the next query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One SQL text and the database that it is about."""

    database: Path
    sql: str


class Sandbox:
    """A pool of workers; safe to call from several threads. Ends with `close`, or when nothing refers to it."""

    def __init__(self, limits: Limits | None = None, workers: int | None = None) -> None:
        self.limits = limits or Limits()
        self.workers = workers or min(MOST_WORKERS, os.cpu_count() or 1)
        self._all = [_Worker(self.limits) for _ in range(self.workers)]
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()  # the last used: one query after another starts one
        for worker in reversed(self._all):
            self._idle.put(worker)
        self._finish = weakref.finalize(self, _end, self._all)

    def run(self, query: Query) -> QueryOutcome:
        """Return what becomes of one query, whatever it does."""
        worker = self._idle.get()
        try:
            return worker.ask(query)
        finally:
            self._idle.put(worker)

    def run_all(self, queries: Sequence[Query], keep: Callable[[Query, QueryOutcome], T]) -> list[T]:
        """Return what `keep` makes of each outcome, in the queries' order; results themselves are not held on to."""

        def one(query: Query) -> T:
            return keep(query, self.run(query))

        if len(queries) < 2 or self.workers == 1:
            return [one(query) for query in queries]
        with ThreadPoolExecutor(min(self.workers, len(queries))) as threads:
            try:
                return list(threads.map(one, queries))
            except BaseException:
                # Threads wait for answers of workers, and leaving the block waits for the threads. Only the end of the
                # workers makes that short.
                threads.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise

    def close(self) -> None:
        """End the workers; a query under way counts as crashed, another one starts a worker anew."""
        _end(self._all)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.end()


class _Worker:
    """One process, started when it is first asked and after it has ended."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, query: Query) -> QueryOutcome:
        values = {"database": os.path.abspath(query.database), "sql": query.sql}
        body = json.dumps(values).encode()
        # A worker may have died while it was idle. The query is innocent of that, so a fresh worker gets it.
        for attempt in (1, 2):
            process = self.process or self._start()
            try:
                assert process.stdin, process
                process.stdin.write(LENGTH.pack(len(body)) + body)
                process.stdin.flush()
                break
            except OSError:  # it ended before it had this query to read
                self.end()
                if attempt == 2:
                    raise BackendError("text_to_sql: a worker ends before it is asked; is there memory left?") from None
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
        # Our own interpreter and module, and nothing of our environment but where shared libraries are.
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
                "is there memory left, and is burnish still installed where it was?"
            ) from None
        return process

    def end(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe, process
                try:
                    pipe.close()
                except OSError:
                    continue  # what was not yet written is for nobody


def _read(process: subprocess.Popen[bytes], count: int, until: float) -> bytes:
    """Read exactly so many bytes. Raises TimeoutError, EOFError."""
    assert process.stdout, process
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while count:
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            # `os.read` returns what is there. The pipe's own `read` would wait for all bytes, and no deadline would end
            # that.
            part = os.read(process.stdout.fileno(), min(count, MEGABYTE))
            if not part:
                raise EOFError("no answer")
            parts.append(part)
            count -= len(part)
    return b"".join(parts)
