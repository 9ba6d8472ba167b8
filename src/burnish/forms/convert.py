"""Writes the file of a dataset as Parquet or CSV, with the same rows in the same order.

Only some rows are in memory at a time, except for a `.json` file.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from burnish.config import DataConfig
from burnish.forms.arrow import Groups, ParquetTables, library, python_rows
from burnish.forms.cells import WrittenFloat
from burnish.forms.json_text import dump, parse_exactly
from burnish.forms.table import rows_in
from burnish.store.files import replacing

_BATCH = 1024
_Row = Mapping[str, Any]


class AlsoAs(StrEnum):
    """The other kinds of file in which a refined dataset can be written."""

    PARQUET = "parquet"
    CSV = "csv"


def convert(source: Path, into: Path, kind: AlsoAs) -> None:
    """Write the rows of a dataset's file as another kind of file. The new file is either complete or absent.

    A row that cannot be read becomes an empty row, so that all rows keep their places. Raises DataError if the source
    cannot be read, or if pyarrow is not installed. Raises StageError if `into` cannot be written.
    """
    match kind:
        case AlsoAs.PARQUET:
            _write_parquet(source, into)
        case AlsoAs.CSV:
            _write_csv(source, into)
        case _:
            assert_never(kind)


def _rows(source: Path) -> Iterator[_Row]:
    """Yield every row with all of its columns."""
    if source.name.lower().endswith(".parquet"):
        for table in ParquetTables(source).batches(None):
            yield from (row or {} for row in python_rows(table))
        return
    for raw in rows_in(DataConfig(source=str(source))):
        # The first parser is fast, but it makes floats of whole numbers beyond 64 bits and drops the zero of 1.10.
        exact = parse_exactly(raw.text) if raw.text and raw.values is not None else raw.values
        yield exact if isinstance(exact, Mapping) else {}


def _batches(source: Path) -> Iterator[list[_Row]]:
    rows = _rows(source)
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch


def _names(source: Path) -> list[str]:
    # This is a dict and not a set, because a dict keeps the order in which the columns first appear. A later row may
    # have a new column, so all rows are read once before the header can be written.
    names: dict[str, None] = {}
    for row in _rows(source):
        if row.keys() - names.keys():
            names.update(dict.fromkeys(row))
    return list(names)


# CSV


def _write_csv(source: Path, into: Path) -> None:
    names = _names(source)
    with replacing(into) as file:
        # `newline=""` because the csv module writes line ends itself. Translation would also change line ends inside a
        # cell.
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(row.get(name)) for name in names] for row in _rows(source))
        # This writes what the wrapper still holds. It has to happen here, because `replacing` syncs and renames the
        # file at the end of the block.
        text.detach()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case WrittenFloat():
            return value.text
        # An image in a Parquet file is bytes. Neither CSV nor JSON can hold bytes, but Base64 can be decoded again.
        case bytes():
            return base64.b64encode(value).decode()
        # `true` and not Python's `True`, so that other programs read it.
        case bool() | list() | dict():
            return _json(value)
        case _:
            return str(value)


def _json(value: Any) -> str:
    return dump(_as_json(value)).decode()


def _as_json(value: Any) -> Any:
    """Return a value in which dates and all other things that JSON does not have are written as texts."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value if value is None or isinstance(value, bool | int | float | str) else _cell(value)


# Parquet


def _write_parquet(source: Path, into: Path) -> None:
    """Write a Parquet file.

    The rows are read twice, because the first reading finds the type of each column. A column with several types
    becomes a column of texts.
    """
    pa = library("pyarrow", "Parquet")
    types = _types(source, pa)
    # Each time one more column becomes text, and a column of texts takes every value. So the loop ends.
    while (failed := _try_parquet(source, into, types, pa)) is not None:
        types[failed] = pa.string()


def _try_parquet(source: Path, into: Path, types: Mapping[str, Any], pa: Any) -> str | None:
    """Write the file. Return the name of a column with a value that is not of its type, or None if there is none."""
    schema = pa.schema(list(types.items()))

    def tables() -> Iterator[Any]:
        for batch in _batches(source):
            arrays = [_array([row.get(name) for row in batch], type_, name, pa) for name, type_ in types.items()]
            yield pa.Table.from_arrays(arrays, schema=schema)

    try:
        # A value that does not fit leaves this block with an exception. So no half-written file takes the place of
        # `into`.
        with replacing(into) as file, Groups(file, schema) as out:
            for table in tables():
                out.add(table)
    except _MisfitError as misfit:
        return misfit.column
    return None


class _MisfitError(Exception):
    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def _array(values: Sequence[Any], type_: Any, name: str, pa: Any) -> Any:
    if type_ == pa.string():
        return pa.array([None if value is None else _cell(value) for value in values], type=type_)
    try:
        # The type of a column may be joined from those of several batches, and may not hold every value. For example,
        # 1.5 in one batch and 2**60 + 1 in another make the type double, which cannot hold that whole number exactly.
        return pa.array(values, type=type_)
    except (pa.ArrowException, OverflowError):
        raise _MisfitError(name) from None


def _types(source: Path, pa: Any) -> dict[str, Any]:
    """Return the type of each column over all rows. A column is text if its values have types that cannot be joined."""
    types: dict[str, Any] = {}
    for batch in _batches(source):
        for name in dict.fromkeys(name for row in batch for name in row):
            found = _type_of([row.get(name) for row in batch], pa)
            # The type `null` stands for no value so far. Joined with any other type, it gives the other one.
            types[name] = _joined(types.get(name, pa.null()), found, pa)
    return types


def _type_of(values: Sequence[Any], pa: Any) -> Any:
    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError):  # several types, or a whole number beyond 64 bits
        return pa.string()


def _joined(one: Any, other: Any, pa: Any) -> Any:
    if one == other:
        return one
    # pyarrow has rules for joining schemas, but no function that joins two types. So each type gets a schema of one
    # column.
    schemas = [pa.schema([("x", type_)]) for type_ in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return pa.string()
