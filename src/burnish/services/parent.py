"""Ends a process when the process that started it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
"""The option of Linux's prctl(2) that sends this process a signal when its parent dies."""
POLL_SECONDS = 0.2
"""How often a process looks whether its parent still lives, in seconds."""


def die_with(parent: int) -> None:
    """End this process when `parent` ends. On Linux the kernel does it; elsewhere a thread looks five times a
    second."""
    if sys.platform == "linux":
        # The kernel does it even when the parent is killed with SIGKILL and cannot act itself.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Also on Linux: the parent may have died before prctl was called. A daemon thread does not keep the process alive.
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """Kill this process as soon as its parent is another one than `parent`."""
    # A process whose parent died gets another parent, so the id of its parent changes.
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
