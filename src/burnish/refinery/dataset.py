"""The stage that turns a user's dataset into examples and demonstrations, row by row."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from burnish.config import DataConfig
from burnish.config.base import MOST_REPEATS
from burnish.errors import DataError
from burnish.forms.ids import RowIds
from burnish.forms.reading import recorded
from burnish.forms.recognise import BadRow, UsableRow
from burnish.forms.table import DataTable
from burnish.steps.artifacts import DEMONSTRATIONS, read_json
from burnish.steps.basic import Steps
from burnish.steps.data import SHARED
from burnish.store.files import pretty, write_atomic
from burnish.store.json_rows import dump_line
from burnish.store.keys import SeenNumbers
from burnish.store.stages import Work
from burnish.types import Artifact, Demonstration, DemonstrationSource, Example, prompt_group, short_hash

FACTS = "data.json"
"""The file of the stage that holds the DataFacts."""
NOTHING: Mapping[int, str] = MappingProxyType({})
"""No refused rows. A read-only mapping, since it is a default argument."""
SHOWN_BAD_ROWS = 50
"""How many bad rows are recorded with their place and their fault. All bad rows are counted."""
MOST_PROMPTS = MOST_REPEATS
"""Different prompts are counted up to here. More are never needed: a method divides rows into fewer parts."""
UNUSED_COLUMNS = 200
"""How many unused columns are recorded. There can be many, since each row of JSON may have columns of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What was found in a dataset: all rows, the rows that can be refined, and why the others cannot."""

    form: str
    rows: int
    usable: int
    skipped: int
    bad_rows: tuple[str, ...]
    characters: int
    """The number of characters in all usable prompts and answers together."""
    unused: tuple[str, ...] = ()
    """Columns that nothing reads, in the order in which they were first seen. At most UNUSED_COLUMNS of them."""
    prompts: int | None = None
    """The number of different prompts, counted up to MOST_PROMPTS. None in facts that an older burnish wrote."""


def read_facts(artifact: Artifact) -> DataFacts:
    """Read the facts that the data stage recorded about a dataset."""
    values: dict[str, Any] = read_json(artifact, FACTS)
    values["bad_rows"] = tuple(values["bad_rows"])
    values["unused"] = tuple(values.get("unused", ()))  # facts that an older burnish wrote have no such field
    return DataFacts(**values)


def unused_columns(facts: DataFacts, table: DataTable) -> list[str]:
    """Return the columns that nothing reads. Columns that the user declared as extras are left out."""
    # Facts that an older burnish wrote name no unused columns. The layout still knows those of the first row.
    names = dict.fromkeys((*table.layout.unused, *facts.unused))
    return [name for name in names if name not in table.config.extra_columns]


def given_rows(
    steps: Steps, table: DataTable, config: DataConfig, source: Artifact, refused: Mapping[int, str] = NOTHING
) -> Artifact:
    """Return the stage that writes the examples (`train.jsonl`) and their given answers, in the order of the file.

    `refused` is {position: reason} for the rows that a model's chat template cannot take. They count as bad rows. An
    example's id is the user's own if there is one. Otherwise it is a hash of the prompt and of how often the prompt
    came before. Its metadata says where the row is in the file. The stage raises DataError if a row cannot be used and
    `on_bad_row` is "error", if no row can be used, or if an id occurs twice.
    """

    def run(work: Work) -> None:
        reader = _RowCounter(config, refused)
        examples, demonstrations = work.path / "train.jsonl", work.path / DEMONSTRATIONS
        # Row by row, so that a dataset larger than memory can be refined.
        with examples.open("wb") as prompts, demonstrations.open("wb") as answers:
            for row in reader.usable(table):
                example = reader.example(row)
                prompts.write(dump_line(example))
                answers.write(
                    dump_line(
                        Demonstration(
                            example_id=example.id, completion=row.completion, source=DemonstrationSource.GIVEN
                        )
                    )
                )
        facts = reader.facts(table)
        write_atomic(work.path / FACTS, pretty(facts))
        work.count(rows=facts.usable)

    # Where the data lies does not change the result: `source` is an input, identified by content. `recorded` adds the
    # columns in the form in which they enter the fingerprint.
    named_apart = {"source", "revision", "columns", "extra_columns"}
    semantic: dict[str, Any] = config.model_dump(mode="json", exclude=named_apart) | recorded(table)
    if refused:
        semantic["refused"] = short_hash("refused", *map(str, sorted(refused)))
    return steps.stage("given", semantic, {"source": source}, run, "data", SHARED)


def facts_of(table: DataTable, config: DataConfig, refused: Mapping[int, str] = NOTHING) -> DataFacts:
    """Read a dataset through without keeping anything, and return its facts. Raises DataError as the stage does."""
    reader = _RowCounter(config, refused)
    for row in reader.usable(table):
        reader.example(row)
    return reader.facts(table)


class _RowCounter:
    """Counts rows while they are read, and makes sure that no id occurs twice."""

    def __init__(self, config: DataConfig, refused: Mapping[int, str]) -> None:
        self.config, self.refused = config, refused
        self.rows = self.skipped = self.characters = 0
        self.bad: list[str] = []
        self._ids, self._used = SeenNumbers(), 0
        # A dict and not a set, since it keeps the order.
        self._unused: dict[str, None] = {}
        self._groups: set[str] = set()
        self._made = RowIds()

    def usable(self, table: DataTable) -> Iterator[UsableRow]:
        """Yield the rows that can be refined. Raises DataError at the first other row, unless such rows are skipped,
        and if no row can be used."""
        for row in table.read():
            self.rows += 1
            if isinstance(row, BadRow):
                self._skip(row)
            elif (why := self.refused.get(row.position)) is not None:
                self._skip(BadRow(where=row.where, position=row.position, id=row.id, why=why))
            else:
                yield row
        if not self._used:
            raise DataError(f"{self.config.source}: none of {self.rows} rows can be used; the first: {self.bad[0]}")

    def _skip(self, row: BadRow) -> None:
        """Count a row that cannot be used. Raises DataError if such rows are errors."""
        what = f"{row.where}{f' (id {row.id!r})' if row.id is not None else ''}: {row.why}"
        if self.config.on_bad_row == "error":
            raise DataError(f"{what}; or leave such rows as they are with --on-bad-row skip")
        self.skipped += 1
        # Bounded, since every row of a large file may be bad.
        if len(self.bad) < SHOWN_BAD_ROWS:
            self.bad.append(what)

    def example(self, row: UsableRow) -> Example:
        """Return the row's example. Raises DataError if another row has the same id."""
        group = prompt_group(row.prompt)
        made = row.id if row.id is not None else self._made.made(group)
        if not self._ids.add(_number_of(made)):
            raise DataError(
                f"{row.where}: {self.config.id_column} {made!r} occurs twice; make ids unique, or name another "
                "column with --set data.id_column=NAME"
            )
        # Everything is joined by id, so two rows of one id would get each other's answers.
        self._used += 1
        if len(self._groups) < MOST_PROMPTS:
            self._groups.add(group)
        if len(self._unused) < UNUSED_COLUMNS:
            self._unused.update(dict.fromkeys(row.unused))
        self.characters += len(row.completion) + sum(len(message.content) for message in row.prompt)
        return Example(
            id=made,
            group=group,
            prompt=row.prompt,
            reference=row.reference,
            metadata={"position": row.position, "where": os.path.basename(row.where)},
        )

    def facts(self, table: DataTable) -> DataFacts:
        """Return the facts about all rows that were read."""
        return DataFacts(
            form=table.layout.words,
            rows=self.rows,
            usable=self.rows - self.skipped,
            skipped=self.skipped,
            bad_rows=tuple(self.bad),
            characters=self.characters,
            unused=tuple(self._unused)[:UNUSED_COLUMNS],
            prompts=len(self._groups),
        )


_MADE = re.compile("[0-9a-f]{16}")


def _number_of(id_: str) -> int:
    """Return 64 bits that stand for an id: a million ids as texts would take 100 MB."""
    # An id that burnish makes is a hash already.
    return int(id_ if _MADE.fullmatch(id_) else short_hash("id", id_), 16)
