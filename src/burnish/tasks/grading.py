"""The verb `grade`: a file of predictions against references, without any model library."""

from __future__ import annotations

import dataclasses
import gzip
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.errors import ConfigError, DataError
from burnish.protocols import Grader
from burnish.sql.compare import Equality
from burnish.sql.databases import check_database
from burnish.stats import wilson
from burnish.store.files import read_lines, write_atomic
from burnish.tasks import task_named
from burnish.tasks.instruction_answers import CATEGORY
from burnish.tasks.members import Member, members, with_columns
from burnish.tasks.sql_answers import DATABASE, Judged, SqlAnswers
from burnish.types import Example

REFERENCE = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeSummary:
    """How many predictions are right, with Wilson's 95 % interval; `no_answer` of the wrong ones hold no answer.

    Where answers are executed: `outcomes` counts what became of the predictions of all rows, and `no_reference` rows
    are not in `n`, since their reference does not run.
    """

    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    no_answer: int
    outcomes: Mapping[str, int] = field(default_factory=dict[str, int])
    no_reference: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graded:
    """One row's new columns; `correct` is None where the reference does not run, `outcome` where none is executed."""

    correct: bool | None
    extracted: str | None
    outcome: str | None = None
    why: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """What `out` gets."""
        executed = {"outcome": self.outcome, "why": self.why} if self.outcome is not None else {}
        return {"correct": self.correct, "extracted": self.extracted, **executed}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prediction:
    """A row as it was read and as it was written."""

    where: str
    row: dict[str, Any]
    members: list[Member]

    @classmethod
    def of(cls, where: str, line: bytes, row: dict[str, Any]) -> _Prediction:
        """Return a line; a number as the reference becomes its text, since a float would lose digits of it."""
        found = members(line)
        reference = row.get(REFERENCE)
        # `true` is an int for Python. It stays what it is, so that it is refused as a reference.
        if isinstance(reference, int | float) and not isinstance(reference, bool):
            # If a name comes twice in an object, JSON parsers take the last value.
            written = next(member.value for member in reversed(found) if member.name == REFERENCE)
            row = {**row, REFERENCE: Written(written)}
        return cls(where=where, row=row, members=found)


class Written(str):
    """A number as it stands in the file."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show it as a number."""
        return str(self)


def grade(task: str, predictions: Path, out: Path | None = None, equality: str | None = None) -> GradeSummary:
    """Grade the `prediction` of every JSONL row against its `reference`: a text with a final answer, or a number.

    For text_to_sql the reference is a query, and `database` the path of its database, relative to the file's folder.
    A row whose reference does not run is counted apart. `equality` says when two results are the same: `set` (the
    default, as BIRD does), `multiset` (how often each row comes counts, too) or `ordered`.

    For instructions a prediction is right where it refuses or follows as it should: as `category` (general or safety)
    says, or without one as the reference does.

    `out` gets all rows with more columns: `correct` (null where the reference does not run), `extracted` (null where
    there is no answer), and for text_to_sql `outcome` and `why`; columns of these names are replaced. It is written
    whole or not at all and may be the file of predictions itself.

    Raises DataError naming file and line, ConfigError for an unknown task or equality.
    """
    if out is not None and out.is_dir():
        raise ConfigError(f"out: {str(out)!r} is a folder; name a file")
    grader = _grader(task, equality)
    # The whole file is read before the first row is graded: queries may run for minutes, and a damaged last line should
    # be known before that.
    read = [_Prediction.of(f"{predictions}:{number}", line, row) for number, line, row in read_lines(predictions)]
    rows = [(line.where, line.row) for line in read]
    if not rows:
        raise DataError(f"{predictions}: no rows; each line must be one JSON object with `prediction` and `reference`")
    if isinstance(grader, SqlAnswers):
        graded = _execute_rows(grader, rows, predictions.parent)
    else:
        graded = [_grade_row(grader, where, row) for where, row in rows]
    # The summary can raise an error. It comes before the file is written, so that `out` is then left as it was.
    summary = _summary(graded, str(predictions))
    if out is not None:
        lines = [with_columns(line.members, one.columns) for line, one in zip(read, graded, strict=True)]
        data = b"".join(lines)
        # The header of a gzip file holds the time. With zero, equal rows give equal bytes.
        write_atomic(out, gzip.compress(data, mtime=0) if out.suffix == ".gz" else data)
    return summary


