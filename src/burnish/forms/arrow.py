"""Arrow tables from a Parquet file or from the Hugging Face hub. They are read in batches and written as Parquet."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from burnish.config import DataConfig
from burnish.errors import BackendError, ConfigError, DataError
from burnish.forms.cells import UnusableError, text_bytes
from burnish.forms.layout import layout_of
from burnish.forms.rows import MAX_ROW_BYTES, Edit, RawRow, broken, too_long

# The number of rows that become Python objects at the same time. This limits the memory, however many rows a file has.
_BATCH_ROWS = 1024
_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 * 1024**2
"""The rows and bytes that are collected for one row group. Many small groups are slow to read."""


class Tables(Protocol):
    """A source of Arrow tables. All tables have the same schema, and they come in the order of the rows."""

    def schema(self) -> Any:
        """Return the `pyarrow.Schema` with its metadata."""
        ...

    def batches(self, columns: list[str] | None) -> Iterator[Any]:
        """Yield tables of the type `pyarrow.Table` with these columns, or with all columns if `columns` is None."""
        ...

    def count(self) -> int:
        """Return the number of rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowSource:
    """A dataset of Arrow tables.

    Only the columns that burnish reads become Python objects. `label` is the beginning of the name of each row.
    """

    tables: Tables
    label: str
    config: DataConfig

    def rows(self) -> Iterator[RawRow]:
        """Yield every row. A column that burnish does not read is there with the value None.

        Raises DataError if two columns have the same name.
        """
        names: list[str] = self._schema().names
        position = 0
        for table in self.tables.batches(self._read_columns(names)):
            yield from self._rows_of(table, names, position)
            position += table.num_rows

    def rewrite(self, file: BinaryIO, edit: Edit) -> int:
        """Write all rows with the schema of the source, and return their number. Values that stay never leave Arrow.

        A column of numbers becomes a column of texts if one of its new answers is not a number of the column's type.
        Raises DataError as `rows` and `Edit.row` do.
        """
        old = self._schema()
        # A Parquet file has one schema, which must be known before the first row is written. So all new answers are
        # looked at before any row is read.
        schema = self._schema_after(old, edit)
        position = 0
        with Groups(file, schema) as out:
            for table in self.tables.batches(None):
                # The cast comes before the edit. If one new answer is a text, the numbers that stay must become texts,
                # too.
                read = table if schema is old else table.cast(schema)
                out.add(self._edited(table, read, position, edit))
                position += table.num_rows
        return position

    def _schema_after(self, schema: Any, edit: Edit) -> Any:
        pa = library("pyarrow", "Parquet")
        # Only a column of numbers can have an answer that does not fit. A text fits into every other column of answers.
        column = layout_of(tuple(schema.names), edit.config).answer
        index = schema.get_field_index(column)
        field = schema.field(index)
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            return schema
        answers = (edit.completion_at(position) for position in range(self.tables.count()))
        if all(answer is None or _fits(answer, field.type, pa) for answer in answers):
            return schema
        return schema.set(index, field.with_type(pa.string()))

    def _schema(self) -> Any:
        schema = self.tables.schema()
        # Arrow allows two columns of one name. As a dictionary, a row would keep only the last of them.
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice:
            raise DataError(f"{self.label}: column {twice[0]!r} is there twice; rename one of them")
        return schema

    def _read_columns(self, names: list[str]) -> list[str]:
        try:
            wanted = {*layout_of(tuple(names), self.config).columns}
        except UnusableError:
            # No form fits. The rows are still read, so that the reader of rows can say for each of them why it cannot
            # be used.
            wanted = set[str]()
        wanted |= {column for column in (self.config.id_column, self.config.reference_column) if column is not None}
        # Without any column, Arrow does not tell the number of rows. So at least one column is read.
        return [name for name in names if name in wanted] or names[:1]

    def _rows_of(self, table: Any, names: list[str], position: int) -> Iterator[RawRow]:
        # If the whole batch is below the limit, so is each of its rows. Then the texts need not be counted.
        small = table.nbytes <= MAX_ROW_BYTES
        for offset, values in enumerate(python_rows(table)):
            at = position + offset
            where = f"{self.label} row {at + 1}"
            if values is None:
                yield broken(where, at, "invalid UTF-8 in a text; write the file again with valid texts")
            elif not small and (size := text_bytes(values)) > MAX_ROW_BYTES:
                yield too_long(where, at, size)
            else:
                # The names of all columns are needed, because the form is recognised by them. Columns that are not read
                # are None.
                yield RawRow(where=where, position=at, values={**dict.fromkeys(names), **values})

    def _edited(self, table: Any, written: Any, position: int, edit: Edit) -> Any:
        """Return `written` with the new answers.

        It holds the rows of `table` in the schema of the file that is written.
        """
        answers = {
            offset: completion
            for offset in range(table.num_rows)
            if (completion := edit.completion_at(position + offset)) is not None
        }
        if not answers:
            return written
        names: list[str] = table.schema.names
        # The rows are read from the source's own table: in `written` a number may already be a text.
        raws = self._rows_of(table.select(self._read_columns(names)), names, position)
        column = layout_of(tuple(names), edit.config).answer
        changed = {
            offset: edit.values(raw, answers[offset])[column] for offset, raw in enumerate(raws) if offset in answers
        }
        return _with_values(written, table.schema.get_field_index(column), changed)


def _fits(answer: str, type_: Any, pa: Any) -> bool:
    """Say whether a text is a number that an Arrow type holds with all its digits."""
    try:
        # `type` is used and not isinstance, because `true` is an int in Python. The comparison is needed, because
        # pyarrow gives no error if a type cannot hold a number: 1.5 becomes 1 in a type of whole numbers, and 0.1
        # becomes another number in float32.
        value = json.loads(answer)
        return type(value) in (int, float) and pa.array([value], type=type_)[0].as_py() == value
    except (ValueError, pa.ArrowException, OverflowError):
        return False


