"""A user's program as our child: it ends with us, also where we are killed, and it cannot make us wait for ever."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from burnish.errors import AnnotatorError

MAX_LINE = 1 << 20
"""Bytes that one line of output may have."""
MAX_STDERR = 64 << 20
"""Bytes of a program's messages that are kept; more are thrown away, so that no disk is filled."""
TAIL = 300
"""Characters of a failing program's stderr that its error shows."""
_POLL = 0.2
"""Seconds between two looks at a program that says nothing."""
_QUIET = 1.0
"""Seconds without output after which a program that ended has said all, though a child of its own holds its output."""
# Reads the number of a process group, then waits until the other end of the pipe is closed: then we are dead.
_GUARD = 'read -r group && { read -r rest; kill -9 -"$group"; }'


@dataclass(slots=True)
class Child:
    """A running program. `heard` is when it last brought something new, on the clock of `time.monotonic`; whoever reads
    sets it, after each answer that is worth something."""

    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    name: str
    field: str
    timeout: float
    heard: float
    tail: bytes = b""
    """The last messages of those that were thrown away."""

    @property
    def stdin(self) -> IO[bytes]:
        """Where it reads questions."""
        assert self.process.stdin is not None, self.name
        return self.process.stdin

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that the program writes, until it closes its output or ends.

        Raises AnnotatorError where nothing is heard for longer than the timeout, or a line has no end.
        """
        assert self.process.stdout is not None, self.name
        handle, rest, ended = self.process.stdout.fileno(), b"", None
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while True:
                waited = time.monotonic()
                if selector.select(_POLL):
                    chunk = os.read(handle, 1 << 16)
                    if not chunk:
                        break
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from (line + b"\n" for line in whole)
                    self._check_length(rest)
                    ended = None
                elif self.process.poll() is not None:
                    ended = ended or waited
                    if waited - ended > _QUIET:
                        break
                self._check_silence()
                self._keep_short()
        if rest:
            yield rest

    def finish(self) -> None:
        """Wait until the program ends. Raises AnnotatorError where it does not, or ends with another status than 0."""
        left = max(_QUIET, self.heard + self.timeout - time.monotonic())
        try:
            status = self.process.wait(timeout=left)
        except subprocess.TimeoutExpired:
            raise self._silent() from None
        if status != 0:
            raise AnnotatorError(
                f"{self.field}: {self.name!r} ended with status {status}: {self._said()}; run again: what it answered "
                "is kept, unless the program itself is changed"
            )

    def _check_length(self, line: bytes) -> None:
        if len(line) > MAX_LINE:
            raise AnnotatorError(
                f"{self.field}: {self.name!r} wrote more than {MAX_LINE:,} bytes without the end of a line, beginning "
                f"with {line[:40]!r}; write one JSON object a line"
            )

    def _check_silence(self) -> None:
        if time.monotonic() - self.heard > self.timeout:
            raise self._silent()

    def _silent(self) -> AnnotatorError:
        setting = f"{self.field.rpartition('.')[0]}.timeout"
        return AnnotatorError(
            f"{self.field}: {self.name!r} gave no new answer for {self.timeout:g} seconds and was ended; run again: "
            f"what it answered is kept. If it needs longer, raise {setting} (--set {setting}=SECONDS); it must end "
            "after its last answer"
        )

    def _keep_short(self) -> None:
        """Throw messages away that would fill the disk, all but the last; the program writes on behind them."""
        if os.fstat(self.complaints.fileno()).st_blocks * 512 > MAX_STDERR:
            self.tail = self._last_messages()
            os.ftruncate(self.complaints.fileno(), 0)

    def _last_messages(self) -> bytes:
        """Read the end of the messages. The program shares our place in the file, so that it must not be moved."""
        handle, length = self.complaints.fileno(), 4 * TAIL
        end = os.pread(handle, length, max(0, os.fstat(handle).st_size - length))
        return (self.tail + end.replace(b"\0", b""))[-length:]

    def _said(self) -> str:
        return self._last_messages().decode(errors="replace").strip()[-TAIL:] or "nothing on stderr"


@contextmanager
def running(command: Sequence[str], field: str, timeout: float) -> Generator[Child]:
    """Start a program in a process group of its own, which ends when its reader stops, however that comes about.

    Raises AnnotatorError naming `field` where it cannot be started.
    """
    with tempfile.TemporaryFile() as complaints, _guard() as guard:
        try:
            process = subprocess.Popen(  # noqa: S603 the user's own program, without a shell
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, process_group=0
            )
        except (OSError, ValueError) as error:  # ValueError: a null character in a word
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise AnnotatorError(
                f"{field}: {command[0][:200]!r} cannot be run ({why}); give a program and its arguments as a list"
            ) from None
        try:
            _write(guard, f"{process.pid}\n".encode())
            yield Child(process, complaints, command[0], field, timeout, time.monotonic())
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and what it started, and take in what is left of it."""
    # The program may have ended and left children: as long as one lives, the system gives the number to no other group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout, process
    process.stdout.close()


@contextmanager
def _guard() -> Generator[IO[bytes]]:
    """Start a guard that kills a process group when we die, on Linux and macOS alike; yields how it is told which.

    The guard reads from a pipe that only we hold the other end of: the system closes it, whatever kills us.
    """
    guard = subprocess.Popen(  # noqa: S603 a fixed text
        ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    assert guard.stdin is not None, guard
    try:
        yield guard.stdin
    finally:
        guard.kill()  # before the pipe is closed: a group of that number may be another one by now
        guard.wait()
        with suppress(OSError):
            guard.stdin.close()


def _write(pipe: IO[bytes], data: bytes) -> None:
    with suppress(BrokenPipeError):
        pipe.write(data)
        pipe.flush()
