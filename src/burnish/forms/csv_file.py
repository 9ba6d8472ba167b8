"""CSV and TSV files: columns of text under a header.

Everything is copied as it is written, except for the answers that change.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from burnish.errors import DataError
from burnish.forms.answers import with_answer
from burnish.forms.cells import has_surrogate, shown
from burnish.forms.files import packed, reading
from burnish.forms.recognise import path_of
from burnish.forms.rows import MAX_ROW_BYTES, Edit, RawRow, broken, too_long

_DELIMITERS = (",", ";", "\t")
_HOLD = 64 * 1024**2
"""The most characters of one row that are held. If a row is longer, a quote was opened and never closed."""
_FIELD_LIMIT = 2**31 - 1
"""The largest limit that fits a C long on every system.

The csv module's own limit of 131,072 characters is less than an answer may have.
"""
_BOM = "\ufeff"
_TAB = (".tsv", ".tsv.gz")
"""The ending of the name of a file with tabs between its cells, whatever its header looks like."""


class _Taken:
    """Gives lines to the csv module. Keeps them as they are written until the row that they make is whole."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file, self._name = file, name
        self._lines: list[str] = []
        self._held = self._row = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        # A file without line ends is one long line. A quote that is never closed makes one long row. The limit keeps
        # both out of the memory.
        while line := self._file.readline(_HOLD):
            first = self._row == 0 and not self._lines
            self._lines.append(line)
            self._held += len(line)
            if self._held >= _HOLD:
                raise DataError(
                    f"{self._name} row {self._row}: no end within {_HOLD:,} characters; close the quote that it opens"
                )
            # Excel writes a byte order mark before the header. It is not part of the first column's name. It stays in
            # the lines that are kept, so that it is copied.
            yield line.removeprefix(_BOM) if first else line
        self.ended = True

    def take(self) -> str:
        """Return the text of the last row, and begin the next row."""
        raw = "".join(self._lines)
        self._lines.clear()
        self._held, self._row = 0, self._row + 1
        return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class _CsvRow:
    """The cells of a row, and the text that they were read from (`raw`).

    `line` is the number of its last line. `closed` is False if a quote in it is never closed.
    """

    cells: list[str]
    raw: str
    line: int
    closed: bool


@dataclass(frozen=True, slots=True)
class CsvSource:
    """A `.csv` file with commas, semicolons or tabs between its cells, or a `.tsv` file.

    Both may be packed as `.gz`.
    """

    path: Path

    def rows(self) -> Iterator[RawRow]:
        """Yield a row for each record below the header. Blank lines are skipped.

        Raises DataError if the header is not UTF-8 or names a column twice, or if a row does not end.
        """
        header: list[str] = []
        position = 0
        # The csv module gives a blank line as a record without cells. The first record with cells is the header, so
        # blank lines may stand above it.
        for record in self._records(self._delimiter()):
            if header and record.cells:
                yield self._row(header, record, position)
                position += 1
            elif record.cells:
                header = self._header(record.cells)

    def rewrite(self, file: BinaryIO, edit: Edit) -> int:
        """Copy all records with their new answers, and return the number of rows.

        Raises DataError as `rows` and `Edit.row` do.
        """
        delimiter = self._delimiter()
        header: list[str] = []
        position = 0
        with packed(file, self.path) as out:
            for record in self._records(delimiter):
                text = record.raw
                if header and record.cells:
                    if (completion := edit.completion_at(position)) is not None:
                        row = self._row(header, record, position)
                        text = _edited(row, text, header, delimiter, edit, completion)
                    position += 1
                elif record.cells:
                    header = self._header(record.cells)
                # The file is read with the same error handler. So bytes that are not UTF-8 come out as they were.
                out.write(text.encode(errors="surrogateescape"))
        return position

    def _records(self, delimiter: str) -> Iterator[_CsvRow]:
        # The limit holds for the whole process. So a larger limit that another library has set is kept.
        csv.field_size_limit(max(csv.field_size_limit(), _FIELD_LIMIT))
        with self._opened() as file:
            lines = _Taken(file, self.path.name)
            reader = csv.reader(lines, delimiter=delimiter)
            for cells in reader:
                # If a quote is still open at the end of the file, the reader has asked for one more line and found
                # none.
                yield _CsvRow(cells=cells, raw=lines.take(), line=reader.line_num, closed=not lines.ended)

    def _delimiter(self) -> str:
        """Return the delimiter that gives the header the most cells. For a `.tsv` file, return a tab."""
        if self.path.name.lower().endswith(_TAB):
            return "\t"

        # Only the header decides. Answers often have commas in them, but the names of columns seldom have.
        def cells_in_header(delimiter: str) -> int:
            return next((len(record.cells) for record in self._records(delimiter) if record.cells), 0)

        return max(_DELIMITERS, key=cells_in_header)

    @contextmanager
    def _opened(self) -> Generator[TextIO, None, None]:
        # Bytes that are not UTF-8 become lone surrogates. So a row with such bytes is known to be bad, and can still be
        # copied unchanged.
        with reading(self.path) as file:
            # `newline=""` leaves line ends as they are. So the csv module can tell a line end inside quotes, and the
            # copy has the same bytes.
            text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
            yield text
            text.detach()

    def _header(self, cells: list[str]) -> list[str]:
        if any(has_surrogate(cell) for cell in cells):
            raise DataError(f"{self.path.name}:1: the header is no UTF-8; save the file as UTF-8")
        twice = sorted({cell for cell in cells if cells.count(cell) > 1})
        if twice:
            raise DataError(f"{self.path.name}:1: column {twice[0]!r} comes twice in the header; rename one of them")
        return cells

    def _row(self, header: list[str], record: _CsvRow, position: int) -> RawRow:
        where = f"{self.path.name} row {position + 1}"
        if (flaw := _flaw(header, record)) is not None:
            return broken(where, position, flaw)
        # `_flaw` found no lone surrogate, so the text can be encoded here.
        size = len(record.raw.encode())
        if size > MAX_ROW_BYTES:
            return too_long(where, position, size)
        return RawRow(where=where, position=position, values=dict(zip(header, record.cells, strict=True)))


