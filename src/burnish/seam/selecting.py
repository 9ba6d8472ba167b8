"""The verb `seam select`: a dataset of the prompts that a policy should be trained on, and why each was kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from burnish.algorithms.seam import Variant
from burnish.algorithms.seam_selection import (
    Decision,
    Fate,
    Ranked,
    SelectionOrder,
    difficulty_bins,
    select_prompts,
)
from burnish.config.columns import dataset
from burnish.errors import ConfigError, DataError, brief
from burnish.forms.ids import RowIds
from burnish.forms.json_text import dump
from burnish.forms.recognise import BadRow
from burnish.forms.rows import used
from burnish.forms.table import open_table
from burnish.report.text import plural
from burnish.seam.table import GOLD, PROMPT, TEXT, WORSE, TableRow
from burnish.store.files import explained_write_errors, pretty, replacing, write_atomic
from burnish.store.json_rows import dump_line

KEPT_FILE, LEDGER_FILE, SUMMARY_FILE = "kept.jsonl", "ledger.jsonl", "selection.json"
FILES = (KEPT_FILE, SUMMARY_FILE, LEDGER_FILE)
"""The files in the folder of `burnish seam select`, in the order in which they are written."""
LIKELIHOOD = "likelihood"
"""Stands for the difficulty that the table itself knows: how unlikely the gold answer is to the policy."""
REFERENCE = "reference"
"""The column that holds the gold answer in the dataset of kept prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectOptions:
    """What `burnish seam select` can be told.

    `keep` is the share of the prompts with a score that is kept, by the score `by`. `stratify` names a column of the
    table with numbers, or `likelihood`. The prompts are then divided by it into `strata` groups of equal size, and each
    group keeps the same share. `data` is the dataset from which the kept rows are copied, and
    `columns` names its columns, such as `prompt=query,completion=response`.
    """

    keep: float
    by: Variant = Variant.SEAM
    order: SelectionOrder = SelectionOrder.LOWEST
    stratify: str | None = None
    strata: int = 5
    seed: int = 0
    data: str | None = None
    columns: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSummary:
    """How many prompts were kept and dropped.

    `not_in_table` counts rows of the dataset without a line in the table. They have no score, so they are kept.
    `bad_rows` counts rows of the dataset that cannot be used. They are left out. `has_prompts` says whether what was
    written has prompts.
    """

    prompts: int
    kept: int
    dropped: int
    undefined: int
    not_in_table: int
    bad_rows: int
    sources: tuple[str, ...]
    has_prompts: bool

    def words(self) -> Iterator[str]:
        """Yield the lines that people read."""
        yield f"{plural(self.prompts, 'prompt')}: {self.kept:,} kept, {self.dropped:,} dropped by score"
        if self.undefined:
            yield f"{plural(self.undefined, 'prompt')} without a worse answer kept (no score)"
        if self.not_in_table:
            yield f"{plural(self.not_in_table, 'row')} of the dataset kept that the table does not have"
        if self.bad_rows:
            yield f"{plural(self.bad_rows, 'row')} of the dataset left out that cannot be used"
        if len(self.sources) > 1:
            yield f"ranks were taken within each of {len(self.sources)} sources: {', '.join(self.sources)}"
        if not self.has_prompts:
            yield "the table has no prompts, so only the other columns were written; give the dataset with --data"


def select(rows: Sequence[TableRow], options: SelectOptions, out: Path) -> SelectionSummary:
    """Choose prompts, and write the kept rows and the ledger into the folder `out`.

    `kept.jsonl` has the kept rows in the form that TRL's trainers read: those of the dataset as they are, or those of
    the table with `prompt` and, where the table has the text, `reference`. `ledger.jsonl` has a line for every row of
    the table: its score, its rank and whether it was kept. The ledger is written last.

    Raises ConfigError for a setting that cannot be used, DataError for a row that cannot be used, and StageError if
    the folder cannot be written.
    """
    strata = _strata(rows, options)
    ranked = [Ranked(id=str(row.id), score=row.score.values[options.by], stratum=strata[str(row.id)]) for row in rows]
    decisions = select_prompts(ranked, options.keep, options.order, options.seed)
    fates = {decision.id: decision.fate for decision in decisions}
    if options.data is None:
        written = _Written(rows=[table_line(row) for row in rows if fates[str(row.id)] is not Fate.DROPPED])
    else:
        written = _from_data(options.data, options.columns, fates)
    with explained_write_errors(out), replacing(out / KEPT_FILE) as file:
        for line in written.rows:
            file.write(line + b"\n")
    counts = Counter(fates.values())
    summary = SelectionSummary(
        prompts=len(rows),
        kept=counts[Fate.KEPT],
        dropped=counts[Fate.DROPPED],
        undefined=counts[Fate.UNDEFINED],
        not_in_table=written.not_in_table,
        bad_rows=written.bad_rows,
        sources=tuple(sorted({row.source for row in rows if row.source})),
        has_prompts=options.data is not None or all(PROMPT in row.values for row in rows),
    )
    write_atomic(out / SUMMARY_FILE, pretty({"options": options, "counts": summary}))
    sources = {str(row.id): row.source for row in rows}
    write_atomic(out / LEDGER_FILE, b"".join(dump_line(_ledger_line(one, sources[one.id])) for one in decisions))
    return summary


