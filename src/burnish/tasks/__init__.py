"""Tasks: one file each; what a right answer is."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from burnish.config import Gsm8kTask, InstructionsTask, SumsTask, TaskConfig, TextToSqlTask, WordProblemsTask
from burnish.errors import ConfigError
from burnish.protocols import Grader, Task
from burnish.tasks import gsm8k, instruction_answers, instructions, sql_answers, sums, text_to_sql, word_problems
from burnish.tasks.numbers import MarkedAnswers, NumericAnswers

__all__ = ["local_files", "make_task", "task_named"]


def make_task(config: TaskConfig) -> Task:
    """Return the task that a config describes; nothing is read before `load`."""
    match config:
        case SumsTask():
            return sums.Sums(config)
        case Gsm8kTask():
            return gsm8k.Gsm8k(config)
        case WordProblemsTask():
            return word_problems.WordProblems(config)
        case TextToSqlTask():
            return text_to_sql.make(config)
        case InstructionsTask():
            return instructions.Instructions(config)
        case _:
            assert_never(config)


def task_named(kind: str) -> Grader:
    """Return what grades answers of a kind of task, without its data. Raises ConfigError for an unknown kind."""
    match kind:
        case gsm8k.KIND | word_problems.KIND:
            return NumericAnswers()
        case sums.KIND:
            return MarkedAnswers()
        case sql_answers.KIND:
            return sql_answers.SqlAnswers()
        case instruction_answers.KIND:
            return instruction_answers.InstructionAnswers()
        case _:
            raise ConfigError(
                f"task: {kind!r} is unknown; choose gsm8k, instructions, sums, text_to_sql or word_problems"
            )


def local_files(config: TaskConfig) -> tuple[Path, ...]:
    """Return the local files that a task reads, none for generated data and hub ids.

    Their content is the input of the stages that load the task. Raises ConfigError where one is missing.
    """
    match config:
        case SumsTask():
            return ()
        case Gsm8kTask():
            return gsm8k.local_files(config)
        case WordProblemsTask():
            return word_problems.local_files(config)
        case TextToSqlTask():
            return text_to_sql.local_files(config)
        case InstructionsTask():
            return instructions.local_files(config)
        case _:
            assert_never(config)
