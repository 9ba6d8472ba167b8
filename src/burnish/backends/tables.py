"""Reads a refined file as a dataset of the `datasets` library, and writes datasets and data frames as files."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from burnish.config import DataConfig
from burnish.errors import BackendError, DataError
from burnish.forms.json_text import dump
from burnish.forms.table import rows_in
from burnish.store.files import PART, checksum, explained_write_errors, replacing


def read_dataset(path: Path) -> Any:
    """Return a JSONL, JSON, CSV or Parquet file as a `datasets.Dataset` in memory. Columns and rows keep their order.

    A row that cannot be read, and was therefore skipped, becomes a row of nulls. Raises BackendError if the library
    `datasets` is missing.
    """
    library = _library()
    if path.name.endswith(".parquet"):
        # `Dataset.from_parquet` is not used, because it writes a copy of the file into the library's cache.
        return library.Dataset(importlib.import_module("pyarrow.parquet").read_table(path))
    rows = [raw.values or {} for raw in rows_in(DataConfig(source=str(path)))]
    # The columns are taken from all rows, because a later row of JSON lines may have a column that the first one lacks.
    columns = dict.fromkeys(name for row in rows for name in row)
    return library.Dataset.from_dict({name: _column([row.get(name) for row in rows]) for name in columns})


def _column(values: Sequence[JsonValue]) -> Sequence[JsonValue]:
    """Return a column's values, as text if they have several types. A table has one type for each column."""
    arrow = importlib.import_module("pyarrow")
    try:
        # This is only a trial. The library makes its own array of the values and would fail at one of them.
        arrow.array(values)
    except (arrow.ArrowException, OverflowError):
        return [value if value is None or isinstance(value, str) else dump(value).decode() for value in values]
    return values


def write_dataset(dataset: Any, folder: Path) -> Path:
    """Write a `datasets.Dataset` as a Parquet file named by its fingerprint, and return the path of the file."""
    # Everything that is done to a dataset changes its fingerprint, so a file of that name has the same rows.
    path = folder / f"{dataset._fingerprint}.parquet"
    if not path.exists():
        with replacing(path) as file:
            dataset.to_parquet(file)
    return path


def write_frame(frame: Any, folder: Path) -> Path:
    """Write a pandas DataFrame as a Parquet file named by its content, and return the path of the file.

    An index that has a name becomes a column. The row numbers that pandas makes do not. Raises DataError if a column
    cannot be written as Parquet, such as a column of mixed types.
    """
    arrow = importlib.import_module("pyarrow")
    named = [name for name in frame.index.names if name is not None]
    whole = frame.reset_index() if named else frame
    try:
        # The metadata contain the version of pandas. Without them, equal data give equal files.
        table = arrow.Table.from_pandas(whole, preserve_index=False).replace_schema_metadata(None)
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"data: the DataFrame has no form as a table ({error!s:.300}); give each column values of one type"
        ) from None
    beside = folder / f".frame.{os.getpid()}{PART}"
    with explained_write_errors(beside):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            importlib.import_module("pyarrow.parquet").write_table(table, beside)
            # The name depends on the content, so the file is first written under another name. That name contains the
            # process id, so that two processes do not use the same one.
            path = folder / f"{checksum(beside)[:16]}.parquet"
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    return path


def _library() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise BackendError("datasets is not installed; install: pip install 'burnish[train]'") from None
