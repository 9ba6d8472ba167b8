"""Files of labels: one row for each label that a worker gave to an item, and files of one label for each item."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import assert_never

from pydantic import JsonValue

from burnish.algorithms.aggregation import AggregatedLabel
from burnish.algorithms.label_table import GivenLabel, by_size
from burnish.errors import ConfigError, DataError
from burnish.forms.cells import is_absent, shown
from burnish.forms.csv_file import CsvSource
from burnish.forms.jsonl import JsonlSource
from burnish.people.sheet import Sheet, guarded
from burnish.store.files import write_atomic
from burnish.store.json_rows import dump_line

ITEM, WORKER, LABEL = COLUMNS = ("item", "worker", "label")
RIGHT = "right"
"""The column of the right label, in a table of gold items."""
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_JSONL = (".jsonl", ".jsonl.gz")


def order_of(text: str | None) -> tuple[str, ...]:
    """Read `A,tie,B`: the labels from one end of their scale to the other. None gives no order.

    Raises ConfigError if a label is empty or comes twice, or if there are fewer than two.
    """
    if text is None:
        return ()
    labels = tuple(label.strip() for label in text.split(","))
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(labels):
        raise ConfigError(
            f"--ordinal: {shown(text)} found; write two labels or more, each once, from one end of the scale to the "
            "other, such as A,tie,B"
        )
    return labels


def read_labels(path: Path, order: Sequence[str] = ()) -> list[GivenLabel]:
    """Read a long table with the columns item, worker and label. Other columns are ignored.

    `order` is that of `order_of`. The file is CSV, TSV or JSONL, and may be packed as `.gz`. Raises ConfigError if it
    is of another kind. Raises DataError, which names the row, if a column or a value is missing, if a worker labels an
    item twice, if a label is not in `order`, or if fewer than two workers gave labels.
    """
    given = [one for _, _, one in _given(path, order)]
    if len({one.worker for one in given}) < 2:
        raise DataError(
            f"{path.name}: column {WORKER!r} is {shown(given[0].worker)} in every row; agreement needs the labels of "
            "two workers or more, in one file"
        )
    return given


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GoldLabels:
    """Labels that workers gave to gold items, and the right label of each of these items."""

    given: tuple[GivenLabel, ...] = ()
    right: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


def read_gold(path: Path, labels: Sequence[GivenLabel], order: Sequence[str] = ()) -> GoldLabels:
    """Read labels of items whose right label is known, in a table that has also the column `right`.

    `labels` are those of the other items. Raises DataError as `read_labels` does, and if an item has two right labels,
    if a right label is one that nobody ever gave, or if an item is among the others, too.
    """
    others = {one.item for one in labels}
    right: dict[str, str] = {}
    given: list[GivenLabel] = []
    places: dict[str, str] = {}
    for where, values, one in _given(path, order):
        label = _cell(where, values, RIGHT)
        if right.setdefault(one.item, label) != label:
            raise DataError(
                f"{where}: column {RIGHT!r} is {shown(label)}, but {shown(right[one.item])} for the same item before; "
                "correct one of them"
            )
        if one.item in others:
            raise DataError(f"{where}: {ITEM} {shown(one.item)} is in FILE, too; leave it in one of the two files")
        given.append(one)
        places[one.item] = where
    known = {one.label for one in (*labels, *given)}
    for item, label in right.items():
        if label not in known:
            raise DataError(
                f"{places[item]}: column {RIGHT!r} is {shown(label)}, which no worker gave to any item; write it as "
                "the workers do"
            )
    return GoldLabels(given=tuple(given), right=right)


def _given(path: Path, order: Sequence[str]) -> list[tuple[str, Mapping[str, JsonValue], GivenLabel]]:
    """Return the place, the values and the label of each row. Raises as `read_labels` does."""
    found: list[tuple[str, Mapping[str, JsonValue], GivenLabel]] = []
    # {(item, worker): the place of the row}
    places: dict[tuple[str, str], str] = {}
    for where, values in _rows(path):
        item, worker, label = (_cell(where, values, column) for column in COLUMNS)
        if order and label not in order:
            raise DataError(
                f"{where}: column {LABEL!r} is {shown(label)}, which is not in --ordinal {','.join(order):.200}; add "
                "it there, or remove the row"
            )
        earlier = places.setdefault((item, worker), where)
        if earlier is not where:
            raise DataError(
                f"{where}: {WORKER} {shown(worker)} labels {ITEM} {shown(item)} a second time (first: {earlier}); "
                "leave one of the two rows"
            )
        found.append((where, values, GivenLabel(item=item, worker=worker, label=label)))
    if not found:
        raise DataError(f"{path.name}: no rows; give a file with the columns {', '.join(COLUMNS)}")
    return found


def write_aggregated(path: Path, labels: Iterable[AggregatedLabel], overwrite: bool = False) -> int:
    """Write aggregated labels to a CSV or JSONL file, and return how many there are.

    Raises ConfigError as `check_target` does, and StageError if the file cannot be written.
    """
    sheet = _sheet_of(path, overwrite)
    names = [field.name for field in dataclasses.fields(AggregatedLabel)]
    rows = [{name: getattr(one, name) for name in names} for one in labels]
    match sheet:
        case Sheet.JSONL:
            data = b"".join(dump_line(row) for row in rows)
        case Sheet.CSV:
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\r\n")
            writer.writerow(names)
            writer.writerows([_safe(value) for value in row.values()] for row in rows)
            data = out.getvalue().encode("utf-8-sig")
        case _:
            assert_never(sheet)
    write_atomic(path, data)
    return len(rows)


def check_target(path: Path | None, by: str | None, overwrite: bool, gold: Path | None = None) -> None:
    """Check the file for aggregated labels before anything is computed. `path` is None if none is written.

    Raises ConfigError if the file exists (unless `overwrite` is true) or is of another kind than .csv and .jsonl, or if
    an option needs a file and there is none, or if there are gold items for a vote, which cannot use them.
    """
    if gold is not None and (path is None or by not in ("dawid-skene", "one-coin")):
        raise ConfigError("--gold: helps only a model of the workers; give --labels FILE --by dawid-skene, too")
    if path is not None:
        _sheet_of(path, overwrite)
    elif by is not None or overwrite:
        unread = f"--by: {by!r}" if by is not None else "--overwrite: it"
        raise ConfigError(f"{unread} has no effect without --labels; give --labels FILE, or leave it out")


def _sheet_of(path: Path, overwrite: bool) -> Sheet:
    """Return the kind of file to write. Raises ConfigError as `check_target` does."""
    try:
        sheet = Sheet(path.suffix.lower())
    except ValueError:
        raise ConfigError(f"--labels: {str(path)!r:.300} is of no known kind; name a .csv or .jsonl file") from None
    if os.path.exists(path) and not overwrite:
        raise ConfigError(f"--labels: {str(path)!r:.300} exists; name another file, or give --overwrite")
    return sheet


def _safe(value: object) -> object:
    """Return a cell that a spreadsheet does not read as a formula. A number such as -1 is no formula."""
    if isinstance(value, bool):
        return str(value).lower()
    return guarded(value) if isinstance(value, str) and not by_size([value]) else value


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    """Yield the place and the values of each row. Raises ConfigError and DataError as `read_labels` does."""
    name = path.name.lower()
    if not name.endswith((*_CSV, *_JSONL)):
        raise ConfigError(
            f"FILE: {str(path)!r:.300} is of no known kind; give a file that ends in .csv, .tsv or .jsonl"
        )
    if not os.path.isfile(path):  # Path.is_file raises OSError for a name that is too long
        raise DataError(f"{path!s:.300}: no such file; check the path")
    source = CsvSource(path) if name.endswith(_CSV) else JsonlSource(path)
    for raw in source.rows():
        if raw.values is None:
            raise DataError(f"{raw.where}: {raw.flaw}")
        yield raw.where, raw.values


def _cell(where: str, values: Mapping[str, JsonValue], column: str) -> str:
    """Return a cell as a text without white space around it. Raises DataError if it is missing, empty, or no text,
    number or truth value."""
    if column not in values:
        found = ", ".join(map(shown, values))
        raise DataError(f"{where}: no column {column!r}, found {found:.300}; rename one of them, or add it")
    value = values[column]
    if is_absent(value):
        raise DataError(f"{where}: column {column!r} is empty; fill it in, or remove the row")
    match value:
        case str():
            return value.strip()
        case bool():
            return str(value).lower()
        # 2.0 in one row and 2 in another are one label.
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return str(value)
        case _:
            raise DataError(f"{where}: column {column!r} is {shown(value)}; write text or a number")
