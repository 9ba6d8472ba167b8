"""Proposals from a file: the file is found, paired with the rows of the dataset, and checked before anything is
spent."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from burnish.config import DataConfig, FileProposals, expanded
from burnish.errors import ConfigError, DataError
from burnish.forms.cells import UnusableError, as_text, is_absent, label_of, plain_text
from burnish.forms.ids import RowIds
from burnish.forms.json_text import parse_exactly
from burnish.forms.recognise import UsableRow
from burnish.forms.rows import RawRow
from burnish.forms.table import DataTable, rows_in
from burnish.report.text import plural
from burnish.steps.artifacts import DEMONSTRATIONS, Rows, read_json
from burnish.steps.basic import Steps
from burnish.steps.data import SHARED
from burnish.steps.proposing import proposal
from burnish.store import identity
from burnish.store.files import pretty, write_atomic, writing
from burnish.store.keys import KeySet, position
from burnish.store.known_hashes import KnownHashes
from burnish.store.stages import Work
from burnish.types import Artifact

FIELD = "proposals.path"
"""The config field that names the file."""
PAIRED = "paired.json"
"""The file of the stage that says how rows and proposals were paired."""
COLUMNS = ("proposal", "completion", "answer")
"""The columns that can hold proposals if the config names none. The first one that exists is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalsFile:
    """A file of proposals. `source` says how it is read, and `identity` is its content.

    `by_id`: rows are paired by the id column. Otherwise they are paired by their order.
    """

    name: str
    source: DataConfig
    identity: Artifact
    column: str
    by_id: bool

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of the file. Raises DataError if one cannot be read."""
        for raw in rows_in(self.source):
            if raw.values is None:
                raise DataError(f"proposals: {raw.where}: {raw.flaw}")
            yield raw

    def proposal(self, raw: RawRow) -> str:
        """Return the proposal of a row, or "" if it has none. Raises DataError if it is not a text."""
        value = (raw.values or {}).get(self.column)
        if isinstance(value, float) and raw.text:
            # The number is read again as it is written, so that 1.10 stays "1.10".
            exact = parse_exactly(raw.text)
            value = exact.get(self.column) if isinstance(exact, dict) else value
        value = as_text(value)
        try:
            return "" if is_absent(value) else plain_text(value, f"column {self.column!r}")
        except UnusableError as error:
            raise DataError(f"proposals: {raw.where}: {error}") from None

    def id_of(self, raw: RawRow) -> str:
        """Return the id of a row. Raises DataError if it has none."""
        try:
            id_ = label_of(raw.values or {}, self.source.id_column, "id")
        except UnusableError as error:
            raise DataError(f"proposals: {raw.where}: {error}") from None
        if id_ is None:
            raise DataError(f"proposals: {raw.where}: column {self.source.id_column!r} is empty; fill in the row's id")
        return id_


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """How many of the usable rows have a proposal, and how rows and proposals were paired."""

    given: int
    rows: int
    by_id: bool

    def words(self) -> str:
        """Return a line for people."""
        how = "by id" if self.by_id else "by the order of the rows"
        return f"proposals: {self.given:,} of {plural(self.rows, 'row')} have one, paired {how}"


def find_file(config: FileProposals, data: DataConfig, known: KnownHashes | None = None) -> ProposalsFile:
    """Find a file of proposals and its columns.

    Raises ConfigError, which names the field, if there is no such file or column, and DataError if it has no rows.
    """
    path = expanded(config.path, FIELD)
    if not os.path.isfile(path):
        raise ConfigError(
            f"{FIELD}: {config.path!r:.300} is not a file; give a JSONL, JSON, Parquet, CSV or TSV file with "
            "proposals, or a YAML file that names a model on a server"
        )
    source = DataConfig(source=path, id_column=data.id_column)
    try:
        first = next(rows_in(source), None)
    except ConfigError as error:  # the name of the file says no kind
        raise ConfigError(str(error).replace("data.source", FIELD, 1)) from None
    if first is None or first.values is None:
        raise DataError(f"{FIELD}: {config.path}: {'no rows' if first is None else first.flaw}; give a file with some")
    column, by_id = _column(config, first.values), data.id_column in first.values
    usual = str(DataConfig.model_fields["id_column"].default)
    if not by_id and usual in first.values:
        # By order, rows that come with an id could be paired with other rows without anybody noticing.
        raise ConfigError(
            f"{FIELD}: {config.path}: it has the column {usual!r}, but the id column of the dataset is "
            f"{data.id_column!r} (data.id_column); give both files the same id column"
        )
    return ProposalsFile(
        name=Path(path).name,
        # Of a Parquet file, only the columns that a config names are read.
        source=source.model_copy(update={"reference_column": column}),
        identity=identity.of_files([Path(path)], known),
        column=column,
        by_id=by_id,
    )


def _column(config: FileProposals, values: Mapping[str, object]) -> str:
    """Return the column with the proposals. Raises ConfigError if there is none."""
    found = next((name for name in COLUMNS if name in values), None) if config.column is None else config.column
    if found is None or found not in values:
        there = f"found {', '.join(map(repr, values)):.300}"
        wanted = " or ".join(map(repr, COLUMNS)) if config.column is None else repr(config.column)
        raise ConfigError(
            f"proposals.column: {config.path} has no column {wanted}, {there}; name the column with the proposals "
            "(--set proposals.column=NAME)"
        )
    return found


def file_proposals(
    steps: Steps, rows: Rows, file: ProposalsFile, table: DataTable, refused: Mapping[int, str]
) -> Artifact:
    """Return the stage that writes the proposals of a file as answers, and how they were paired.

    Proposals for rows that are not among `rows` are left out: such rows are held out, so nothing may change them. They
    are counted among the pairs, because a dry run counts them, too. The stage raises DataError as `check_file` does.
    """

    def run(work: Work) -> None:
        found, kept = Counter[bool](), rows.examples() if rows.parts else None
        with writing(work.path / DEMONSTRATIONS) as write:
            for id_, text in proposals_in(file, table, refused):
                found[bool(text)] += 1
                if kept is None or id_ in kept:
                    write(proposal(id_, text, file.identity.fingerprint))
        paired = _paired(file, found)
        write_atomic(work.path / PAIRED, pretty(paired))
        work.count(rows=paired.rows)

    config: dict[str, JsonValue] = {"column": file.column}
    # Without held-out rows these are all rows, as they were before rows could be held out.
    config |= rows.config if rows.parts else {}
    return steps.stage("file_proposals", config, {**rows.inputs, "file": file.identity}, run, "proposals", SHARED)


def read_paired(proposals: Artifact) -> Paired:
    """Read how the rows of a file and a dataset were paired."""
    return Paired(**read_json(proposals, PAIRED))


def check_file(file: ProposalsFile, table: DataTable, refused: Mapping[int, str]) -> Paired:
    """Read the whole file and pair its rows with those of the dataset. Raises DataError as `proposals_in` does, and if
    no row has a proposal."""
    return _paired(file, Counter(bool(text) for _, text in proposals_in(file, table, refused)))


def _paired(file: ProposalsFile, found: Counter[bool]) -> Paired:
    """Return the facts about rows with (True) and without a proposal. Raises DataError if none has one."""
    if not found[True]:
        raise DataError(f"proposals: {file.name}: column {file.column!r} is empty in all rows; give some proposals")
    return Paired(given=found[True], rows=found.total(), by_id=file.by_id)


def proposals_in(file: ProposalsFile, table: DataTable, refused: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Yield the id of each usable row of the dataset with its proposal, which is empty if the row has none.

    `refused` are the positions of rows that count as bad. Raises DataError naming the row of the file: for an id that
    no row of the dataset has, an id that comes twice, a proposal that is not a text, and without ids for another number
    of rows or another question.
    """
    return _by_id(file, table, refused) if file.by_id else _by_order(file, table, refused)


