"""Messages for people on stderr: lines, and what runs. A terminal shows bars, and a file or a pipe gets plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from burnish.report.heartbeat import Wait, heartbeat
from burnish.report.text import NBSP, duration, lines, terminal
from burnish.store.course import StagePosition

SPEED_SECONDS = 600.0
"""Over how many of the last seconds the speed of a stage is measured. A single batch may take minutes."""


SecondsLeft: TypeAlias = Callable[[], float | None]
"""Returns how many seconds are left in the whole run, or None if this is not known."""


@dataclass(slots=True)
class _Running:
    """The stage that runs: its label, its place in the run, when it started, and what is known of its progress.

    `work` names the piece of work that a backend counts itself. It is empty if rows are counted. `whole` means that
    this is a whole run, of which stages are counted: then the time that is left is the one of `position`.
    """

    label: str
    position: StagePosition | None
    started: float
    work: str = ""
    done: int = 0
    total: int | None = None
    whole: bool = False

    @property
    def words(self) -> str:
        """The label after the number of the stage, as in "[3/17] seed 0 grades"."""
        return f"[{self.position.number}/{self.position.total}] {self.label}" if self.position else self.label

    @property
    def count(self) -> str:
        """How much is done, as in "; training: 3 of 20", or nothing if the total is not known."""
        if self.total is None:
            return ""
        return f"; {self.work}: {self.done:,} of {self.total:,}" if self.work else f"; {self.done:,} of {self.total:,}"


class Terminal:
    """Prints lines and shows what runs. It is both the runner's `Talk` and the backend's `Progress`.

    On a terminal a bar shows the stage that runs and the time that is left. Elsewhere plain lines say when a stage
    starts and ends, and every minute that it is still under way. `clock` and `wait` tell the time and wait; tests
    replace them.
    """

    def __init__(
        self,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = threading.Event.wait,
    ) -> None:
        # stderr, so that stdout holds only the output that a program may read.
        self.console = console or _on_stderr()
        self._clock, self._wait = clock, wait
        # A terminal that cannot move its cursor, such as one inside an editor, gets lines, too.
        self._lines = not self.console.is_interactive
        self._bars = Progress(
            SpinnerColumn(),
            # The name of the stage gives way where the terminal is narrow. The numbers stay on one line.
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            BarColumn(bar_width=10),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            _StageTime(),
            _RunLeft(clock),
            expand=True,
            console=self.console,
            # A finished bar disappears; the line that says what was done remains.
            transient=True,
            disable=self._lines,
            get_time=clock,
            speed_estimate_period=SPEED_SECONDS,
        )
        self._task: TaskID | None = None
        self._running: _Running | None = None

    def say(self, message: str) -> None:
        """Print one line. Line breaks in the message become spaces."""
        # A log on a full disk, or a pipe whose reader is gone, must not end hours of work.
        with suppress(OSError):
            self.console.print(lines(message).replace("\n", " "), markup=False)

    @property
    def label(self) -> str:
        """The label of the stage that is running, or an empty text."""
        return "" if self._running is None else self._running.label

    def progress(self) -> tuple[int, int] | None:
        """Return how many units of the running stage are done, and of how many, or None if this is not known."""
        running = self._running
        return None if running is None or running.total is None else (running.done, running.total)

    @contextmanager
    def stage(self, label: str, position: StagePosition | None = None) -> Generator[None, None, None]:
        """Show what runs while a stage runs, and where the stage stands in its run."""
        # Labels hold users' names, so escape codes are removed.
        self._running = _Running(terminal(label), position, self._clock())
        try:
            with self._in_lines(self._running) if self._lines else self._as_bar(self._running):
                yield
        finally:
            self._running = None

    @contextmanager
    def run(self, label: str, total: int, done: int) -> Generator[Callable[[SecondsLeft], None], None, None]:
        """On a terminal, show one bar for a whole run that workers compute: how many of its stages are finished.

        Call what it gives when a stage is finished. It may be called from another thread.
        """
        if self._lines:
            yield lambda left: None
            return
        running = _Running(label, None, self._clock(), whole=True)
        with self._as_bar(running):
            bar = self._task
            assert bar is not None
            self._bars.reset(bar, total=total, completed=done)

            def finished(left: SecondsLeft) -> None:
                running.done, running.started = running.done + 1, self._clock()
                running.position = StagePosition(number=done + running.done, total=total, expected=left(), rest=0.0)
                self._bars.advance(bar, 1)

            yield finished

    @contextmanager
    def _as_bar(self, running: _Running) -> Generator[None, None, None]:
        # total=None shows a moving bar until `start` or `rows` knows how much work there is.
        self._task = self._bars.add_task(running.words, total=None, running=running)
        self._bars.start()
        try:
            yield
        finally:
            self._bars.stop()
            self._bars.remove_task(self._task)
            self._task = None

    @contextmanager
    def _in_lines(self, running: _Running) -> Generator[None, None, None]:
        def since() -> str:
            return duration(self._clock() - running.started).replace(NBSP, " ")

        def beat() -> None:
            self.say(f"{running.words}: under way for {since()}{running.count}")

        self.say(f"{running.words}: started")
        end = "stopped after"
        try:
            with heartbeat(beat, self._wait):
                yield
            end = "finished in"
        finally:
            self.say(f"{running.words}: {end} {since()}")

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Begin a piece of work of `total` units within the stage. An earlier run did `done` of them."""
        if self._running is not None:
            # One bar serves all pieces of work of a stage, one after the other.
            self._running.work, self._running.done, self._running.total = label, done, total
            if self._task is not None:
                words = f"{self._running.words}: {label}"
                self._bars.reset(self._task, total=total, completed=done, description=words)

    def advance(self, amount: int) -> None:
        """Record that `amount` more units are done."""
        if self._running is not None:
            self._running.done += amount
            if self._task is not None:
                self._bars.advance(self._task, amount)

    def rows(self, done: int, total: int) -> None:
        """Record how many rows of the stage are done. A backend that counts its own work knows it more exactly, and
        then its count is shown."""
        running = self._running
        if running is None or running.work:
            return
        new, running.done = done - running.done, done
        if running.total is None:
            running.total = total
            if self._task is not None:
                self._bars.reset(self._task, total=total, completed=done)
        elif self._task is not None:
            self._bars.advance(self._task, new)


