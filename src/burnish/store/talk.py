"""How a runner tells people what it does."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from burnish.store.course import StagePosition


class Talk(Protocol):
    """Tells people what a runner does. Data is never written there."""

    def say(self, message: str) -> None:
        """Print one line."""
        ...

    @contextmanager
    def stage(self, label: str, position: StagePosition | None = None) -> Generator[None, None, None]:
        """Show that a stage is running, and where it stands in the run."""
        yield

    def rows(self, done: int, total: int) -> None:
        """Show how many rows of the running stage are done."""
        ...


@runtime_checkable
class KnowsProgress(Protocol):
    """A `Talk` that knows how far the running stage is. It is an optional ability."""

    def progress(self) -> tuple[int, int] | None:
        """Return how many units of how many are done, or None if this is not known."""
        ...
