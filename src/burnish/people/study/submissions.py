"""Who took part, for paying them: the only place that gives out the platform's ids."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Collection
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from burnish.errors import ConfigError, DataError
from burnish.forms.csv_file import CsvSource
from burnish.forms.jsonl import JsonlSource
from burnish.people.sheet import guarded

_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionLine:
    """A person or a submission.

    `state` is that of the sitting, or `unknown` for an id that never opened the link. `code` is the code that the
    person got. `submitted` says whether the platform's file has the id, or is "" without a file.
    """

    id: str
    person: str
    state: str
    code: str
    review: str
    submitted: str


def submissions(
    db: sqlite3.Connection, codes: dict[str, str], submitted: Collection[str] | None = None
) -> list[SubmissionLine]:
    """Return all people whose ids are still stored, and then the submitted ids that nobody has.

    `codes` gives the code for each end, and `submitted` has the ids of the platform's file.
    """
    rows = db.execute(
        """SELECT platform_id, public, state, code,
        (SELECT verdict FROM review WHERE review.attempt = attempt.id ORDER BY id DESC LIMIT 1) AS verdict
        FROM identity JOIN participant ON participant.id = identity.participant
        JOIN attempt ON attempt.participant = participant.id ORDER BY attempt.id"""
    ).fetchall()
    lines = [
        SubmissionLine(
            id=row["platform_id"],
            person=row["public"],
            state=row["state"],
            code=codes.get(row["code"] or "", ""),
            review=row["verdict"] or "",
            submitted="" if submitted is None else "yes" if row["platform_id"] in submitted else "no",
        )
        for row in rows
    ]
    known = {line.id for line in lines}
    strangers = sorted(set(submitted or ()) - known)
    return lines + [
        SubmissionLine(id=one, person="", state=_UNKNOWN, code="", review="", submitted="yes") for one in strangers
    ]


def read_submitted(path: Path, column: str) -> set[str]:
    """Return the ids in a column of the file that a platform gives out (CSV or JSONL).

    Raises ConfigError for another kind of file, and DataError if it cannot be read or has no such column.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise ConfigError(f"FILE: {str(path)!r} is of no known kind; name a .csv or .jsonl file")
    source = CsvSource(path) if path.suffix.lower() == ".csv" else JsonlSource(path)
    found: set[str] = set()
    for raw in source.rows():
        if raw.values is None:
            raise DataError(f"{raw.where}: {raw.flaw}")
        if column not in raw.values:
            there = ", ".join(repr(name) for name in raw.values)
            raise DataError(f"{raw.where}: no column {column!r}, found {there:.300}; name the one with the ids")
        value = str(raw.values[column] or "").strip()
        if value:
            found.add(value)
    return found


def as_csv(lines: Collection[SubmissionLine]) -> str:
    """Return lines as CSV that a spreadsheet can open without running formulas."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(SubmissionLine)])
    writer.writerows([guarded(cell) for cell in astuple(line)] for line in lines)
    return out.getvalue()
