"""Child processes that speak with a run in lines: they read assignments from stdin, and write reports to stdout."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

from burnish.lab.pool import BRIEF, About, Assignment, Brief, Report, line_of, read_line
from burnish.store.runners import LESS_MEMORY

WORDS = 3
"""How many of the last lines on a dead child's stderr are shown with its death."""


@dataclass(slots=True, eq=False)
class ChildWorker:
    """A child process. `at` is what it computes now, and `words` are the last lines on its stderr. `dead_since` is
    when its death was noticed, and `gpu` is the GPU that it sees, if there are several."""

    process: subprocess.Popen[bytes]
    at: Assignment | None = None
    words: deque[str] = field(default_factory=lambda: deque[str](maxlen=WORDS))
    listener: threading.Thread | None = None
    dead_since: float | None = None
    gpu: str = ""

    def give(self, assignment: Assignment) -> None:
        """Send an assignment. Nothing happens if the child is dead."""
        assert self.process.stdin is not None
        # A child that has just died cannot be written to. Its death is noticed elsewhere.
        with suppress(BrokenPipeError):
            self.process.stdin.write(line_of(assignment))
            self.process.stdin.flush()

    def let_go(self) -> None:
        """Close its stdin, so that it ends by itself when it has nothing to do."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self, patience: float) -> None:
        """Wait for its end, and kill it after `patience` seconds."""
        try:
            self.process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


Hear = Callable[[ChildWorker, Report | None], None]
"""Takes a report of a child, or None when its stdout is closed. It is called in another thread."""


def file_of(brief: Brief) -> IO[bytes]:
    """Return an open file with the brief.

    A file and not a pipe: writing a long brief into a pipe would wait until the child has started and reads it. It has
    no name, so that a killed run leaves nothing behind.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 who asked for it closes it
    file.write(BRIEF.dump_json(brief))
    file.flush()
    return file


def start_child(
    command: Sequence[str],
    brief: IO[bytes],
    hear: Hear,
    environment: Mapping[str, str] | None = None,
    aloud: bool = True,
) -> ChildWorker:
    """Start a child process, with a thread for each of its outputs.

    It gets the process id of this process and the number of the file with the brief, and `environment` in addition to
    that of this process. The lines on its stderr are heard, too, if it speaks `aloud`.
    """
    with _deaf():
        # S603 warns of commands from outside: this is our own interpreter and module.
        process = subprocess.Popen(  # noqa: S603
            [*command, str(os.getpid()), str(brief.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[brief.fileno()],
            env={**os.environ, **(environment or {})},
        )
    child = ChildWorker(process)
    child.listener = threading.Thread(target=_hear_words, args=(child, hear if aloud else None), daemon=True)
    child.listener.start()
    threading.Thread(target=_hear_reports, args=(child, hear), daemon=True).start()
    return child


def _hear_reports(child: ChildWorker, hear: Hear) -> None:
    assert child.process.stdout is not None
    with child.process.stdout as lines:
        for line in lines:
            # A child that is killed may leave a part of a line. And a library may print while it is imported.
            with suppress(ValueError):
                hear(child, read_line(line, Report))
    hear(child, None)


def _hear_words(child: ChildWorker, hear: Hear | None) -> None:
    assert child.process.stderr is not None
    with child.process.stderr as lines:
        for line in lines:
            if words := line.decode(errors="replace").rstrip():
                child.words.append(words.split("\r")[-1])
                if hear is not None:
                    hear(child, Report(about=About.SAID, message=child.words[-1]))


def died(code: int, words: Sequence[str]) -> str:
    """Say how a worker died. `code` is its return code, and `words` are the last lines on its stderr."""
    last = f"; its last words: {' | '.join(words)}" if words else ""
    if code >= 0:
        return f"its worker ended with exit code {code}{last}"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:  # signals without a name, such as real-time signals
        name = ""
    # The kernel ends a process with SIGKILL if no memory is left.
    memory = f"; it may have run out of memory: {LESS_MEMORY}" if code == -signal.SIGKILL else ""
    return f"its worker was killed by signal {-code}{name}{memory}{last}"


@contextmanager
def _deaf() -> Generator[None, None, None]:
    """Start processes that ignore Ctrl-C from their first instruction on.

    A terminal sends Ctrl-C to all processes at once. The run ends its workers itself. Without this each worker would
    print a traceback.
    """
    # A child inherits the blocked signals of its parent, so SIGINT is blocked while it starts.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
