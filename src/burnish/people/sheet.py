"""The verbs `annotate export` and `annotate import`: people judge pairs in a spreadsheet or a JSONL file."""

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
from burnish.people.mailbox import ANNOTATIONS, Annotation, Ask, Mailbox, Said
from burnish.report.text import visible
from burnish.store.files import dump_line, write_atomic
from burnish.types import Order

PAIR, VERDICT, BY = "pair", "verdict", "by"
COLUMNS = (PAIR, "purpose", "request", "answer_1", "answer_2", VERDICT, "note")
ALLOWED = "1, 2, tie or skip"
_FORMULA = ("=", "+", "-", "@")
_NOT_SHOWN = ("Z", "C")
"""Categories of white space and of characters without a shape, which spreadsheets skip before a formula."""
_VERDICTS = {
    # A spreadsheet may turn 1 into 1.0.
    **dict.fromkeys(("1", "1.0", "first"), Said.FIRST),
    **dict.fromkeys(("2", "2.0", "second"), Said.SECOND),
    "tie": Said.TIE,
    **dict.fromkeys(("skip", "abstain"), Said.ABSTAIN),
}


class Sheet(StrEnum):
    """How pairs go to people and come back."""

    CSV = ".csv"
    JSONL = ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file brought: verdicts that count from here on, those that were known already, rows without one."""

    added: int
    unchanged: int
    blank: int


def export(folder_path: Path, to: Path, overwrite: bool = False) -> int:
    """Write the pairs that wait for people, as a CSV or JSONL file; returns how many.

    No column tells which answer is the current one. Raises DataError where nothing waits, ConfigError where the file
    is there already or of another kind.
    """
    sheet = _sheet(to, "--to")
    pairs = Mailbox(folder_path).asked()
    if not pairs:
        raise DataError(f"{folder_path}: no pair waits for people; `burnish refine` says when some do")
    if os.path.exists(to) and not overwrite:
        raise ConfigError(f"--to: {str(to)!r} is there and may hold verdicts; name another file, or give --overwrite")
    write_atomic(to, _written(sheet, pairs))
    return len(pairs)


def _sheet(path: Path, field: str) -> Sheet:
    try:
        return Sheet(path.suffix.lower())
    except ValueError:
        raise ConfigError(f"{field}: {str(path)!r} is of no known kind; name a file in .csv or .jsonl") from None


def _written(sheet: Sheet, pairs: Sequence[Ask]) -> bytes:
    rows = [(one.id, str(one.purpose), one.request, one.first, one.second, "", "") for one in pairs]
    match sheet:
        case Sheet.JSONL:
            return b"".join(dump_line(dict(zip(COLUMNS, row, strict=True))) for row in rows)
        case Sheet.CSV:
            out = io.StringIO()
            writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
            writer.writerow(COLUMNS)
            writer.writerows([_guarded(cell) for cell in row] for row in rows)
            return out.getvalue().encode("utf-8-sig")  # without the mark, spreadsheets read another encoding
        case _:
            assert_never(sheet)


def _guarded(cell: str) -> str:
    """Keep a spreadsheet from taking a text for a formula; control characters become visible ones."""
    return visible(f"'{cell}" if _is_formula(cell) else cell)


def _is_formula(cell: str) -> bool:
    """Say whether a spreadsheet may take a text for a formula: also after spaces, and with full-width signs.

    A text that begins with a tab or a line end is kept from it, too: some programs cut it there.
    """
    first = next((char for char in cell if not unicodedata.category(char).startswith(_NOT_SHOWN)), "")
    return unicodedata.normalize("NFKC", first).startswith(_FORMULA) or cell.startswith(("\t", "\r", "\n"))


def import_(folder_path: Path, file: Path, by: str) -> Imported:
    """Take in the verdicts of a file, all of them or none.

    A column `by` names who judged a row in place of the argument. A pair that was answered earlier may be answered
    again. Raises DataError naming the row where a pair, a column or a verdict is not what it should be.
    """
    mailbox = Mailbox(folder_path)
    said = mailbox.said()
    orders = {id_: rows[0].shown for id_, rows in said.items()} | {one.id: one.shown for one in mailbox.asked()}
    before = {(row.id, row.by): row.said for rows in said.values() for row in rows}
    found: dict[tuple[str, str], Annotation] = {}
    blank = 0
    for where, row in _judged(file):
        annotation = _annotation(where, row, by, orders)
        if annotation is None:
            blank += bool(_cell(row, PAIR))
            continue
        key = (annotation.id, annotation.by)
        if found.setdefault(key, annotation).said is not annotation.said:
            raise DataError(f"{where}: {annotation.by} judges the pair {annotation.id} twice; leave one verdict")
    fresh = [row for key, row in found.items() if before.get(key) is not row.said]
    if fresh:
        mailbox.answer(fresh)
    return Imported(added=len(fresh), unchanged=len(found) - len(fresh), blank=blank)


def _judged(file: Path) -> Iterator[tuple[str, RawRow]]:
    source = CsvSource(file) if _sheet(file, "FILE") is Sheet.CSV else JsonlSource(file)
    if not os.path.isfile(file):  # pathlib's raises for a name that is too long
        raise DataError(f"{file!s:.300}: no such file; check the path")
    for raw in source.rows():
        if raw.values is None:
            raise DataError(f"{raw.where}: {raw.flaw}")
        if missing := [column for column in (PAIR, VERDICT) if column not in raw.values]:
            raise DataError(f"{raw.where}: no column {missing[0]!r}; keep the columns that `annotate export` wrote")
        yield raw.where, raw


def _annotation(where: str, row: RawRow, by: str, orders: dict[str, Order]) -> Annotation | None:
    """Return what a row says, None where it says nothing yet."""
    pair, verdict = _cell(row, PAIR), _cell(row, VERDICT)
    if not pair and not verdict:  # spreadsheets leave empty rows
        return None
    if pair not in orders:
        raise DataError(
            f"{where}: the pair {shown(pair)} was never asked here; import the file into its own folder, "
            f"one whose waiting.jsonl or {ANNOTATIONS} has it"
        )
    if not verdict:
        return None
    said = _VERDICTS.get(verdict.lower())
    if said is None:
        raise DataError(f"{where}: the verdict {shown(verdict)} cannot be read; write {ALLOWED}, or leave it empty")
    return Annotation(id=pair, said=said, by=_cell(row, BY) or by, shown=orders[pair])


def _cell(row: RawRow, column: str) -> str:
    value = (row.values or {}).get(column)
    return "" if value is None else str(value).strip()
