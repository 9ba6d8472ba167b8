"""What every kind of file promises: its rows as they stand, and a copy of itself with some answers changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pydantic import JsonValue

from burnish.config import DataConfig
from burnish.errors import DataError
from burnish.forms.recognise import BadRow, Form, UsableRow, read_row, with_completion

MAX_ROW_BYTES = 4 * 1024**2
"""A longer row is no demonstration: most often a file without line ends, or a quote that is never closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """A row before its form is known; `values` is None where it cannot be read, and `flaw` says why."""

    where: str
    position: int
    values: Mapping[str, JsonValue] | None
    flaw: str = ""


def object_row(where: str, position: int, value: JsonValue) -> RawRow:
    """Return a JSON value as a row, which must be an object."""
    if isinstance(value, dict):
        return RawRow(where=where, position=position, values=value)
    return broken(where, position, f"{type(value).__name__} found; each row must be one JSON object")


def broken(where: str, position: int, flaw: str) -> RawRow:
    """Return a row that cannot be read."""
    return RawRow(where=where, position=position, values=None, flaw=flaw)


def too_long(where: str, position: int, size: int) -> RawRow:
    """Return a row whose size is above the limit."""
    return broken(
        where, position, f"the row has {size:,} bytes, at most {MAX_ROW_BYTES:,} can be used; shorten or remove it"
    )


def used(form: Form, raw: RawRow, config: DataConfig) -> UsableRow | BadRow:
    """Read a raw row of a table whose form is known."""
    if raw.values is None:
        return BadRow(where=raw.where, position=raw.position, id=None, why=raw.flaw)
    return read_row(form, raw.values, raw.where, raw.position, config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Which rows get another answer: `completion_at(position)` is None for a row that stays."""

    form: Form
    config: DataConfig
    completion_at: Callable[[int], str | None]

    def applied(self, raw: RawRow, completion: str) -> dict[str, JsonValue]:
        """Return a row with its other answer. Raises DataError for a row that cannot be used: it never had one."""
        row = used(self.form, raw, self.config)
        if isinstance(row, BadRow) or raw.values is None:
            why = row.why if isinstance(row, BadRow) else raw.flaw
            raise DataError(
                f"{raw.where}: a row with another answer cannot be used ({why}); leave the file as it is while it is "
                "refined, and run the command again"
            )
        return with_completion(self.form, raw.values, completion)


class Source(Protocol):
    """A dataset of one kind of file; each call reads it from the start."""

    def rows(self) -> Iterator[RawRow]:
        """Yield every row in order; raises DataError for a file that cannot be read at all."""
        ...

    def rewrite(self, file: BinaryIO, edit: Edit) -> int:
        """Write the dataset into `file` with the answers of `edit`; returns how many rows were written."""
        ...
