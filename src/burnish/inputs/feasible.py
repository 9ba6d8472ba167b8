"""Finds what cannot work, before anything is spent: programs that cannot start, too few rows, a cap of 0,
several copies of a command."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from burnish.algorithms.refinement import cap
from burnish.backends.machine import visible_gpus
from burnish.config import Cap, Execution, MethodSettings, WantedProgram
from burnish.config.executors import LocalExecutor, most_processes
from burnish.errors import ConfigError, DataError, brief
from burnish.report.text import plural
from burnish.services.startable import check_startable


def check_programs(wanted: Iterable[WantedProgram]) -> None:
    """Raise ConfigError, which names the field, for the first program that cannot be started. None is started."""
    for program in wanted:
        check_startable(program.command, program.field)


def check_parts(method: MethodSettings, prompts: int, rows: int, where: str) -> None:
    """Check that a round can divide the rows into its parts.

    Rows of one prompt stay together, so there must be as many different `prompts` as parts. `where` names the rows in
    the error. Raises DataError if there are too few.
    """
    if prompts < method.parts:
        raise DataError(
            f"{where}: {plural(rows, 'row')} with {plural(prompts, 'different prompt')} found, but the method "
            f"{method.kind} divides them into {method.parts} parts, and rows of one prompt stay together; use rows "
            f"with at least {method.parts} different prompts"
        )


def check_caps(method: MethodSettings, field: str, rows: int, where: str) -> None:
    """Check that a round may change anything at all.

    `field` is the config field of the method, and `where` names the rows in the error. Raises ConfigError if the
    method's share of the rows is less than one of them.
    """
    for bound in method.caps:
        count = rows * bound.per_row
        if cap(bound.share, count) == 0:
            raise ConfigError(_of_nothing(bound, f"{field}.{bound.field}", rows, where))


def _of_nothing(bound: Cap, field: str, rows: int, where: str) -> str:
    """Return the error for a cap of 0: which share of how many rows it is, and what would allow one change."""
    count = rows * bound.per_row
    things = plural(rows, "row") if bound.per_row == 1 else f"{plural(count, 'pair')} of {plural(rows, 'row')}"
    needed = math.ceil(1 / (bound.share * bound.per_row) - 1e-9)
    return (
        f"{field}: {bound.share:g} found, but {where} has {things}, and {bound.share:g} of them is less than one: "
        f"nothing could ever change. Set {field} to at least {least_share(count)}, or use at least "
        f"{plural(needed, 'row')}"
    )


def least_share(count: int) -> str:
    """Return the smallest share, with four digits, of which `count` things give at least one: 0.1667 for 6."""
    # Rounded up: with 0.1666, the share of 6 things would be 0.
    digits = max(4, 4 + math.ceil(math.log10(count)) - 1)
    return f"{math.ceil(10**digits / count) / 10**digits:g}" if count > 1 else "1"


def check_processes(execution: Execution) -> None:
    """Check that the processes which are to share trainings can do so, before anything is spent.

    Raises ConfigError, which names the field, if this machine has too few GPUs for them, or if a training is to be
    split and has one process.
    """
    several, name = most_processes(execution.needs)
    if execution.split_training != "none" and several == 1:
        raise ConfigError(
            "execution.split_training: fsdp2 found, but each training has one process. Set the number of GPUs over "
            "which a training is split, as in execution.needs: {train: {processes: 2}}, or leave split_training out "
            "and set execution.device_map: auto (docs/scale.md)"
        )
    # What the nodes of Ray and Slurm have is not known here.
    if several > 1 and execution.device in {"auto", "cuda"} and isinstance(execution.executor, LocalExecutor):
        gpus = len(visible_gpus())
        if 0 < gpus < several:
            raise ConfigError(
                f"execution.needs.{name}.processes: {several} found, but {plural(gpus, 'GPU')} can be used here, and "
                f"each process has one of its own; set processes to at most {gpus}, or execution.device: cpu"
            )


def in_one_process(execution: Execution, what: str) -> Execution:
    """Return the settings for a verb that computes everything in this process: `workers` do not count for it.

    `what` names its work, as in "a refinement". Raises ConfigError if the stages are to be computed elsewhere.
    """
    if not isinstance(execution.executor, LocalExecutor):
        raise ConfigError(
            f"execution.executor: {execution.executor.kind} found, but {what} is computed by one process on this "
            "machine; leave it out (`burnish run` is the command that uses clusters)"
        )
    return execution.model_copy(update={"workers": 1})


def check_launched_once() -> None:
    """Check that no launcher such as torchrun has started this command in several copies.

    The copies would wait for each other's locks, or do the same work. Raises ConfigError if there are several.
    """
    # Launchers tell each copy how many there are.
    copies = os.environ.get("WORLD_SIZE", "1")
    if copies.strip().isdecimal() and int(copies) > 1:
        raise ConfigError(
            f"WORLD_SIZE: {brief(copies)} found in the environment, so torchrun or another launcher has started "
            "several copies of this command, which would wait for each other. Start it once, without a launcher "
            "(`burnish run` starts its own processes, see execution.workers), or unset WORLD_SIZE"
        )
