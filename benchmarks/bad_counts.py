"""What becomes of bad inputs, counted: read, refused, a traceback, a hang, or a verdict that a reply does not name."""

from __future__ import annotations

import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from burnish.errors import BurnishError, Paused

SECONDS = 10
SHOWN = 8
"""Tracebacks of a section that are shown."""
EXPECTED = (BurnishError, Paused, click.ClickException)


class TooLongError(BaseException):
    """An input took more than ten seconds. (No Exception: nothing on the way may take it for something else.)"""


@dataclass
class Section:
    """What became of a section's inputs."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    tracebacks: int = 0
    hangs: int = 0
    invented: int = 0
    misread: int = 0
    differing: int = 0
    longest_seconds: float = 0.0
    examples: list[str] = field(default_factory=list[str])

    def tell(self, what: str) -> None:
        """Keep an example of what went wrong."""
        if len(self.examples) < SHOWN:
            self.examples.append(what[:600])

    def trial(self, what: Callable[[], str], function: Callable[[], Any]) -> Any:
        """Call a function on a bad input and count what happens; returns what it returns. `what` shows the input."""
        self.inputs += 1
        started = time.monotonic()
        try:
            with limited():
                found = function()
            self.read += 1
            return found
        except EXPECTED:
            self.refused += 1
        except TooLongError:
            self.hangs += 1
            self.tell(f"hang: {what()}")
        except (Exception, RecursionError) as error:  # whatever it is: it is what is counted
            self.tracebacks += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.tell(
                f"{type(error).__name__}: {str(error)[:150]} ({Path(place.filename).name}:{place.lineno}): {what()}"
            )
        finally:
            self.longest_seconds = max(self.longest_seconds, round(time.monotonic() - started, 2))
        return None

    def wrong(self) -> str:
        """Say how often something went wrong, and what."""
        kinds = Counter(
            {
                "tracebacks": self.tracebacks,
                "hangs": self.hangs,
                "invented verdicts": self.invented,
                "misread verdicts": self.misread,
                "other results": self.differing,
            }
        )
        return ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count) or "nothing"


@contextmanager
def limited() -> Generator[None, None, None]:
    """Raise TooLongError after ten seconds."""

    def late(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
