"""JSON lines. Rows that stay are copied byte for byte, also those that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from burnish.forms.cells import UnusableError
from burnish.forms.files import packed, reading
from burnish.forms.json_text import parse
from burnish.forms.rows import MAX_ROW_BYTES, Edit, RawRow, broken, object_row, too_long

_BOM = b"\xef\xbb\xbf"
# One call reads a row of the largest size together with its line end. So a row that fills a piece without a line end is
# too long.
_PIECE = MAX_ROW_BYTES + len(b"\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line as it is written, with its line end.

    `size` does not count the line end. `data` is empty if `size` is above the limit.
    """

    number: int
    data: bytes
    size: int

    @property
    def is_row(self) -> bool:
        """Whether the line is a row. Blank lines are not, as in the package `datasets`."""
        return self.size > MAX_ROW_BYTES or bool(self.data.strip())

    @property
    def bom(self) -> bytes:
        # Some Windows programs write a byte order mark at the beginning of a file. orjson refuses it.
        return _BOM if self.number == 1 and self.data.startswith(_BOM) else b""


@dataclass(frozen=True, slots=True)
class JsonlSource:
    """A `.jsonl` or `.jsonl.gz` file."""

    path: Path

    def rows(self) -> Iterator[RawRow]:
        """Yield a row for each line that is not blank."""
        position = 0
        for line in _lines(self.path, lambda _: None):
            if line.is_row:
                yield self._row(line, position)
                position += 1

    def rewrite(self, file: BinaryIO, edit: Edit) -> int:
        """Copy all lines with their new answers, and return the number of rows. Raises DataError as `Edit.row` does."""
        position = 0
        with packed(file, self.path) as out:
            for line in _lines(self.path, out.write):
                # A blank line is copied, but it has no position. Positions count rows, as everywhere else.
                completion = edit.completion_at(position) if line.is_row else None
                out.write(line.data if completion is None else self._edited(line, position, edit, completion))
                position += line.is_row
        return position

    def _row(self, line: _Line, position: int) -> RawRow:
        where = f"{self.path.name}:{line.number}"
        if line.size > MAX_ROW_BYTES:
            return too_long(where, position, line.size)
        try:
            text = line.data[len(line.bom) :]
            return object_row(where, position, parse(text), text)
        except UnusableError as error:
            return broken(where, position, str(error))

    def _edited(self, line: _Line, position: int, edit: Edit, completion: str) -> bytes:
        raw = self._row(line, position)
        # A line that cannot be read has no text. `edit.json` then raises an error that names the line.
        return line.bom + edit.json(raw, raw.text.decode(), completion).encode()


def _lines(path: Path, pass_on: Callable[[bytes], object]) -> Iterator[_Line]:
    """Yield the lines.

    A line that is too long to be held goes to `pass_on` in pieces, and is yielded without its data.
    """
    with reading(path) as file:
        number = 0
        while data := file.readline(_PIECE):
            number += 1
            size = len(data.rstrip(b"\r\n"))
            # A piece may also end within a line and look short, if `\r\r` is at its end and more text follows.
            if size > MAX_ROW_BYTES or (len(data) == _PIECE and not data.endswith(b"\n")):
                data, size = b"", max(MAX_ROW_BYTES + 1, _passed_on(file, data, pass_on))
            yield _Line(number=number, data=data, size=size)


def _passed_on(file: BinaryIO, piece: bytes, pass_on: Callable[[bytes], object]) -> int:
    """Pass on a long line from its first piece to its end. Return its size without the line end."""
    size, end = 0, b""
    while piece:
        pass_on(piece)
        size += len(piece)
        # The line end may be cut in two as well: `\r` is the last byte of one piece, and `\n` is the next piece.
        end = (end + piece)[-2:]
        piece = b"" if piece.endswith(b"\n") else file.readline(_PIECE)
    return size - (2 if end == b"\r\n" else end.endswith(b"\n"))