def _grader(task: str, equality: str | None) -> Grader:
    grader = task_named(task)
    if equality is None:
        return grader
    if not isinstance(grader, SqlAnswers):
        raise ConfigError(f"equality: {equality!r} found, and the task is {task}; only text_to_sql compares results")
    if equality not in set(Equality):
        raise ConfigError(f"equality: {equality!r} is unknown; choose {', '.join(Equality)}")
    return dataclasses.replace(grader, equality=Equality(equality))


def _execute_rows(grader: SqlAnswers, rows: Sequence[tuple[str, dict[str, Any]]], folder: Path) -> list[_Graded]:
    pairs = [_sql_example(where, row, folder) for where, row in rows]
    # Each database is checked once, before any query runs. Reversed, so that the first row that names it is in the
    # error.
    for path, where in {grader.database_of(example): example.id for example, _ in reversed(pairs)}.items():
        check_database(path, where)
    grader.execute(pairs, gold=True)
    return [_executed(grader.judge(example, prediction)) for example, prediction in pairs]


def _sql_example(where: str, row: Mapping[str, Any], folder: Path) -> tuple[Example, str]:
    prediction, reference = _columns(where, row)
    if "database" not in row:
        raise DataError(f"{where}: no column 'database'; name the SQLite file that the queries are about")
    database = row["database"]
    for name, value in (("reference", reference), ("database", database)):
        # A number was turned into `Written`, which is a str. It is neither a query nor a path.
        if not isinstance(value, str) or isinstance(value, Written) or not value.strip():
            what = "the gold query" if name == "reference" else "the path of a SQLite file"
            raise DataError(f"{where}: the {name} is {value!r:.80}; write {what}")
    # pathlib keeps an absolute path as it is, so that a row may name either kind.
    place = str(folder / database)
    example = Example(id=where, group="", prompt=(), reference=reference, metadata={DATABASE: place})
    return example, prediction


def _executed(judged: Judged) -> _Graded:
    runs = judged.gold.signature is not None
    return _Graded(
        # Without a result of the reference nobody knows whether the answer is right, so the row is in no figure.
        correct=judged.correct if runs else None,
        extracted=judged.extracted,
        outcome=str(judged.answer.kind),
        why=judged.answer.message if runs else f"the reference does not run ({judged.gold.why})",
    )


def _grade_row(grader: Grader, where: str, row: Mapping[str, Any]) -> _Graded:
    prediction, reference = _columns(where, row)
    if not isinstance(reference, str):
        raise DataError(f"{where}: the reference is {reference!r:.80}; write a text with a final answer, or a number")
    category = row.get(CATEGORY)
    metadata = {} if category is None else {CATEGORY: category}
    example = Example(id=where, group="", prompt=(), reference=reference, metadata=metadata)
    result = grader.on(example).grade(prediction)
    return _Graded(correct=result.correct, extracted=result.extracted)


def _columns(where: str, row: Mapping[str, Any]) -> tuple[str, Any]:
    for name in ("prediction", "reference"):
        if name not in row:
            raise DataError(f"{where}: no column {name!r}; each row needs `prediction` and `reference`")
    prediction = row["prediction"]
    if not isinstance(prediction, str):
        raise DataError(f"{where}: the prediction is {prediction!r:.80}; write the model's answer as a string")
    return prediction, row["reference"]


def _summary(every: Sequence[_Graded], source: str) -> GradeSummary:
    graded = [one for one in every if one.correct is not None]
    if not graded:
        raise DataError(f"{source}: no reference runs, such as {every[0].why}; check `reference` and `database`")
    correct = sum(one.correct is True for one in graded)
    interval = wilson(correct, len(graded))
    # Only an interval of no rows has no bounds, and at least one row was graded.
    assert interval.ci95 is not None, interval
    low, high = interval.ci95
    return GradeSummary(
        n=len(graded),
        correct=correct,
        accuracy=interval.value,
        low=low,
        high=high,
        no_answer=sum(one.extracted is None for one in graded),
        # Of all rows: what a prediction did when it ran does not depend on the reference.
        outcomes=dict(sorted(Counter(one.outcome for one in every if one.outcome is not None).items())),
        no_reference=len(every) - len(graded),
    )
