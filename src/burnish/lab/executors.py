"""Which pool computes the stages of a run, as `execution.executor` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from burnish.config import Config
from burnish.config.executors import ExecutorSettings, LocalExecutor, RayExecutor, SubmititExecutor
from burnish.errors import ConfigError
from burnish.lab.local_processes import LocalProcesses
from burnish.lab.pool import Brief, Pool
from burnish.lab.ray_pool import RayTasks, check_cluster, check_ray
from burnish.lab.submitit_pool import SubmititJobs, check_submitit


def common_executor(configs: Sequence[Config]) -> ExecutorSettings:
    """Return the executor of experiments that run together. Raises ConfigError if they have several."""
    first = configs[0].execution.executor
    for config in configs:
        if config.execution.executor != first:
            raise ConfigError(
                f"execution.executor: {config.name} has {config.execution.executor.kind} and {configs[0].name} has "
                f"{first.kind}, or other settings of it; give all experiments of a run the same one"
            )
    return first


def check_executor(executor: ExecutorSettings) -> None:
    """Check that an executor can be used, before anything is computed. Raises BackendError or ConfigError."""
    match executor:
        case LocalExecutor():
            pass
        case RayExecutor():
            check_ray(executor)
        case SubmititExecutor():
            check_submitit(executor)
        case _:
            assert_never(executor)


def check_reachable(executor: ExecutorSettings) -> None:
    """Check an executor as a run would, without a run. Raises BackendError or ConfigError."""
    check_executor(executor)
    if isinstance(executor, RayExecutor):
        check_cluster(executor)


def open_pool(brief: Brief, executor: ExecutorSettings, count: int) -> Pool:
    """Return a pool for at most `count` stages at a time. Raises ConfigError if an executor cannot be reached."""
    match executor:
        case LocalExecutor():
            return LocalProcesses(brief, count)
        case RayExecutor():
            return RayTasks(brief, executor, count)
        case SubmititExecutor():
            return SubmititJobs(brief, executor, count)
        case _:
            assert_never(executor)
