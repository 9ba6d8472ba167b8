"""Tasks: one file each; what a right answer is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from burnish.config import (
    TASKS,
    Gsm8kTask,
    InstructionsTask,
    SumsTask,
    TaskSettings,
    TextToSqlTask,
    WordProblemsTask,
)
from burnish.errors import ConfigError
from burnish.protocols import Grader, Task
from burnish.tasks import (
    gsm8k,
    instruction_answers,
    instructions,
    sql_answers,
    sums,
    text_to_sql,
    word_problems,
)
from burnish.tasks.numbers import NumericAnswers, SumAnswers

__all__ = ["files_by_role", "local_files", "make_task", "register_task", "task_named"]

T = TypeVar("T", bound=TaskSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """How a kind of task is made: with its data, and as a grader alone; and which local files it reads."""

    make: Callable[[Any], Task]
    grader: Callable[[], Grader]
    files: Callable[[Any], Mapping[str, Sequence[Path]]]


# TASKS finds the settings class for the name in a config. This table finds everything else for that class.
_entries: dict[type[TaskSettings], _Entry] = {}


def _no_files(config: TaskSettings) -> Mapping[str, Sequence[Path]]:
    return {}


def register_task(
    settings: type[T],
    make: Callable[[T], Task],
    grader: Callable[[], Grader],
    files: Callable[[T], Mapping[str, Sequence[Path]]] = _no_files,
) -> None:
    """Let configs name a kind of task.

    `settings` inherits from `burnish.config.TaskSettings`. `make` returns the task, and `grader` what grades answers
    without the task's data (`burnish grade`). `files` returns {role: local files}: their content identifies the data.
    Raises ConfigError where the kind is taken by another class.
    """
    # TASKS comes first: it refuses a kind that another class has, and a refused class must not be left in the table.
    TASKS.add(settings)
    _entries[settings] = _Entry(make=make, grader=grader, files=files)


def make_task(config: TaskSettings) -> Task:
    """Return the task that a config describes; nothing is read before `load`."""
    return _entry(type(config)).make(config)


def task_named(kind: str) -> Grader:
    """Return what grades answers of a kind of task, without its data. Raises ConfigError for an unknown kind."""
    settings = TASKS.get(kind)
    if settings is None:
        *others, last = sorted(TASKS.all())
        raise ConfigError(f"task: {kind!r} is unknown; choose {', '.join(others)} or {last}")
    return _entry(settings).grader()


def files_by_role(config: TaskSettings) -> Mapping[str, Sequence[Path]]:
    """Return {role: the local files that a task reads}, nothing for generated data and hub ids.

    Their content is the input of the stages that load the task. Raises ConfigError where one is missing.
    """
    # A hub dataset has no local files. An empty role would look like data that are identified, and the commit on the
    # hub would not be asked for.
    return {role: paths for role, paths in _entry(type(config)).files(config).items() if paths}


def local_files(config: TaskSettings) -> tuple[Path, ...]:
    """Return all local files that a task reads, each once. Raises ConfigError where one is missing."""
    # One file may have two roles: SaferPaca's test file is both `general_test` and `safety_test`.
    return tuple(dict.fromkeys(path for paths in files_by_role(config).values() for path in paths))


def _entry(settings: type[TaskSettings]) -> _Entry:
    if settings not in _entries:
        raise ConfigError(f"task: {settings.__name__} is not registered; call burnish.register_task")
    return _entries[settings]


register_task(SumsTask, sums.Sums, SumAnswers)
register_task(Gsm8kTask, gsm8k.Gsm8k, NumericAnswers, lambda config: {"files": gsm8k.local_files(config)})
register_task(
    WordProblemsTask,
    word_problems.WordProblems,
    NumericAnswers,
    lambda config: {"files": word_problems.local_files(config)},
)
register_task(
    TextToSqlTask, text_to_sql.make, sql_answers.SqlAnswers, lambda config: {"files": text_to_sql.local_files(config)}
)
register_task(InstructionsTask, instructions.Instructions, instruction_answers.InstructionAnswers, instructions.sources)
