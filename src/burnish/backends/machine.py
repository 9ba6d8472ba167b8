"""What an experiment runs on: the backend, threads, versions, memory. Provenance, never identity."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Callable, Mapping
from typing import Any

from burnish import __version__, backends
from burnish.config import Execution, ModelConfig
from burnish.models import location
from burnish.protocols import Backend

LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "numpy",
    "openai",
    "sentence-transformers",
)


def opener_of(
    execution: Execution, student: ModelConfig, progress: backends.Progress, sources: Mapping[str, ModelConfig]
) -> Callable[[], Backend]:
    """Return what opens the backend when a stage first needs it, and once only."""
    execution = execution.model_copy(update={"threads": threads_of(execution, student)})
    return functools.cache(lambda: backends.open_backend(execution, progress, sources))


def threads_of(execution: Execution, student: ModelConfig) -> int:
    """Return the CPU threads of one process. The built-in models are so small that a second thread slows them down."""
    if execution.threads != "auto":
        return execution.threads
    if student.source.startswith(location.BUILTIN):
        return 1
    # More threads than cores would make the workers wait for each other.
    return max(1, (os.cpu_count() or 1) // execution.workers)


def provenance(execution: Execution, student: ModelConfig) -> dict[str, Any]:
    """Return what a manifest records besides identity: versions, machine, execution settings."""
    settings = execution.model_dump(mode="json") | {"threads": threads_of(execution, student)}
    return {"versions": versions(), "platform": platform.platform(), "execution": settings}


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of burnish and of the libraries that are installed, without importing them."""
    found = {"burnish": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            # From the metadata of the installed package. `import torch` alone would take seconds.
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> int:
    """Return the largest resident size of this process or of a worker so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Of the children only those that ended are counted, and the largest of them, not their sum.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * unit
