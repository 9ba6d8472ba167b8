"""The one writer of a study's file, with group commit.

All operations go through one queue to one thread. The thread runs as many as wait in one transaction, commits, and only
then answers them. A transaction for each request was four times slower in a trial, because each commit waits for the
disk, and several writers met the error "database is locked".
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias, TypeVar

from burnish.people.study.model import NotStored

T = TypeVar("T")
Operation: TypeAlias = Callable[[sqlite3.Connection], Any]
MOST_TOGETHER = 256
"""The most operations in one transaction. The first of them waits until all have run."""


class _Job(NamedTuple):
    operation: Operation
    future: Future[Any]


class GroupWriter:
    """Runs operations on a connection, one at a time, in the order in which they came."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.clean_log = False
        """Set by an operation that deletes texts: its group also empties the log, which has old pages."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="study-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue an operation. Its future is answered after the commit, or with the error that the operation raised.

        An operation that raises changes nothing. The future raises NotStored if the file cannot be written.
        """
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise NotStored("the study is being stopped; try again when it is served again")
            self._jobs.put(_Job(operation, future))
        return future

    def close(self) -> None:
        """Finish what waits, and close the connection."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def commit(self) -> None:
        """Bring the transaction to the disk."""
        self.db.execute("COMMIT")

    def _work(self) -> None:
        going_on = True
        while going_on:
            jobs, going_on = self._waiting()
            if jobs:
                self._together(jobs)
        self.db.close()

    def _waiting(self) -> tuple[list[_Job], bool]:
        """Return the jobs that wait, at least one, and whether more may come."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            # After this call nobody can cancel the future any more.
            if job.future.set_running_or_notify_cancel():
                jobs.append(job)
            if len(jobs) >= MOST_TOGETHER:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _together(self, jobs: Sequence[_Job]) -> None:
        """Run jobs in one transaction, and answer all of them after the commit."""
        outcomes: list[tuple[Any, Exception | None]] = []
        try:
            self.db.execute("BEGIN IMMEDIATE")
            outcomes += [self._one(job.operation) for job in jobs]
            self.commit()
        except sqlite3.Error as error:
            # SQLite may have rolled back already.
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            refused = NotStored(f"the study's file cannot be written ({error}); free space on the disk, and try again")
            outcomes = [(None, refused) for _ in jobs]
        self._clean()
        for job, (value, raised) in zip(jobs, outcomes, strict=True):
            if raised is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(raised)

    def _clean(self) -> None:
        if self.clean_log:
            self.clean_log = False
            # If a reader is at work for long, the log is emptied when the study is stopped.
            with suppress(sqlite3.Error):
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _one(self, operation: Operation) -> tuple[Any, Exception | None]:
        """Run one operation. If it raises, its own changes are undone and the others stay."""
        self.db.execute("SAVEPOINT one")
        try:
            value = operation(self.db)
        except (sqlite3.OperationalError, sqlite3.InternalError):
            raise  # the file and not the operation is at fault: the whole transaction fails
        except Exception as error:
            self.db.execute("ROLLBACK TO one")
            self.db.execute("RELEASE one")
            return None, error
        self.db.execute("RELEASE one")
        return value, None
