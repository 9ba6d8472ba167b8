"""A terminal in memory, for tests of what a terminal shows."""

from __future__ import annotations

import io
import re

from rich.console import Console

from burnish.report.terminal import Terminal


class Screen:
    """A terminal in memory with a clock that the test sets."""

    def __init__(self, width: int = 140) -> None:
        self.now, self.written = 0.0, io.StringIO()
        environment = {"TERM": "xterm"}
        console = Console(file=self.written, force_terminal=True, width=width, _environ=environment)
        self.terminal = Terminal(console=console, clock=lambda: self.now)

    @property
    def last(self) -> str:
        """What a bar showed last, without escape codes."""
        bars = [line for line in re.split(r"[\r\n]+", self.written.getvalue()) if "━" in line]
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", bars[-1])