def _by_id(file: ProposalsFile, table: DataTable, refused: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    unusable: set[str] = set()
    usable = KeySet(id_ for id_, own in identified(table, refused, unusable) if own)
    given_N = np.zeros(len(usable), dtype=np.bool_)
    for raw in file.rows():
        id_ = file.id_of(raw)
        place = position(usable.keys_N, id_)
        if place >= 0 and given_N[place]:
            raise DataError(
                f"proposals: {raw.where}: a second proposal for the row {id_!r}; keep one proposal for each row"
            )
        if place >= 0:
            given_N[place] = True
            yield id_, file.proposal(raw)
        elif id_ not in unusable:
            raise DataError(
                f"proposals: {raw.where}: no row of {table.config.source} has the id {id_!r}; correct it, or take the "
                f"column {file.source.id_column!r} out of the file if its rows have the order of the dataset"
            )
    yield from ((id_, "") for id_ in usable.chosen(~given_N))


def identified(
    table: DataTable, refused: Mapping[int, str], unusable: set[str] | None = None
) -> Iterator[tuple[str, UsableRow | None]]:
    """Yield each row of the dataset with its id. The row is None if it cannot be used, and its id then "" if it has
    none. The ids of such rows are added to `unusable`.
    """
    ids = RowIds()
    for row in table.read():
        if isinstance(row, UsableRow) and row.position not in refused:
            yield ids.id_of(row.id, row.prompt), row
            continue
        if row.id is not None and unusable is not None:
            unusable.add(row.id)
        yield row.id or "", None


def _by_order(file: ProposalsFile, table: DataTable, refused: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    asked, id_column = table.layout.at.prompt, file.source.id_column
    for own, raw, other in zip_longest(identified(table, refused), file.rows(), table.raw_rows()):
        if own is None or raw is None or other is None:
            ours, theirs = sum(1 for _ in table.raw_rows()), sum(1 for _ in file.rows())
            raise DataError(
                f"proposals: {file.name} has {plural(theirs, 'row')} and no column {id_column!r}, but "
                f"{table.config.source} has {plural(ours, 'row')}; give one proposal for each row in the same order "
                "(it may be empty), or name the rows with their ids"
            )
        if not is_absent((raw.values or {}).get(id_column)):
            raise DataError(
                f"proposals: {raw.where}: it has the column {id_column!r}, but the first row of the file has not; name "
                "all rows with their ids, or none"
            )
        # A file that repeats the questions shows whether its rows are in the same order.
        here, there = ((one.values or {}).get(asked) if asked else None for one in (other, raw))
        if here is not None and there is not None and here != there:
            raise DataError(
                f"proposals: {raw.where}: column {asked!r} is {there!r:.80}, but {other.where} has {here!r:.80}; bring "
                f"the rows into the same order, or name them with the column {id_column!r}"
            )
        id_, usable = own
        if usable is not None:
            yield id_, file.proposal(raw)
