"""The commands `annotate export` and `annotate import`. People judge pairs in a spreadsheet or in a JSONL file."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from burnish.errors import ConfigError, DataError
from burnish.forms.cells import shown
from burnish.forms.csv_file import CsvSource
from burnish.forms.jsonl import JsonlSource
from burnish.forms.rows import RawRow
from burnish.people.mailbox import ANNOTATIONS, Annotation, Ask, Mailbox, Said, said_by_value
from burnish.report.text import visible
from burnish.store.files import row_of, write_atomic
from burnish.store.json_rows import dump_line
from burnish.types import Order

PAIR, VERDICT, VALUE, BY, CONFIDENCE, NOTE = "pair", "verdict", "value", "by", "confidence", "note"
# `answer_1` and `answer_2` are in the order that was drawn for the pair. No column says which one is the current label.
COLUMNS = (PAIR, "purpose", "request", "answer_1", "answer_2", VERDICT, VALUE, CONFIDENCE, NOTE)
POINTS = 7
"""The points of the scale in the column `value`, as on the pages of a study: -3 to 3."""
ALLOWED = "1, 2, tie or skip"
_FORMULA = ("=", "+", "-", "@")
"""The characters with which a formula begins in a spreadsheet."""
_NOT_SHOWN = ("Z", "C")
"""Unicode categories of white space and of characters without a shape. Spreadsheets skip them before a formula."""
_VERDICTS = {
    # A spreadsheet may turn 1 into 1.0, so both are read.
    **dict.fromkeys(("1", "1.0", "first"), Said.FIRST),
    **dict.fromkeys(("2", "2.0", "second"), Said.SECOND),
    "tie": Said.TIE,
    **dict.fromkeys(("skip", "abstain"), Said.ABSTAIN),
}


class Sheet(StrEnum):
    """The kinds of file in which pairs go to people and come back."""

    CSV = ".csv"
    JSONL = ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file contained: verdicts that are new, verdicts that were known already, and rows without a verdict."""

    added: int
    unchanged: int
    blank: int


def export(folder_path: Path, to: Path, overwrite: bool = False) -> int:
    """Write the pairs that wait for people to a CSV or JSONL file, and return how many there are.

    No column says which answer is the current one. Raises DataError if no pair waits, and ConfigError if the file
    exists already (unless `overwrite` is true) or is of another kind.
    """
    sheet = _sheet(to, "--to")
    pairs = Mailbox(folder_path).asked()
    if not pairs:
        raise DataError(f"{folder_path}: no pair waits for people; `burnish refine` says when there are some")
    if os.path.exists(to) and not overwrite:
        raise ConfigError(f"--to: {str(to)!r} exists and may hold verdicts; name another file, or give --overwrite")
    write_atomic(to, _written(sheet, pairs))
    return len(pairs)


def _sheet(path: Path, field: str) -> Sheet:
    """Return the kind of a file by its suffix. Raises ConfigError for any other kind."""
    try:
        return Sheet(path.suffix.lower())
    except ValueError:
        raise ConfigError(f"{field}: {str(path)!r} is of no known kind; name a .csv or .jsonl file") from None


def _written(sheet: Sheet, pairs: Sequence[Ask]) -> bytes:
    """Return the bytes of the file."""
    rows = [(pair.id, str(pair.purpose), pair.request, pair.first, pair.second, "", "", "", "") for pair in pairs]
    match sheet:
        case Sheet.JSONL:
            return b"".join(dump_line(dict(zip(COLUMNS, row, strict=True))) for row in rows)
        case Sheet.CSV:
            out = io.StringIO()
            # Every cell is quoted, so that line breaks inside answers stay in their cells.
            writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
            writer.writerow(COLUMNS)
            writer.writerows([guarded(cell) for cell in row] for row in rows)
            return out.getvalue().encode(
                "utf-8-sig"
            )  # without the byte order mark, spreadsheets assume another encoding
        case _:
            assert_never(sheet)


def guarded(cell: str) -> str:
    """Return a cell that a spreadsheet does not read as a formula. Control characters are replaced by visible ones."""
    # Spreadsheets show a cell that begins with an apostrophe as text.
    return visible(f"'{cell}" if _is_formula(cell) else cell)


def _is_formula(cell: str) -> bool:
    """Say whether a spreadsheet may read a text as a formula.

    There may be spaces before the sign of the formula, and the sign may be full-width. A text that begins with a tab or
    a line break counts, too, because some programs cut it there.
    """
    first = next((char for char in cell if not unicodedata.category(char).startswith(_NOT_SHOWN)), "")
    # NFKC turns a full-width sign into the ordinary one.
    return unicodedata.normalize("NFKC", first).startswith(_FORMULA) or cell.startswith(("\t", "\r", "\n"))


