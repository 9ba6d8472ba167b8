"""How the C library keeps memory that a model has freed on a CPU, and how processes are started that keep less.

torch asks for blocks that begin at a multiple of 64 bytes. glibc cuts the few bytes before and after such a block off
and keeps them in its caches for small blocks. When the block is freed, they lie between it and its neighbours, so that
the hole is a little too small for the next block of the same size, which goes to new memory. Without these caches,
holes are filled again. docs/scale.md has the figures.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Mapping

VARIABLE = "GLIBC_TUNABLES"
"""The environment variable with the settings of glibc. It is read when a process starts."""
NO_CACHES = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
"""Its value for a glibc without caches for small blocks."""


@functools.cache
def of_glibc() -> bool:
    """Say whether the C library is glibc."""
    return platform.libc_ver()[0] == "glibc"


def filling_holes(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variable for a process that computes with models on a CPU. It is empty if the user has set
    the variable, or with another C library."""
    given = os.environ if environment is None else environment
    return {} if VARIABLE in given or not of_glibc() else {VARIABLE: NO_CACHES}


def keeps_holes(alone: bool) -> bool:
    """Say whether memory that models on a CPU have freed is kept. `alone` means that this process itself computes, and
    does not start others."""
    return of_glibc() and (alone or VARIABLE in os.environ) and NO_CACHES not in os.environ.get(VARIABLE, "")