class _StageTime(TimeRemainingColumn):
    """The time that is left in the running piece of work, from the speed of the last minutes. As long as the speed is
    not known, the time that has passed."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        running: _Running = task.fields["running"]
        # Stages of a run differ too much to say anything by their number.
        if running.whole or task.total is None or task.time_remaining is None:
            return Text(f"for {timedelta(seconds=int(task.elapsed or 0))}", style="progress.elapsed")
        return super().render(task).append(" left")


class _RunLeft(ProgressColumn):
    """The time that is left in the whole run, as `StagePosition.left` estimates it. It is empty as long as nothing is
    known."""

    max_refresh = 0.5

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._clock = clock

    def render(self, task: Task) -> Text:
        running: _Running = task.fields["running"]
        of_stage = None if task.total is None or running.whole else task.time_remaining
        position = running.position
        left = None if position is None else position.left(self._clock() - running.started, of_stage)
        if left is None:
            return Text()
        # In the form of the columns beside it: hours, minutes, seconds.
        return Text(f"run: {timedelta(seconds=int(left))} left", style="progress.remaining")


class _Stderr(Console):
    """A console on stderr that falls silent if nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Stop printing. The console of `rich` would end the process, and with it hours of work."""
        self.quiet = True


def _on_stderr() -> Console:
    """Return a console on stderr. Programs that look for colours in a log set FORCE_COLOR, so only stderr itself says
    whether it is a terminal."""
    plain = _Stderr(stderr=True, highlight=False, soft_wrap=True, force_terminal=False)
    return _Stderr(stderr=True, highlight=False, soft_wrap=True) if plain.file.isatty() else plain
