"""Tasks: the data of an experiment, and what a right answer is. Each task has a file of its own."""

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
    """The functions of a kind of task: they make the task, make only its grader, and list the local files it reads."""

    make: Callable[[Any], Task]
    grader: Callable[[], Grader]
    files: Callable[[Any], Mapping[str, Sequence[Path]]]


# TASKS has the settings class for each name in a config. This table has the functions for each of these classes.
_entries: dict[type[TaskSettings], _Entry] = {}


def _no_files(config: TaskSettings) -> Mapping[str, Sequence[Path]]:
    return {}


def register_task(
    settings: type[T],
    make: Callable[[T], Task],
    grader: Callable[[], Grader],
    files: Callable[[T], Mapping[str, Sequence[Path]]] = _no_files,
) -> None:
    """Add a kind of task, so that configs can name it.

    `settings` is a subclass of `burnish.config.TaskSettings`. `make` returns the task. `grader` returns an object that
    grades answers without the task's data, for `burnish grade`. `files` returns {role: local files}, and the content of
    these files identifies the data. Raises ConfigError if another class already has this kind.
    """
    # TASKS comes first, because it refuses a kind that another class has. A refused class must not get into the table.
    TASKS.add(settings)
    _entries[settings] = _Entry(make=make, grader=grader, files=files)


def make_task(config: TaskSettings) -> Task:
    """Return the task that a config describes. No file is read before its method `load` is called.

    Raises ConfigError if the kind of task is not registered.
    """
    return _entry(type(config)).make(config)


def task_named(kind: str) -> Grader:
    """Return the grader of answers of a kind of task, without the task's data. Raises ConfigError for an unknown
    kind."""
    settings = TASKS.get(kind)
    if settings is None:
        *others, last = sorted(TASKS.all())
        raise ConfigError(f"task: {kind!r} is unknown; choose {', '.join(others)} or {last}")
    return _entry(settings).grader()


def files_by_role(config: TaskSettings) -> Mapping[str, Sequence[Path]]:
    """Return {role: the local files that a task reads}. It is empty for generated data and for hub ids.

    The content of these files is the input of the stages that load the task. Raises ConfigError if a file is missing.
    """
    # A hub dataset has no local files. With an empty role, the data would look identified, and nothing would ask for
    # the commit on the hub.
    return {role: paths for role, paths in _entry(type(config)).files(config).items() if paths}


def local_files(config: TaskSettings) -> tuple[Path, ...]:
    """Return all local files that a task reads, each file once. Raises ConfigError if a file is missing."""
    # A file may have two roles: SaferPaca's test file is both `general_test` and `safety_test`.
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
