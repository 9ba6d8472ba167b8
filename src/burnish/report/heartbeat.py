"""A thread that says every minute that long work is still under way, also while the main thread is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeAlias

Wait: TypeAlias = Callable[[threading.Event, float], bool]
"""Waits until the event is set, but at most so many seconds, and says whether it is set."""
SECONDS = 60.0
"""How often a long stage is reported."""


@contextmanager
def heartbeat(beat: Callable[[], None], wait: Wait = threading.Event.wait) -> Generator[None, None, None]:
    """Call `beat` every minute until the block ends, however it ends."""
    over = threading.Event()

    def run() -> None:
        # A log that cannot be written, such as a full disk, must not end the run that it reports.
        with suppress(OSError):
            while not wait(over, SECONDS):
                beat()

    # A thread, because the main thread may be inside one long call of torch. A daemon, so that it never keeps a process
    # alive.
    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # No line of this stage may come after the line that says how it ended.
        thread.join()
