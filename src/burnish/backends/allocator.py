"""Gives freed memory back to the system while a model is trained on a CPU.

The C library keeps freed blocks. The passes of a training need blocks of other sizes in another order each time, so
that the holes between blocks in use grow (docs/scale.md has the figures).
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Return the function of glibc that gives free pages back, or None where another C library is."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def give_back() -> None:
    """Give all free pages back to the system, also those between blocks in use."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


class GivesBack(TrainerCallback):
    """Gives memory back after each pass of a training."""

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give back what a pass has freed."""
        give_back()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give back what the last pass of a step and the optimiser have freed."""
        give_back()