def import_(folder_path: Path, file: Path, by: str, points: int = POINTS) -> Imported:
    """Read the verdicts of a file into the folder, all of them or none.

    `by` is the name of the person who judged. If the file has a column `by`, a name there is used instead. `points` are
    those of the scale in the column `value`. A pair that was judged earlier may be judged again. The file may also be
    the `annotations.jsonl` of a study. Raises ConfigError for an unknown kind of file or an even number of points, and
    DataError naming the row if a pair, a column, a verdict, a value or a confidence is wrong.
    """
    if points < 3 or points % 2 == 0:
        raise ConfigError(f"--points: {points} found; write an odd number of 3 or more, because the middle means alike")
    mailbox = Mailbox(folder_path)
    earlier = mailbox.said()
    # A pair that was judged no longer waits, so its order comes from the earlier verdicts.
    orders = {id_: rows[0].shown for id_, rows in earlier.items()} | {pair.id: pair.shown for pair in mailbox.asked()}
    before = {(row.id, row.by): row for rows in earlier.values() for row in rows}
    annotations: dict[tuple[str, str], Annotation] = {}
    blank = 0
    for where, row in _judged(file):
        if _is_from_study(row):
            annotation = _from_study(where, row, orders)
        else:
            annotation = _annotation(where, row, by, orders, points // 2)
        if annotation is None:
            # Only rows with a pair count: a spreadsheet may add empty rows at the end.
            blank += bool(_cell(row, PAIR))
            continue
        key = (annotation.id, annotation.by)
        # The same verdict twice does no harm. If there are two different ones, the user must decide.
        if annotations.setdefault(key, annotation).said is not annotation.said:
            raise DataError(f"{where}: {annotation.by} judges the pair {annotation.id} twice; leave one verdict")
    # If the same file is imported again, it adds nothing.
    new = [row for key, row in annotations.items() if before.get(key) != row]
    # They are written only at the end, after every row of the file was read.
    if new:
        mailbox.answer(new)
    return Imported(added=len(new), unchanged=len(annotations) - len(new), blank=blank)


def _judged(file: Path) -> Iterator[tuple[str, RawRow]]:
    """Yield the rows of a file with their places. Raises DataError if there is no file, a row cannot be read, or a
    column is missing."""
    source = CsvSource(file) if _sheet(file, "FILE") is Sheet.CSV else JsonlSource(file)
    if not os.path.isfile(file):  # Path.is_file raises OSError for a name that is too long
        raise DataError(f"{file!s:.300}: no such file; check the path")
    for raw in source.rows():
        if raw.values is None:
            raise DataError(f"{raw.where}: {raw.flaw}")
        # One of the columns verdict and value is enough.
        judged = VERDICT in raw.values or VALUE in raw.values
        missing = PAIR if PAIR not in raw.values else None if judged else VERDICT
        if missing is not None and not _is_from_study(raw):
            raise DataError(f"{raw.where}: no column {missing!r}; keep the columns that `annotate export` wrote")
        yield raw.where, raw


def _is_from_study(row: RawRow) -> bool:
    """Say whether a row is an annotation as `burnish study export` writes it."""
    return row.values is not None and {"id", "said", "shown"} <= row.values.keys()


def _from_study(where: str, row: RawRow, orders: dict[str, Order]) -> Annotation:
    """Return the annotation of a row. A study shows a pair in orders of its own, and the row says in which one."""
    annotation = row_of(row.values or {}, Annotation, where)
    _check_asked(where, annotation.id, orders)
    return annotation


def _annotation(where: str, row: RawRow, by: str, orders: dict[str, Order], most: int) -> Annotation | None:
    """Return the verdict of a row, or None if there is none yet. `most` is the value at the right end of the scale.
    Raises DataError for an unknown pair, or for a verdict, a value or a confidence that cannot be read."""
    pair, verdict, value = _cell(row, PAIR), _cell(row, VERDICT), _value(where, _cell(row, VALUE), most)
    if not pair and not verdict and value is None:  # spreadsheets leave empty rows
        return None
    # The order in which a pair was shown is needed to read its verdict, and only this folder knows it.
    _check_asked(where, pair, orders)
    if not verdict and value is None:
        return None
    said = _VERDICTS.get(verdict.lower()) if verdict else None
    if verdict and said is None:
        raise DataError(f"{where}: the verdict {shown(verdict)} cannot be read; write {ALLOWED}, or leave it empty")
    confidence = _confidence(where, _cell(row, CONFIDENCE))
    if value is not None:
        graded = said_by_value(value)
        if said not in {None, graded}:
            raise DataError(f"{where}: the verdict {shown(verdict)} and the value {value} disagree; leave one of them")
        if confidence is not None:
            raise DataError(f"{where}: a value and a confidence are given; leave one of them, a value says both")
        said, confidence = graded, abs(value) / most
    assert said is not None
    return Annotation(
        id=pair,
        said=said,
        by=_cell(row, BY) or by,
        shown=orders[pair],
        confidence=confidence,
        note=_cell(row, NOTE),
        value=value,
    )


def _value(where: str, text: str, most: int) -> int | None:
    """Return the point on the scale from -most to most, or None for an empty cell. Raises DataError for other cells."""
    if not text:
        return None
    try:
        # A spreadsheet may turn 2 into 2.0, and hide a sign behind an apostrophe.
        number = float(text.removeprefix("'"))
    except ValueError:
        number = float("nan")
    if not (abs(number) <= most and number == int(number)):
        raise DataError(
            f"{where}: the value {shown(text)} cannot be read; write a whole number from {-most} (answer 1 is surely "
            f"better) to {most} (answer 2 is), or leave it empty"
        )
    return int(number)


def _check_asked(where: str, pair: str, orders: dict[str, Order]) -> None:
    """Raise DataError if a pair was never asked in this folder."""
    if pair not in orders:
        raise DataError(
            f"{where}: the pair {shown(pair)} was never asked here; import the file into its own folder, "
            f"one whose waiting.jsonl or {ANNOTATIONS} has it"
        )


def _confidence(where: str, text: str) -> float | None:
    """Return how sure a person is, or None for an empty cell. Raises DataError if it is not a number from 0 to 1."""
    if not text:
        return None
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:  # NaN too
        raise DataError(
            f"{where}: the confidence {shown(text)} cannot be read; write a number from 0 to 1, or leave it empty"
        )
    return number


def _cell(row: RawRow, column: str) -> str:
    """Return a cell without white space around it. It is an empty text if the cell is missing."""
    value = (row.values or {}).get(column)
    # A JSONL file may have the number 1, and a spreadsheet the text "1".
    return "" if value is None else str(value).strip()
