"""A dataset as a table.

It is opened once to learn its form, then read row by row, and written back with some answers replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from pydantic import JsonValue

from burnish.config import DataConfig, expanded, looks_like_hub_id
from burnish.errors import ConfigError, DataError
from burnish.forms.arrow import ArrowSource, HubTables, ParquetTables
from burnish.forms.csv_file import CsvSource
from burnish.forms.json_list import JsonSource
from burnish.forms.jsonl import JsonlSource
from burnish.forms.layout import Form, Layout, layout_of
from burnish.forms.recognise import BadRow, UsableRow, recognise
from burnish.forms.rows import Edit, RawRow, Source, used
from burnish.store.files import replacing


class FileKind(StrEnum):
    """The kind of a dataset's file, or the hub."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    HUB = "hub"


_KINDS: Mapping[str, FileKind] = {
    ".jsonl": FileKind.JSONL,
    ".jsonl.gz": FileKind.JSONL,
    ".json": FileKind.JSON,
    ".csv": FileKind.CSV,
    ".csv.gz": FileKind.CSV,
    ".tsv": FileKind.CSV,
    ".tsv.gz": FileKind.CSV,
    ".parquet": FileKind.PARQUET,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTable:
    """A dataset whose form is known. None of its rows is held in memory, except for a `.json` file while it is read."""

    config: DataConfig
    kind: FileKind
    files: tuple[Path, ...]
    layout: Layout
    """The layout of the first row that can be used."""

    @property
    def form(self) -> Form:
        """The form that all rows have."""
        return self.layout.form

    @property
    def name(self) -> str:
        """The file name of the refined dataset. It ends like the source, or in `.parquet` for a dataset on the hub."""
        return f"refined{_suffix(self.files[0].name) if self.files else '.parquet'}"

    def read(self) -> Iterator[UsableRow | BadRow]:
        """Yield every row of the source in order. Raises DataError only if the file itself is wrong."""
        for raw in self.raw_rows():
            yield used(self.form, raw, self.config)

    def raw_rows(self) -> Iterator[RawRow]:
        """Yield every row of the source in order, before it is read in its form.

        A column that is not read may have the value None.
        """
        return _source(self.config, self.kind, self.files).rows()

    def values(self) -> Iterator[Mapping[str, JsonValue] | None]:
        """Yield the columns of every row of the source in order. A row that cannot be read is None."""
        for raw in self.raw_rows():
            yield raw.values

    def write(
        self,
        into: Path,
        completion_at: Callable[[int], str | None],
        *,
        original_at: Callable[[int], str | None] = lambda _: None,
        keep: Callable[[int, str], object] = lambda _, __: None,
    ) -> int:
        """Copy the dataset to the file `into`. A row gets another answer if `completion_at(position)` is not None.

        The file is either complete or absent. Rows without another answer are copied as they are, also those that
        cannot be used. `original_at` and `keep` are as in `Edit`. Returns the number of rows that were written. Raises
        DataError if a row that gets another answer cannot be used, and StageError if `into` cannot be written.
        """
        edit = Edit(form=self.form, config=self.config, completion_at=completion_at, original_at=original_at, keep=keep)
        with replacing(into) as file:
            return _source(self.config, self.kind, self.files).rewrite(file, edit)


def open_table(config: DataConfig) -> DataTable:
    """Find a dataset, and learn its form from the first row that can be used.

    Raises ConfigError if the source or a column does not exist, DataError if no row can be used, and BackendError if a
    dataset on the hub needs a package that is not installed.
    """
    kind, files = _located(config)
    return DataTable(config=config, kind=kind, files=files, layout=_layout(_source(config, kind, files), config))


def rows_in(config: DataConfig) -> Iterator[RawRow]:
    """Yield the rows of a dataset as they are, whatever their form is.

    Raises ConfigError if there is no such dataset.
    """
    kind, files = _located(config)
    return _source(config, kind, files).rows()


def _located(config: DataConfig) -> tuple[FileKind, tuple[Path, ...]]:
    source = expanded(config.source, "data.source")
    suffix = _suffix(source)
    # A path comes before a hub id. `data/train` may be both, and if the file exists, it was meant.
    if not os.path.exists(source):  # Path.exists raises an error if a name is too long
        # `data/train.jsonl` has the form of a hub id, too. Its ending shows that a file was meant, so the error is
        # about a file.
        if suffix is None and looks_like_hub_id(config.source):
            return FileKind.HUB, ()
        raise ConfigError(
            f"data.source: {config.source!r} does not exist and is no hub id (OWNER/NAME); give {_suffixes()}, or a "
            "hub id"
        )
    if not os.path.isfile(source):
        raise ConfigError(f"data.source: {config.source!r} is not a file; give {_suffixes()}")
    if suffix is None:
        raise ConfigError(f"data.source: {config.source!r} is of no known kind; give {_suffixes()}")
    return _KINDS[suffix], (Path(source),)


def _suffix(name: str) -> str | None:
    return next((suffix for suffix in _KINDS if name.lower().endswith(suffix)), None)


def _suffixes() -> str:
    return f"a file that ends in {', '.join(_KINDS)}"


def _source(config: DataConfig, kind: FileKind, files: tuple[Path, ...]) -> Source:
    match kind:
        case FileKind.JSONL:
            return JsonlSource(files[0])
        case FileKind.JSON:
            return JsonSource(files[0])
        case FileKind.CSV:
            return CsvSource(files[0])
        case FileKind.PARQUET:
            return ArrowSource(tables=ParquetTables(files[0]), label=files[0].name, config=config)
        case FileKind.HUB:
            return ArrowSource(tables=HubTables(config), label=f"{config.source} {config.split}", config=config)
        case _:
            assert_never(kind)


def _layout(source: Source, config: DataConfig) -> Layout:
    """Return the layout of the first usable row. If there is none, the error says what is wrong with the first row."""
    # The first row of a real table may be unusable (a blank answer, for example). Then the next one decides.
    first_error = ""
    for raw in source.rows():
        found = _usable_layout(raw, config)
        if isinstance(found, Layout):
            _check_columns(raw, config)
            return found
        first_error = first_error or found
    if first_error:
        raise DataError(f"{first_error} (no row of {config.source} can be used)")
    raise DataError(f"{config.source}: no rows; give a file with at least one")


def _usable_layout(raw: RawRow, config: DataConfig) -> Layout | str:
    if raw.values is None:
        return f"{raw.where}: {raw.flaw}"
    try:
        form = recognise(raw.values, raw.where, config)
    except DataError as error:
        return str(error)
    row = used(form, raw, config)
    if isinstance(row, BadRow):
        return f"{row.where}: {row.why}"
    return layout_of(tuple(raw.values), config)


def _check_columns(raw: RawRow, config: DataConfig) -> None:
    """Raise ConfigError if a column that the config names does not exist. Only the default id column may be absent."""
    columns = raw.values or {}
    id_default = DataConfig.model_fields["id_column"].default
    named = {"reference_column": config.reference_column, "id_column": config.id_column}
    for field, column in named.items():
        if column is not None and column not in columns and column != id_default:
            found = ", ".join(repr(name) for name in columns)
            raise ConfigError(
                f"data.{field}: no column {column!r} at {raw.where}, found {found:.300}; name one of them"
            )
