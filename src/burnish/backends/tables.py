"""Datasets of the `datasets` library: a refined file as one, and one as a file that can be refined."""

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
    """Return a JSONL, JSON, CSV or Parquet file as a `datasets.Dataset` in memory, columns and rows in their order.

    A row that cannot be read, one that was skipped, is a row of nulls.
    """
    library = _library()
    if path.name.endswith(".parquet"):
        # Not `Dataset.from_parquet`: it would write a copy of the file into the library's cache.
        return library.Dataset(importlib.import_module("pyarrow.parquet").read_table(path))
    rows = [raw.values or {} for raw in rows_in(DataConfig(source=str(path)))]
    # From all rows, because a later row of JSON lines may have a column that the first one has not.
    columns = dict.fromkeys(name for row in rows for name in row)
    return library.Dataset.from_dict({name: _column([row.get(name) for row in rows]) for name in columns})


def _column(values: Sequence[JsonValue]) -> Sequence[JsonValue]:
    """Return a column's values; as text where they are of several types, since a table has one type for each column."""
    arrow = importlib.import_module("pyarrow")
    try:
        # Only tried out: the library makes its own array of the values, and would end with an error about one of them.
        arrow.array(values)
    except (arrow.ArrowException, OverflowError):
        return [value if value is None or isinstance(value, str) else dump(value).decode() for value in values]
    return values


def write_dataset(dataset: Any, folder: Path) -> Path:
    """Write a `datasets.Dataset` as Parquet, named by its fingerprint; returns the file."""
    # The fingerprint changes with everything that was done to the dataset, so a file of that name has the same rows.
    path = folder / f"{dataset._fingerprint}.parquet"
    if not path.exists():
        with replacing(path) as file:
            dataset.to_parquet(file)
    return path


def write_frame(frame: Any, folder: Path) -> Path:
    """Write a pandas DataFrame as Parquet, named by its content; returns the file.

    An index that has a name is a column of its own, the row numbers that pandas makes are none. Raises DataError where
    a column has no form as Parquet, such as one of mixed types.
    """
    arrow = importlib.import_module("pyarrow")
    named = [name for name in frame.index.names if name is not None]
    whole = frame.reset_index() if named else frame
    try:
        # The metadata name pandas and its version. Without them, equal data give an equal file.
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
            # The name needs the content, so the file is written under another name first. The process id in it keeps
            # two processes apart.
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
