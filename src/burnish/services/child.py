"""Runs a user's program as a child process: one that answers questions, or a server.

The program ends when burnish ends, even if burnish is killed, and it cannot make burnish wait for ever.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, NamedTuple

from burnish.errors import AnnotatorError

MAX_LINE = 1 << 20
"""The most bytes of one line of output."""
MAX_STDERR = 64 << 20
"""The most bytes of a program's stderr that are kept.

If there are more, they are thrown away, so that the disk does not fill.
"""
TAIL = 300
"""How many characters of a failed program's stderr its error shows."""
_POLL = 0.2
"""Seconds between two checks of a program that writes nothing."""
_FAREWELL = 20.0
"""Seconds that a server has to end by itself. vLLM needs a few to free its memory."""
_QUIET = 1.0
"""Seconds without output after which nothing more is expected from a program that has ended.

Its output may stay open longer, because a process that it started can still hold it.
"""
# This shell script reads the number of a process group. Then it waits until the other end of the pipe is closed, which
# happens when burnish ends, and kills the group.
_GUARD = 'read -r group && { read -r rest; kill -9 -"$group"; }'


@dataclass(slots=True)
class Child:
    """A running program.

    `complaints` is a file with its stderr, and `field` is the setting that names it. `heard` is the time of
    `time.monotonic` at which it last gave something new. The reader must set `heard` after each new answer. `timeout`
    is the most seconds without a new answer.
    """

    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    name: str
    field: str
    timeout: float
    heard: float
    tail: bytes = b""
    """The last of the messages that were thrown away."""

    @property
    def stdin(self) -> IO[bytes]:
        """The pipe from which the program reads questions."""
        assert self.process.stdin is not None, self.name
        return self.process.stdin

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that the program writes, until it closes its output or ends.

        Raises AnnotatorError if there is no new answer for longer than the timeout, or if a line is too long.
        """
        assert self.process.stdout is not None, self.name
        # `readline` would wait without end for a silent program. So the pipe is watched, and read as its bytes come.
        handle, rest, ended = self.process.stdout.fileno(), b"", None
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                if selector.select(_POLL):
                    chunk = os.read(handle, 1 << 16)
                    if not chunk:
                        break
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from (line + b"\n" for line in whole)
                    self._check_length(rest)
                    ended = None
                elif self.process.poll() is not None:
                    ended = ended or now
                    if now - ended > _QUIET:
                        break
                self._check_silence()
                self._keep_short()
        if rest:
            yield rest

    def finish(self) -> None:
        """Wait until the program ends.

        Raises AnnotatorError if it does not end in time, or ends with a status other than 0.
        """
        # It gets at least a moment, because the last answer may have come just before the timeout.
        left = max(_QUIET, self.heard + self.timeout - time.monotonic())
        try:
            status = self.process.wait(timeout=left)
        except subprocess.TimeoutExpired:
            raise self._silent() from None
        if status != 0:
            raise AnnotatorError(
                f"{self.field}: {self.name!r} ended with status {status}: {self.said()}; run again: what it answered "
                "is kept, unless the program itself is changed"
            )

    def ended(self) -> str | None:
        """Return how a server ended and its last words, or None if it runs."""
        status = self.process.poll()
        return None if status is None else f"ended with status {status}: {self.said()}"

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
        """Throw away all messages but the last before they fill the disk."""
        # The program goes on writing at its old position. What was cut off is then a hole, which takes no space. So the
        # blocks (of 512 bytes) are counted, and not the length of the file.
        if os.fstat(self.complaints.fileno()).st_blocks * 512 > MAX_STDERR:
            self.tail = self._last_messages(4 * TAIL)
            os.ftruncate(self.complaints.fileno(), 0)

    def _last_messages(self, length: int) -> bytes:
        """Read the end of the messages. The program shares our position in the file, so the position must not move."""
        handle = self.complaints.fileno()
        end = os.pread(handle, length, max(0, os.fstat(handle).st_size - length))
        return (self.tail + end.replace(b"\0", b""))[-length:]

    def said(self, most: int = TAIL) -> str:
        """Return the last messages, at most so many characters of them."""
        return self._last_messages(4 * most).decode(errors="replace").strip()[-most:] or "nothing on stderr"


@contextmanager
def running(
    command: Sequence[str], field: str, timeout: float, environment: Mapping[str, str] | None = None
) -> Generator[Child]:
    """Start a program in a process group of its own. The group is killed when the `with` block ends, for any reason.
    Without `environment`, it has the environment variables of this process.

    Raises AnnotatorError, which names `field`, if the program cannot be started.
    """
    # stderr goes into a file. A pipe that is not read would fill up and stop the program.
    with tempfile.TemporaryFile() as complaints, _guard() as guard:
        pipes = _Streams(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints)
        process = _started(command, field, pipes, environment)
        try:
            _write(guard, f"{process.pid}\n".encode())
            yield Child(process, complaints, command[0], field, timeout, time.monotonic())
        finally:
            _end(process)


@contextmanager
def serving(command: Sequence[str], field: str, environment: Mapping[str, str]) -> Generator[Child]:
    """Start a server in a process group of its own, with these environment variables.

    All that it writes is kept for errors. When the `with` block ends, the server is asked to end, and its group is
    killed if it does not. Raises AnnotatorError, which names `field`, if the program cannot be started.
    """
    with tempfile.TemporaryFile() as complaints, _guard() as guard:
        pipes = _Streams(stdin=subprocess.DEVNULL, stdout=complaints, stderr=complaints)
        process = _started(command, field, pipes, environment)
        try:
            _write(guard, f"{process.pid}\n".encode())
            yield Child(process, complaints, command[0], field, float("inf"), time.monotonic())
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_FAREWELL)
            _end(process)


class _Streams(NamedTuple):
    """Where a program reads and writes."""

    stdin: int
    stdout: int | IO[bytes]
    stderr: IO[bytes]


def _started(
    command: Sequence[str], field: str, streams: _Streams, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 the user's own program, without a shell
            list(command),
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            env=environment,
            process_group=0,
        )
    except (OSError, ValueError) as error:  # ValueError: an argument contains a null character
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise AnnotatorError(
            f"{field}: {command[0][:200]!r} cannot be run ({why}); give a program and its arguments as a list"
        ) from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and the processes that it started, and wait for its end."""
    # The program may have ended and left children. As long as one of them lives, no other group gets the same number.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def _guard() -> Generator[IO[bytes]]:
    """Start a guard, a process that kills a process group when burnish dies. It works on Linux and macOS.

    Yields the pipe through which the guard is told the number of the group. Only burnish holds this end of the pipe,
    and the system closes it when burnish dies, whatever the reason.
    """
    guard = subprocess.Popen(  # noqa: S603 a fixed text
        ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    assert guard.stdin is not None, guard
    try:
        yield guard.stdin
    finally:
        # Before the pipe is closed: the guard would kill the group, and its number may belong to another group by now.
        guard.kill()
        guard.wait()
        with suppress(OSError):
            guard.stdin.close()


def _write(pipe: IO[bytes], data: bytes) -> None:
    # A guard that has died cannot be told anything. The program itself can still run.
    with suppress(BrokenPipeError):
        pipe.write(data)
        pipe.flush()