def _flaw(header: list[str], record: _CsvRow) -> str | None:
    if has_surrogate(record.raw):
        return f"invalid UTF-8 in the row that ends in line {record.line}; save the file as UTF-8"
    if not record.closed:
        return "a quote is opened and never closed, so that the row takes in the rest of the file; close it"
    if len(record.cells) == len(header):
        return None
    return (
        f"{len(record.cells)} cells where the header has {len(header)}, the last is {shown(record.cells[-1])}; quote "
        "cells that hold delimiters or line ends"
    )


def _edited(raw: RawRow, text: str, header: list[str], delimiter: str, edit: Edit, completion: str) -> str:
    """Return a record with another answer in its cell. All other cells and the line end stay as they are."""
    row, values = edit.row(raw)
    # The row has this answer already. Writing it again could choose other quotes.
    if row.completion == completion:
        return text
    path = path_of(values, edit.config)
    start, end = _spans(text, delimiter)[header.index(str(path[0]))]
    old = text[start:end]
    # The row gets back the answer that it had first. The bytes of that answer, with its quotes, were kept when it was
    # replaced.
    original = edit.original_at(raw.position)
    if original is not None:
        return f"{text[:start]}{original}{text[end:]}"

    def cell_with(cell: str, answer: str, like: str) -> str:
        return _cell(str(with_answer(cell, path[1:], answer)), delimiter, quoted=like.startswith('"'))

    # A cell may hold a whole conversation as JSON text. Then only the last turn in it changes, and `after` is the whole
    # cell.
    before = str(values[str(path[0])])
    new = cell_with(before, completion, old)
    after = str(with_answer(before, path[1:], completion))
    # Would the old answer be written with the same bytes if it came back? Not if `a` became `"x, y"`, because a cell
    # with quotes keeps its quotes. And not if JSON text in the cell has an escape such as `\u00e9`. Only such cells are
    # kept, so that little has to be stored.
    if cell_with(after, row.completion, new) != old:
        edit.keep(raw.position, old)
    return f"{text[:start]}{new}{text[end:]}"


def _spans(text: str, delimiter: str) -> list[tuple[int, int]]:
    """Return the start and the end of each cell of a record, as the csv module cuts it. Quotes are included."""
    # A quote counts only at the beginning of a cell. Text after the closing quote belongs to the cell, up to the
    # delimiter. The pattern in its parts: for a cell that begins with a quote, it takes the quote, text without quotes,
    # pairs of quotes (`""`) with text after each, and the closing quote, which may be missing. Then, for every cell, it
    # takes all text up to the delimiter or the line end. The possessive `*+` never goes back, so that a long cell whose
    # quote is not closed takes linear time.
    cell = re.compile(rf'(?:"[^"]*+(?:""[^"]*+)*+"?)?[^{re.escape(delimiter)}\r\n]*')
    at = 0
    spans: list[tuple[int, int]] = []
    while True:
        found = cell.match(text, at)
        assert found is not None
        spans.append(found.span())
        # The next character is the delimiter, if another cell follows, or the line end.
        at = found.end() + 1
        if text[found.end() : at] != delimiter:
            return spans


def _cell(text: str, delimiter: str, *, quoted: bool) -> str:
    """Write a cell. It gets quotes if the old cell had them or if the text needs them."""
    if quoted or any(mark in text for mark in (delimiter, '"', "\r", "\n")):
        return '"' + text.replace('"', '""') + '"'
    return text
