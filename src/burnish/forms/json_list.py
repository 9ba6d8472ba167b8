"""JSON files with one list of objects.

Such a file is read as a whole, so a large dataset should be written as JSON lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import JsonValue

from burnish.errors import DataError
from burnish.forms.answers import items
from burnish.forms.cells import WrittenFloat, text_bytes
from burnish.forms.files import reading
from burnish.forms.json_text import TOO_DEEP, flaw
from burnish.forms.rows import MAX_ROW_BYTES, Edit, RawRow, broken, object_row, too_long
from burnish.store.depth import is_deep

MAX_DOCUMENT_BYTES = 512 * 1000**2
"""The most bytes of a document. As Python objects it takes several times as much memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    values: list[JsonValue]
    text: str
    """The text of the whole file."""
    start: int
    """The position in the text at which the list begins."""


@dataclass(frozen=True, slots=True)
class JsonSource:
    """A `.json` file."""

    path: Path

    def rows(self) -> Iterator[RawRow]:
        """Yield a row for each item of the list.

        Raises DataError if the file is too large, is not UTF-8, or does not hold one list.
        """
        for position, value in enumerate(self._document().values):
            yield self._row(position, value)

    def rewrite(self, file: BinaryIO, edit: Edit) -> int:
        """Copy the document with the new answers, and return the number of rows.

        Raises DataError as `rows` and `Edit.row` do.
        """
        document = self._document()
        # All characters before `at` are written. What stands between two rows (commas, spaces, line ends) is copied
        # with the next changed row, or at the end.
        text, at = document.text, 0
        # An empty file counts as an empty list. It has no bracket at which the list could begin.
        spans = items(text, document.start) if document.values else iter(())
        for position, (value, (start, end)) in enumerate(zip(document.values, spans, strict=True)):
            if (completion := edit.completion_at(position)) is not None:
                row = edit.json(self._row(position, value), text[start:end], completion)
                file.write(f"{text[at:start]}{row}".encode())
                at = end
        file.write(text[at:].encode())
        return len(document.values)

    def _row(self, position: int, value: JsonValue) -> RawRow:
        where = f"{self.path.name} row {position + 1}"
        if is_deep(value):  # this comes first, because the other checks are recursive
            return broken(where, position, TOO_DEEP)
        if (size := text_bytes(value)) > MAX_ROW_BYTES:
            return too_long(where, position, size)
        if wrong := flaw(value):
            return broken(where, position, wrong)
        return object_row(where, position, value)

    def _document(self) -> _Document:
        text = self._text()
        # json.loads refuses a byte order mark. The mark stays in `text`, because the copy must begin with it, too.
        body = text.removeprefix("\ufeff")
        start = len(text) - len(body.lstrip())
        return _Document(values=self._parsed(body.rstrip()), text=text, start=start)

    def _text(self) -> str:
        # The size is checked before the file is read, so that a file of 100 GB does not fill the memory.
        if (size := self.path.stat().st_size) > MAX_DOCUMENT_BYTES:
            raise DataError(
                f"{self.path.name}: {size:,} bytes of JSON, at most {MAX_DOCUMENT_BYTES:,} are read as one document; "
                "write it as JSON lines (.jsonl), which are read row by row"
            )
        with reading(self.path) as file:
            data = file.read()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            # The whole file is bad and not only a row, because only a parsed file shows where its rows begin and end.
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(f"{self.path.name}:{line}: invalid UTF-8; save the file as UTF-8") from None

    def _parsed(self, body: str) -> list[JsonValue]:
        if not body:
            return []
        try:
            # This is Python's parser and not orjson. It keeps whole numbers of any size, and the text of other numbers.
            # It also accepts NaN and half a surrogate pair, so that only the row with such a value is bad.
            value: JsonValue = json.loads(body, parse_float=WrittenFloat)
        except json.JSONDecodeError as error:
            # The parser says this if something follows the first value, as in a file of JSON lines.
            lines = error.msg == "Extra data"
            advice = "if it holds JSON lines, name it .jsonl" if lines else "write one list of objects"
            raise DataError(f"{self.path.name}:{error.lineno}: not JSON ({error.msg}); {advice}") from None
        # The cause is a whole number of more than 4,300 digits, or brackets that are nested thousands of levels deep.
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path.name}: cannot be parsed ({error}); write one list of objects") from None
        if not isinstance(value, list):
            held = f" with {', '.join(value):.80}" if isinstance(value, dict) else ""
            raise DataError(
                f"{self.path.name}: {type(value).__name__}{held} found; write only the list of rows, or JSON lines"
            )
        return value
