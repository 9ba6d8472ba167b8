"""The verb `grade`: a file of predictions against references, without any model library."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import ConfigError, DataError
from burnish.protocols import Grader
from burnish.stats import wilson
from burnish.store import dump_line, read_objects, write_atomic
from burnish.tasks import task_named
from burnish.types import Example, Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeSummary:
    """How many predictions are right, with Wilson's 95 % interval; `no_answer` of the wrong ones hold no answer."""

    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    no_answer: int


def grade(task: str, predictions: Path, out: Path | None = None) -> GradeSummary:
    """Grade the `prediction` of every JSONL row against its `reference`: a text with a final answer, or a number.

    `out` gets all rows with two more columns, `correct` and `extracted` (null where there is no answer); columns of
    these names are replaced. It is written whole or not at all and may be the file of predictions itself.
    Raises DataError naming file and line, ConfigError for an unknown task.
    """
    if out is not None and out.is_dir():
        raise ConfigError(f"out: {str(out)!r} is a folder; name a file")
    grader = task_named(task)
    grades: list[Grade] = []
    lines: list[bytes] = []
    for number, row in read_objects(predictions):
        result = _grade_row(grader, f"{predictions}:{number}", row)
        grades.append(result)
        if out is not None:
            lines.append(dump_line({**row, "correct": result.correct, "extracted": result.extracted}))
    if not grades:
        raise DataError(f"{predictions}: no rows; each line must be one JSON object with `prediction` and `reference`")
    if out is not None:
        data = b"".join(lines)
        write_atomic(out, gzip.compress(data, mtime=0) if out.suffix == ".gz" else data)
    return _summary(grades)


def _grade_row(grader: Grader, where: str, row: Mapping[str, Any]) -> Grade:
    for name in ("prediction", "reference"):
        if name not in row:
            raise DataError(f"{where}: no column {name!r}; each row needs `prediction` and `reference`")
    prediction, reference = row["prediction"], row["reference"]
    if not isinstance(prediction, str):
        raise DataError(f"{where}: the prediction is {prediction!r:.80}; write the model's answer as a string")
    if isinstance(reference, bool) or not isinstance(reference, str | int | float):
        raise DataError(f"{where}: the reference is {reference!r:.80}; write a text with a final answer, or a number")
    return grader.grade(Example(id=where, group="", prompt=(), reference=str(reference)), prediction)


def _summary(grades: list[Grade]) -> GradeSummary:
    correct = sum(result.correct for result in grades)
    interval = wilson(correct, len(grades))
    assert interval.ci95 is not None, interval
    low, high = interval.ci95
    return GradeSummary(
        n=len(grades),
        correct=correct,
        accuracy=interval.value,
        low=low,
        high=high,
        no_answer=sum(result.extracted is None for result in grades),
    )
