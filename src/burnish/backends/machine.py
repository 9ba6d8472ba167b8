"""What an experiment runs on: backend, threads, versions of libraries, memory. It is recorded in manifests, but it is
never part of the identity of a stage."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from burnish import __version__, backends
from burnish.backends.tracking import Speaker, tracking_of
from burnish.config import Execution, ModelConfig
from burnish.config.executors import LocalExecutor
from burnish.models import location
from burnish.protocols import Backend


class Talks(backends.Progress, Speaker, Protocol):
    """Shows progress and lines."""


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
    execution: Execution,
    student: ModelConfig | None,
    terminal: Talks,
    sources: Mapping[str, ModelConfig],
    project: str,
) -> Callable[[], Backend]:
    """Return a function that opens the backend at its first call and then always returns the same one.

    `project` is the name of the experiment, under which its metrics are sent if `report_to` asks for it.
    """
    execution = execution.model_copy(update={"threads": threads_of(execution, student)})
    tracking = tracking_of(execution, project, terminal)
    return functools.cache(lambda: backends.open_backend(execution, terminal, sources, tracking))


def threads_of(execution: Execution, student: ModelConfig | None) -> int:
    """Return the number of CPU threads of one process.

    It is 1 for the built-in models, because they are so small that a second thread slows them down. `student` is None
    if no model is trained. `auto` divides the cores that this process may use among the workers, and never takes more
    threads than the environment variable OMP_NUM_THREADS allows.
    """
    if execution.threads != "auto":
        return execution.threads
    if student is not None and student.source.startswith(location.BUILTIN):
        return 1
    # More threads than cores would make the workers wait for each other. On a shared machine OMP_NUM_THREADS says how
    # many cores are meant for one process. Two threads that share one free core are much slower than one.
    # Ray and Slurm give each stage its own cores.
    sharing = execution.workers if isinstance(execution.executor, LocalExecutor) else 1
    share = max(1, usable_cores() // sharing)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(allowed)) if allowed.isdecimal() and int(allowed) > 0 else share


def usable_cores() -> int:
    """Return the number of cores that this process may use. Schedulers of clusters often give a job only some cores."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Return the GPUs of NVIDIA that this process may use, as CUDA_VISIBLE_DEVICES names them. torch is not imported.

    They are known on Linux, and wherever CUDA_VISIBLE_DEVICES is set.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def provenance(execution: Execution, student: ModelConfig | None) -> dict[str, Any]:
    """Return what a manifest records besides the identity: versions, machine, execution settings."""
    settings = execution.model_dump(mode="json") | {"threads": threads_of(execution, student)}
    return {"versions": versions(), "platform": platform.platform(), "execution": settings}


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of burnish and of the libraries that are installed, without importing them."""
    found = {"burnish": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            # It is read from the metadata of the installed package. `import torch` alone would take seconds.
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> int:
    """Return the largest amount of memory (resident size) of this process or of a worker so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Only child processes that ended are counted. The value is that of the largest one and not their sum.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * unit
