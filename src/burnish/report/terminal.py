"""Messages for people on stderr: lines, and progress bars, which appear only on a terminal."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from burnish.report.text import lines, terminal


class Terminal:
    """Prints lines and shows what runs. It is both the runner's `Talk` and the backend's `Progress`.

    If several workers share a terminal, only one of them may draw `bars`.
    """

    def __init__(self, bars: bool = True) -> None:
        # stderr, so that stdout holds only the output that a program may read.
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            # A finished bar disappears; the line that says what was done remains.
            transient=True,
            disable=not (bars and self.console.is_terminal),
        )
        self._task: TaskID | None = None
        self._label = ""

    def say(self, message: str) -> None:
        """Print one line. Line breaks in the message become spaces."""
        self.console.print(lines(message).replace("\n", " "), markup=False)

    @contextmanager
    def stage(self, label: str) -> Generator[None, None, None]:
        """Show a bar while a stage runs."""
        # Labels hold users' names, so escape codes are removed.
        self._label = terminal(label)
        # total=None shows a moving bar until `start` knows how much work there is.
        self._task = self._bars.add_task(self._label, total=None)
        self._bars.start()
        try:
            yield
        finally:
            self._bars.stop()
            self._bars.remove_task(self._task)
            self._task = None

    def start(self, label: str, total: int) -> None:
        """Begin a piece of work of `total` units within the stage."""
        if self._task is not None:
            # One bar serves all pieces of work of a stage, one after the other.
            self._bars.reset(self._task, total=total, description=f"{self._label}: {label}")

    def advance(self, amount: int) -> None:
        """Record that `amount` more units are done."""
        if self._task is not None:
            self._bars.advance(self._task, amount)