def python_rows(table: Any) -> Iterator[dict[str, Any] | None]:
    """Yield the rows of a table as dictionaries. A row is None if one of its texts is not valid UTF-8."""
    try:
        # `to_pylist` makes the whole list before the first row is yielded. So if it fails, no row was yielded yet, and
        # each row is read alone. This is slow, but then one bad text costs only its own row.
        yield from table.to_pylist()
    except UnicodeDecodeError:
        for offset in range(table.num_rows):
            try:
                yield table.slice(offset, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _with_values(table: Any, index: int, changed: dict[int, Any]) -> Any:
    """Return a table with other values in some rows of one column. The column is cut into pieces and joined again."""
    pa = library("pyarrow", "Parquet")
    field, old = table.schema.field(index), table.column(index)
    pieces: list[Any] = []
    start = 0
    text = pa.types.is_string(field.type)
    # `start` is the first row that is not in `pieces` yet. The rows between two new answers never become Python
    # objects. So a timestamp in nanoseconds or a nested list in the answer's column keeps every bit.
    for offset, value in sorted(changed.items()):
        # A new answer may be a number although its column has become a column of texts.
        written = str(value) if text and not isinstance(value, str) else value
        pieces += [*old.slice(start, offset - start).chunks, pa.array([written], type=field.type)]
        start = offset + 1
    pieces += old.slice(start).chunks
    return table.set_column(index, field, pa.chunked_array(pieces, type=field.type).combine_chunks())


class Groups:
    """Writes tables to a Parquet file. Small tables are collected until they make a row group of a good size."""

    def __init__(self, file: BinaryIO, schema: Any) -> None:
        self._pa = library("pyarrow", "Parquet")
        self._schema = schema
        self._writer = library("pyarrow.parquet", "Parquet").ParquetWriter(file, schema)
        self._tables: list[Any] = []

    def add(self, table: Any) -> None:
        """Take a table. It is written as soon as there are enough rows or bytes for a row group."""
        self._tables.append(table)
        rows, size = sum(held.num_rows for held in self._tables), sum(held.nbytes for held in self._tables)
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._tables:
            self._writer.write_table(self._pa.concat_tables(self._tables).cast(self._schema))
            self._tables.clear()

    def __enter__(self) -> Groups:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        # After an error nothing more is written, because the file is thrown away. The writer is closed in any case,
        # because it keeps the file open.
        if failed is None:
            self._flush()
        self._writer.close()


def library(name: str, what: str) -> Any:
    """Import a module of pyarrow. It is imported only when it is needed, because pyarrow is not part of the light core.

    `what` is the beginning of the error message. Raises DataError if pyarrow is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"{what}: the package `pyarrow` is not installed; run pip install 'burnish[train]'") from None


@dataclass(frozen=True, slots=True)
class ParquetTables:
    """The tables of a `.parquet` file.

    Each method raises DataError if the file is damaged or pyarrow is not installed.
    """

    path: Path

    def schema(self) -> Any:
        """Return the schema of the file."""
        with self._opened() as file:
            return file.schema_arrow

    def batches(self, columns: list[str] | None) -> Iterator[Any]:
        """Yield the rows of the file in batches. Raises DataError if the file is damaged."""
        pa = library("pyarrow", self.path.name)
        with self._opened() as file:
            try:
                # Damage in the middle of a file is found only here. The footer at the end of the file may be whole.
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                    yield pa.Table.from_batches([batch])
            except (OSError, ValueError) as error:
                raise self._damaged(error) from None

    def count(self) -> int:
        """Return the number of rows, which the end of the file gives."""
        with self._opened() as file:
            return file.metadata.num_rows

    def _opened(self) -> Any:
        parquet = library("pyarrow.parquet", self.path.name)
        try:
            return parquet.ParquetFile(self.path, pre_buffer=False)  # a buffer would hold whole row groups
        except (OSError, ValueError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.path.name}: not a whole Parquet file ({error!s:.200}); write it again")


@dataclass(frozen=True, slots=True)
class HubTables:
    """The tables of one split of a dataset on the hub. The package `datasets` downloads the dataset once and keeps it.

    Each method raises BackendError if that package is not installed, and ConfigError if the dataset cannot be loaded.
    """

    config: DataConfig

    def schema(self) -> Any:
        """Return the schema of the dataset's features."""
        return self._loaded().features.arrow_schema

    def batches(self, columns: list[str] | None) -> Iterator[Any]:
        """Yield the rows of the split in batches."""
        dataset = self._loaded()
        # The format "arrow" gives Arrow tables. Without it the library would turn every cell into a Python object,
        # images too.
        chosen = dataset if columns is None else dataset.select_columns(columns)
        yield from chosen.with_format("arrow").iter(batch_size=_BATCH_ROWS)

    def count(self) -> int:
        """Return the number of rows of the split."""
        return self._loaded().num_rows

    def _loaded(self) -> Any:
        config = self.config
        # Imported here: the library takes seconds to load and is not part of the light core.
        try:
            library: Any = importlib.import_module("datasets")
        except ImportError:
            raise BackendError(
                f"data.source: {config.source!r} is a hub id, and the package `datasets` is not installed; run "
                "pip install 'burnish[train]', or give a local file"
            ) from None
        try:
            return library.load_dataset(config.source, config.subset, revision=config.revision, split=config.split)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"data.source: {config.split} of {config.source!r} (subset {config.subset or 'default'}, revision "
                f"{config.revision or 'newest'}) could not be loaded: {error}; check the id, the subset, the split, "
                "the revision and the connection, or give a local file"
            ) from error
