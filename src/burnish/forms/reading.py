"""Says how a table is read, as far as the identity of the results that were made from it depends on this.

The first version of burnish recognised four forms by the names of their columns. It ignored columns and marks that it
did not know. If a table is still read as that version read it, the results that were made from it keep their identity.
Any other way of reading is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from burnish.config import Columns, DataConfig
from burnish.errors import DataError
from burnish.forms.cells import UnusableError, is_absent, is_empty
from burnish.forms.files import reading
from burnish.forms.layout import Layout, layout_of
from burnish.forms.recognise import UsableRow
from burnish.forms.rows import used
from burnish.forms.table import DataTable, FileKind
from burnish.forms.turns import is_untrained, listed

# A part of what a stage records. It must be raised if the rules of reading change, so that old results are not taken
# for new ones.
_VERSION = 2
_PIECE = 1024**2
_LONGEST = 64
"""The most bytes of a name that may lie across the end of a piece."""
_NAMES = rb'"(?:context|input|instruction|system|system_prompt|history|tools|functions|weight|train|training)\\*"+\s*:'
"""Matches a name in JSON, in JSON text inside JSON (`\\\\"`), or in a cell of CSV (`""`)."""
# The keys that can mark a turn as one that must not be learned (see `is_untrained`). The first version ignored them.
_MARKS = {"weight", "train", "training"}
_ROLES = ("system", "user", "assistant")


def recorded(table: DataTable) -> dict[str, Any]:
    """Return what the config of a stage records about how a table is read.

    It is empty if the first version read the table in the same way.
    """
    config, layout = table.config, table.layout
    # There are two questions. Would the first version have found the same columns? And would it have read each row in
    # the same way? The second one may need all rows, so it comes last.
    first = _as_at_first(layout, config)
    if first == _without_new(layout.at) and not _is_read_anew(table, _stamp(table.files)):
        return {}
    return {
        "reading": _VERSION,
        "form": str(layout.form),
        "columns": None if config.columns is None else config.columns.given,
        "extra_columns": sorted(config.extra_columns),
        "at": layout.at.given,
    }


def _as_at_first(layout: Layout, config: DataConfig) -> Columns | None:
    columns = (*layout.at.given.values(), *layout.unused)
    try:
        plain = config.model_copy(update={"columns": None, "extra_columns": ()})
        return _without_new(layout_of(tuple(dict.fromkeys(columns)), plain).at)
    except UnusableError:
        return None


def _without_new(at: Columns) -> Columns:
    # The first version did not know these columns. If they are empty in every row, they change nothing. `_anew` looks
    # at the rows.
    return at.model_copy(update={"system": None, "history": None})


def _stamp(files: tuple[Path, ...]) -> tuple[tuple[int, int], ...]:
    # Size and time are part of the key of the cache below. So a file that has changed is looked at again.
    stats = [file.stat() for file in files]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


@lru_cache(maxsize=16)  # asked when a run is planned and when it runs
def _is_read_anew(table: DataTable, stamp: tuple[tuple[int, int], ...]) -> bool:
    """Say whether any row is read in another way than the first version read it."""
    # With `error`, a row that the first version could not use stopped it, so nothing was made from such a table. With
    # `skip`, it left the row out. If the row is used now, this is another reading.
    skips = table.config.on_bad_row == "skip"
    if not skips and not _may_be_read_anew(table):
        return False
    try:
        for raw in table.raw_rows():
            row = used(table.form, raw, table.config)
            if raw.values is not None and _anew(row if isinstance(row, UsableRow) else None, raw.values, table, skips):
                return True
    except DataError:  # the code that reads the rows reports it
        return True
    return False


def _may_be_read_anew(table: DataTable) -> bool:
    """Say whether the rows must be read to know this. Return False if the names alone show that nothing has changed."""
    # A table may have millions of rows, and every plan of a run asks. So the cheap signs come first.
    layout = table.layout
    if table.kind in {FileKind.JSONL, FileKind.JSON}:
        # Each row of JSON may have columns of its own, so the layout of the first row says nothing about the others.
        return _names_there(table.files[0])
    # CSV and Parquet have the same columns in all rows. Only the rows can tell whether one of these columns is empty
    # everywhere.
    if layout.doubtful or layout.at.system or layout.at.history:
        return True
    first = next((raw.values for raw in table.raw_rows() if raw.values is not None), None)
    answer = None if first is None else first.get(layout.answer)
    if isinstance(answer, str):
        # A plain text has no marks. A conversation held as text may have them, and a search through the bytes of the
        # file finds them. Rows from the hub have no file to search, so they must be read.
        return layout.at.messages is not None and (not table.files or _names_there(table.files[0]))
    if isinstance(answer, list) and answer and isinstance(answer[-1], dict):
        return bool(_MARKS & answer[-1].keys())  # in a table of Arrow all turns have the same keys
    return False


def _names_there(path: Path) -> bool:
    """Say whether a file has one of the names on which the reading depends.

    This is fast, and the file is never held as a whole.
    """
    names, rest = re.compile(_NAMES, re.IGNORECASE), b""
    with reading(path) as file:
        while piece := file.read(_PIECE):
            # A name may begin in one piece and end in the next one. So the end of each piece is searched again with the
            # next piece.
            if names.search(rest + piece):
                return True
            rest = piece[-_LONGEST:]
    return False


def _anew(row: UsableRow | None, values: Mapping[str, JsonValue], table: DataTable, skips: bool) -> bool:
    try:
        layout = layout_of(tuple(values), table.config)
    except UnusableError:
        return False
    at = layout.at
    more = [column for column in (at.system, at.history) if column is not None]
    # The first version read the row without these columns. Today their texts belong to the prompt, or they make the row
    # bad.
    if any(not is_empty(values.get(column)) for column in (*layout.doubtful, *more)):
        return True
    try:
        if at.messages is not None or isinstance(values[layout.answer], list):
            turns = listed(values[layout.answer], layout.answer)
            # The first version refined a marked answer. Today it makes the row bad.
            return is_untrained(turns[-1]) or (skips and row is not None and not all(map(_plain_turn, turns)))
    except UnusableError:
        return False
    # The first version skipped rows with numbers or lists of parts in place of a text. Today they are used.
    texts = [values.get(column) for column in (at.prompt, at.completion, at.context) if column is not None]
    return skips and row is not None and not all(isinstance(text, str) or is_absent(text) for text in texts)


def _plain_turn(turn: JsonValue) -> bool:
    """Say whether the first version could use a turn."""
    return isinstance(turn, dict) and turn.get("role") in _ROLES and isinstance(turn.get("content"), str)
