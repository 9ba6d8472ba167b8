"""One JSON document that is a list of objects. It is read whole, so large datasets belong into JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import JsonValue

from burnish.errors import DataError
from burnish.forms.cells import text_bytes
from burnish.forms.files import reading
from burnish.forms.json_text import dump, flaw
from burnish.forms.rows import MAX_ROW_BYTES, Edit, RawRow, broken, object_row, too_long

MAX_DOCUMENT_BYTES = 512 * 1000**2
"""As Python objects a document takes several times its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    values: list[JsonValue]
    bom: str
    indented: bool
    tail: str
    """The white space at the end."""


@dataclass(frozen=True, slots=True)
class JsonSource:
    """A `.json` file."""

    path: Path

    def rows(self) -> Iterator[RawRow]:
        """Yield a row for each item of the list."""
        for position, value in enumerate(self._document().values):
            yield self._row(position, value)

    def rewrite(self, file: BinaryIO, edit: Edit) -> int:
        """Write the list again, indented by 2 if it had more than one line."""
        document = self._document()
        lead, line = (b"\n  ", b"\n") if document.indented and document.values else (b"", b"")
        file.write(document.bom.encode() + b"[")
        for position, value in enumerate(document.values):
            completion = edit.completion_at(position)
            row = value if completion is None else edit.applied(self._row(position, value), completion)
            # A line feed inside a text is escaped, so every one that is seen begins a line.
            text = dump(row, indent=document.indented).replace(b"\n", lead)
            file.write((b"," if position else b"") + lead + text)
        file.write(line + b"]" + document.tail.encode())
        return len(document.values)

    def _row(self, position: int, value: JsonValue) -> RawRow:
        where = f"{self.path.name} row {position + 1}"
        if (size := text_bytes(value)) > MAX_ROW_BYTES:
            return too_long(where, position, size)
        if wrong := flaw(value):
            return broken(where, position, wrong)
        return object_row(where, position, value)

    def _document(self) -> _Document:
        text = self._text()
        bom = "\ufeff" if text.startswith("\ufeff") else ""
        body = text[len(bom) :].rstrip()
        return _Document(values=self._parsed(body), bom=bom, indented="\n" in body, tail=text[len(bom) + len(body) :])

    def _text(self) -> str:
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
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(f"{self.path.name}:{line}: invalid UTF-8; save the file as UTF-8") from None

    def _parsed(self, body: str) -> list[JsonValue]:
        if not body:
            return []
        try:
            value: JsonValue = json.loads(body)
        except json.JSONDecodeError as error:
            lines = error.msg == "Extra data"
            advice = "if it holds JSON lines, name it .jsonl" if lines else "write one list of objects"
            raise DataError(f"{self.path.name}:{error.lineno}: not JSON ({error.msg}); {advice}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path.name}: cannot be parsed ({error}); write one list of objects") from None
        if not isinstance(value, list):
            held = f" with {', '.join(value):.80}" if isinstance(value, dict) else ""
            raise DataError(
                f"{self.path.name}: {type(value).__name__}{held} found; write the list of rows alone, or JSON lines"
            )
        return value