def _ledger_line(decision: Decision, source: str) -> dict[str, Any]:
    return {
        "id": decision.id,
        "kept": decision.kept,
        "reason": str(decision.fate),
        "score": decision.score,
        "rank": decision.rank,
        "of": decision.of,
        "source": source,
        "stratum": list(decision.stratum),
    }


def _strata(rows: Sequence[TableRow], options: SelectOptions) -> dict[str, tuple[str, ...]]:
    """Return {id: with which prompts it is compared}: those of its source and of about its difficulty."""
    if options.stratify is None:
        return {str(row.id): (row.source,) for row in rows}
    bins = difficulty_bins({str(row.id): _difficulty(row, options.stratify) for row in rows}, options.strata)
    return {
        str(row.id): (row.source, f"{options.stratify} {bins[str(row.id)] + 1} of {options.strata}") for row in rows
    }


def _difficulty(row: TableRow, column: str) -> float:
    """Return how difficult a prompt is. Raises DataError if the column holds no number."""
    if column == LIKELIHOOD:
        return -row.gold.per_token
    value = row.values.get(column)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(
            f"{row.where}: {column}: {brief(value)} found, and --stratify needs a number in every row; name another "
            f"column, or {LIKELIHOOD}"
        )
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """The lines of the dataset of kept rows, and what was met on the way."""

    rows: list[bytes]
    not_in_table: int = 0
    bad_rows: int = 0


def table_line(row: TableRow) -> bytes:
    """Return a row of the table as a row to train on, as JSON without a line end.

    It has not the numbers, but the text of the gold answer where the table has it.
    """
    values = {name: value for name, value in row.values.items() if name not in (GOLD, WORSE)}
    gold = row.values[GOLD]
    if isinstance(gold, dict) and isinstance(gold.get(TEXT), str) and REFERENCE not in values:
        values[REFERENCE] = gold[TEXT]
    return dump(values)


def _from_data(source: str, columns: str | None, fates: Mapping[str, Fate]) -> _Written:
    """Copy the rows of a dataset that are kept. Raises DataError if the table has an id that the dataset has not."""
    config = dataset(source, columns)
    table, ids = open_table(config), RowIds()
    lines: list[bytes] = []
    found: set[str] = set()
    bad = missing = 0
    for raw in table.raw_rows():
        row = used(table.form, raw, config)
        if isinstance(row, BadRow) or raw.values is None:
            bad += 1
            continue
        id_ = ids.id_of(row.id, row.prompt)
        found.add(id_)
        missing += id_ not in fates
        if fates.get(id_, Fate.KEPT) is not Fate.DROPPED:
            lines.append(raw.text.strip() or dump(_plain(raw.values)))
    if unknown := [id_ for id_ in fates if id_ not in found]:
        raise DataError(
            f"--data: {source!r} has no row {unknown[0]!r}, and {len(unknown):,} of {len(fates):,} ids of the table "
            "are not in it; give the dataset that was scored"
        )
    return _Written(rows=lines, not_in_table=missing, bad_rows=bad)


def _plain(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return dict(values)


def share_to_keep(keep: float | None, drop: float | None) -> float:
    """Return the share to keep from the two options. Raises ConfigError unless exactly one is given, in its range."""
    if (keep is None) == (drop is None):
        raise ConfigError("--keep: give the share to keep, or the share to drop with --drop; one of them and not both")
    if keep is not None:
        return keep
    assert drop is not None
    if not 0 <= drop < 1:
        raise ConfigError(f"--drop: {drop} found; give a share from 0 to below 1, such as 0.4")
    return 1 - drop
