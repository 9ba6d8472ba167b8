"""The command `grade`: compares a file of predictions with references. It needs no model library."""

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
    """How many predictions are right, with Wilson's 95 % interval from `low` to `high`.

    `n` is the number of graded rows. `no_answer` is how many of the wrong predictions have no answer. If answers are
    executed, `outcomes` counts the outcomes of all rows' predictions. `no_reference` is the number of rows whose
    reference does not run. They are not part of `n`.
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
    """The new columns of one row.

    `correct` is None if the reference does not run. `outcome` and `why` are None if the task does not execute answers.
    """

    correct: bool | None
    extracted: str | None
    outcome: str | None = None
    why: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that are written to `out`."""
        executed = {"outcome": self.outcome, "why": self.why} if self.outcome is not None else {}
        return {"correct": self.correct, "extracted": self.extracted, **executed}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prediction:
    """A row: where it is, its parsed values, and its members as they were written in the file."""

    where: str
    row: dict[str, Any]
    members: list[Member]

    @classmethod
    def of(cls, where: str, line: bytes, row: dict[str, Any]) -> _Prediction:
        """Return the row of a line. A number as the reference becomes text, because a float would lose digits."""
        found = members(line)
        reference = row.get(REFERENCE)
        # For Python, `true` is an int. It is left as it is, so that it is refused as a reference.
        if isinstance(reference, int | float) and not isinstance(reference, bool):
            # If a name occurs twice in an object, JSON parsers take the last value.
            written = next(member.value for member in reversed(found) if member.name == REFERENCE)
            row = {**row, REFERENCE: Written(written)}
        return cls(where=where, row=row, members=found)


class Written(str):
    """The text of a number, as it was written in the file."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the text without quotes, as a number."""
        return str(self)


def grade(task: str, predictions: Path, out: Path | None = None, equality: str | None = None) -> GradeSummary:
    """Grade the `prediction` of every JSONL row against its `reference`: a text with a final answer, or a number.

    For text_to_sql, the reference is a query, and `database` is the path of its database, relative to the file's
    folder. A row whose reference does not run is counted separately. `equality` says when two results are the same:
    `set` (the default, as in BIRD), `multiset` (how often each row occurs counts, too) or `ordered`.

    For instructions, a prediction is right if it refuses where it should and follows where it should. The `category`
    (general or safety) says which of the two. Without it, the prediction should do what the reference does.

    `out` gets all rows with more columns: `correct` (null if the reference does not run), `extracted` (null if there is
    no answer), and for text_to_sql also `outcome` and `why`. Columns with these names are replaced. It is written as a
    whole or not at all, and may be the file of predictions itself.

    Raises DataError naming file and line, and ConfigError for an unknown task or equality, or if `out` is a folder.
    """
    if out is not None and out.is_dir():
        raise ConfigError(f"out: {str(out)!r} is a folder; name a file")
    grader = _grader(task, equality)
    # The whole file is read before the first row is graded. Queries may run for minutes, and a damaged last line should
    # be found before that.
    read = [_Prediction.of(f"{predictions}:{number}", line, row) for number, line, row in read_lines(predictions)]
    rows = [(line.where, line.row) for line in read]
    if not rows:
        raise DataError(f"{predictions}: no rows; each line must be one JSON object with `prediction` and `reference`")
    if isinstance(grader, SqlAnswers):
        graded = _execute_rows(grader, rows, predictions.parent)
    else:
        graded = [_grade_row(grader, where, row) for where, row in rows]
    # The summary can raise an error. It comes before the file is written, so that an error leaves `out` as it was.
    summary = _summary(graded, str(predictions))
    if out is not None:
        lines = [with_columns(line.members, one.columns) for line, one in zip(read, graded, strict=True)]
        data = b"".join(lines)
        # The header of a gzip file has the time in it. With a time of zero, equal rows give equal bytes.
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
    # Each database is checked once, before any query runs. The pairs are reversed, so that an error names the first row
    # with this database.
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
        # A number was turned into `Written`, which is a str, but it is neither a query nor a path.
        if not isinstance(value, str) or isinstance(value, Written) or not value.strip():
            what = "the gold query" if name == "reference" else "the path of a SQLite file"
            raise DataError(f"{where}: the {name} is {value!r:.80}; write {what}")
    # pathlib keeps an absolute path as it is, so a row may have a relative or an absolute path.
    place = str(folder / database)
    example = Example(id=where, group="", prompt=(), reference=reference, metadata={DATABASE: place})
    return example, prediction


def _executed(judged: Judged) -> _Graded:
    runs = judged.gold.signature is not None
    return _Graded(
        # Without the reference's result, nobody knows whether the answer is right. So the row does not count.
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
    # Only an interval over no rows has no bounds, and at least one row was graded.
    assert interval.ci95 is not None, interval
    low, high = interval.ci95
    return GradeSummary(
        n=len(graded),
        correct=correct,
        accuracy=interval.value,
        low=low,
        high=high,
        no_answer=sum(one.extracted is None for one in graded),
        # These are for all rows, because the outcome of a prediction does not depend on the reference.
        outcomes=dict(sorted(Counter(one.outcome for one in every if one.outcome is not None).items())),
        no_reference=len(every) - len(graded),
    )
