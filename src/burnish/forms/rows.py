"""What every kind of file must provide: its rows as they are, and a copy of itself with some answers changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pydantic import JsonValue

from burnish.config import DataConfig
from burnish.errors import DataError
from burnish.forms.answers import place_of, value_at, with_answer_text
from burnish.forms.cells import UnusableError
from burnish.forms.json_text import parse_exactly
from burnish.forms.layout import Form, layout_of
from burnish.forms.recognise import BadRow, UsableRow, path_of, read_row, with_completion

MAX_ROW_BYTES = 4 * 1024**2
"""The most bytes of a row.

A longer row is not a demonstration. Most often the file has no line ends, or a quote in it is never closed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """A row before its form is known. `values` is None if the row cannot be read, and `flaw` then says why.

    `text` is the JSON text that the values were read from. It is empty unless numbers in `values` may have lost digits.
    """

    where: str
    position: int
    values: Mapping[str, JsonValue] | None
    flaw: str = ""
    text: bytes = b""


def object_row(where: str, position: int, value: JsonValue, text: bytes = b"") -> RawRow:
    """Return a JSON value as a row. A value that is not an object gives a row that cannot be read."""
    if isinstance(value, dict):
        return RawRow(where=where, position=position, values=value, text=text)
    return broken(where, position, f"{type(value).__name__} found; each row must be one JSON object")


def broken(where: str, position: int, flaw: str) -> RawRow:
    """Return a row that cannot be read. `flaw` says why."""
    return RawRow(where=where, position=position, values=None, flaw=flaw)


def too_long(where: str, position: int, size: int) -> RawRow:
    """Return a row that cannot be read because its size in bytes is above the limit."""
    return broken(
        where, position, f"the row has {size:,} bytes, at most {MAX_ROW_BYTES:,} can be used; shorten or remove it"
    )


def used(form: Form, raw: RawRow, config: DataConfig) -> UsableRow | BadRow:
    """Read a raw row of a table that has the form `form`. A row that cannot be used becomes a `BadRow`."""
    if raw.values is None:
        return BadRow(where=raw.where, position=raw.position, id=None, why=raw.flaw)
    return read_row(form, _exact(raw, raw.values, config), raw.where, raw.position, config)


def _exact(raw: RawRow, values: Mapping[str, JsonValue], config: DataConfig) -> Mapping[str, JsonValue]:
    """Return the values of a row with the numbers as they were written.

    The text is parsed again only if a column that is read has a number with a point. This is slow, and few rows need
    it.
    """
    # `type` is used and not isinstance, because a WrittenFloat, which the reader of `.json` files makes, has its text
    # already. Whole numbers need no second look, except those beyond 64 bits, which orjson reads as floats.
    if not raw.text or not any(type(value) is float for value in values.values()):
        return values
    try:
        read = {*layout_of(tuple(values), config).at.given.values(), config.id_column, config.reference_column}
    except UnusableError:
        return values
    # A score beside the answer is no reason to parse twice: burnish does not read that column.
    if not any(type(values.get(column)) is float for column in read if column is not None):
        return values
    exact = parse_exactly(raw.text)
    assert isinstance(exact, dict), exact
    return exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Says which rows get another answer. `completion_at(position)` is None for a row that stays.

    One text can be written in several ways in JSON or CSV. So `keep(position, written)` is called for an answer that is
    replaced and that would later be written in another way. `written` is the text of this answer in the file.
    `original_at(position)` returns this text for a row that must get its original answer back, and otherwise None.
    """

    form: Form
    config: DataConfig
    completion_at: Callable[[int], str | None]
    original_at: Callable[[int], str | None] = lambda _: None
    keep: Callable[[int, str], object] = lambda _, __: None

    def row(self, raw: RawRow) -> tuple[UsableRow, Mapping[str, JsonValue]]:
        """Return a row that gets another answer, and its values.

        Raises DataError if the row cannot be used, because a row that cannot be used never had another answer.
        """
        found = used(self.form, raw, self.config)
        # Rows that cannot be used get no proposal. If one has another answer, the file is not the one that was refined.
        if isinstance(found, BadRow) or raw.values is None:
            why = found.why if isinstance(found, BadRow) else raw.flaw
            raise DataError(
                f"{raw.where}: a row with another answer cannot be used ({why}); leave the file as it is while it is "
                "refined, and run the command again"
            )
        return found, raw.values

    def values(self, raw: RawRow, completion: str) -> Mapping[str, JsonValue]:
        """Return the values of a row with its new answer. Raises DataError as `row` does."""
        found, values = self.row(raw)
        if found.completion == completion:
            return values
        return with_completion(self.form, values, completion, self.config)

    def json(self, raw: RawRow, text: str, completion: str) -> str:
        """Return the JSON text of a row with its new answer.

        Every other character stays. Raises DataError as `row` does.
        """
        found, values = self.row(raw)
        if found.completion == completion:
            return text
        path = path_of(values, self.config)
        # The first answer was kept as it was written, with its quotes and escapes. So it is put back without being
        # encoded again.
        original = self.original_at(raw.position)
        if original is not None:
            return place_of(text, path).replaced(text, original)
        # The value that stands there now decides how the new answer is written: as a number, as text parts or as a
        # text.
        old = value_at(dict(values), path)
        edited = with_answer_text(text, path, old, completion)
        # This is a trial. Would writing the old answer into the new text give the old bytes? If not (`caf\u00e9` would
        # come back as `café`), the old bytes are kept. The value is read again, because a number may have become a
        # text.
        now = value_at(parse_exactly(edited), path)
        if with_answer_text(edited, path, now, found.completion) != text:
            place = place_of(text, path)
            self.keep(raw.position, text[place.start : place.end])
        return edited


class Source(Protocol):
    """A dataset in one kind of file. Each call reads the file from its start."""

    def rows(self) -> Iterator[RawRow]:
        """Yield every row in order. Raises DataError if the file cannot be read at all."""
        ...

    def rewrite(self, file: BinaryIO, edit: Edit) -> int:
        """Write the dataset into `file` with the answers of `edit`. Return the number of rows that were written."""
        ...
