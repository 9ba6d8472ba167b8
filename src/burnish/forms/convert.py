"""A dataset's file as Parquet or CSV: the same rows in the same order, never more than some of them in memory."""

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
    """In which other kinds of file a refined dataset can be written."""

    PARQUET = "parquet"
    CSV = "csv"


def convert(source: Path, into: Path, kind: AlsoAs) -> None:
    """Write the rows of a dataset's file as another kind of file, whole or not at all.

    A row that cannot be read becomes an empty one, so that rows keep their places. Raises DataError where the source
    cannot be read, or pyarrow is not installed.
    """
    match kind:
        case AlsoAs.PARQUET:
            _write_parquet(source, into)
        case AlsoAs.CSV:
            _write_csv(source, into)
        case _:
            assert_never(kind)


def _rows(source: Path) -> Iterator[_Row]:
    """Yield all columns of every row."""
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
    # A dict and not a set: it keeps the order in which the columns first appear. A later row may have a new column, so
    # that all rows are read once before the header can be written.
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
        # An image in a Parquet file is bytes. Neither CSV nor JSON can hold bytes, and Base64 can be turned back.
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
    """Return a value in which dates and other things that JSON does not have are texts."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value if value is None or isinstance(value, bool | int | float | str) else _cell(value)


# Parquet


def _write_parquet(source: Path, into: Path) -> None:
    """Read the rows twice: the first time finds the type of each column. A column of several types becomes text."""
    pa = library("pyarrow", "Parquet")
    types = _types(source, pa)
    # Each time one more column becomes text, and a column of texts takes every value. So the loop ends.
    while (failed := _try_parquet(source, into, types, pa)) is not None:
        types[failed] = pa.string()


def _try_parquet(source: Path, into: Path, types: Mapping[str, Any], pa: Any) -> str | None:
    """Write the file; returns the name of a column that has a value which is not of its type, where there is one."""
    schema = pa.schema(list(types.items()))

    def tables() -> Iterator[Any]:
        for batch in _batches(source):
            arrays = [_array([row.get(name) for row in batch], type_, name, pa) for name, type_ in types.items()]
            yield pa.Table.from_arrays(arrays, schema=schema)

    try:
        # A misfit leaves this block by an exception, so that no half-written file takes the place of `into`.
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
        # A joined type may still not hold a value: 1.5 in one batch and 2**60 + 1 in another make the type double, and
        # double cannot hold that whole number exactly.
        return pa.array(values, type=type_)
    except (pa.ArrowException, OverflowError):
        raise _MisfitError(name) from None


def _types(source: Path, pa: Any) -> dict[str, Any]:
    """Return the type of each column over all rows: text where its values are of several types."""
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
