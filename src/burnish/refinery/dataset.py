"""The stage that turns a user's dataset into examples and demonstrations, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.config import DataConfig
from burnish.errors import DataError
from burnish.forms.ids import RowIds
from burnish.forms.reading import recorded
from burnish.forms.recognise import BadRow, UsableRow
from burnish.forms.table import Table
from burnish.steps.artifacts import DEMONSTRATIONS, read_json
from burnish.steps.basic import Steps
from burnish.store.files import dump_line, pretty, write_atomic
from burnish.store.stages import Work
from burnish.types import Artifact, Demonstration, DemonstrationSource, Example, prompt_group

FACTS = "data.json"
SHOWN_BAD_ROWS = 50
"""Bad rows whose place and cause are recorded; all are counted."""
UNUSED_COLUMNS = 200
"""Columns that are recorded as unused; rows of JSON may each have their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What a dataset was found to be: rows in all, those that can be refined, and why the others cannot."""

    form: str
    rows: int
    usable: int
    skipped: int
    bad_rows: tuple[str, ...]
    characters: int
    """Of all usable prompts and answers together."""
    unused: tuple[str, ...] = ()
    """Columns that nothing reads, in the order in which they were met, the first UNUSED_COLUMNS of them."""


def read_facts(artifact: Artifact) -> DataFacts:
    """Read what was recorded of a dataset."""
    values: dict[str, Any] = read_json(artifact, FACTS)
    values["bad_rows"] = tuple(values["bad_rows"])
    values["unused"] = tuple(values.get("unused", ()))  # an older burnish recorded none
    return DataFacts(**values)


def unused_columns(facts: DataFacts, table: Table) -> list[str]:
    """Return the columns that nothing reads and that the user did not call extras."""
    # What an older burnish recorded names none, and then those of the first row are known.
    names = dict.fromkeys((*table.layout.unused, *facts.unused))
    return [name for name in names if name not in table.config.extra_columns]


def given_rows(steps: Steps, table: Table, config: DataConfig, source: Artifact) -> Artifact:
    """Write the examples (`train.jsonl`) and their given answers in the order of the file.

    An example's id is the user's own, else a hash of prompt and occurrence number; its metadata says where it stands.
    """

    def run(work: Work) -> None:
        reader = _Reader(config)
        examples, demonstrations = work.path / "train.jsonl", work.path / DEMONSTRATIONS
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

    named_apart = {"source", "revision", "columns", "extra_columns"}
    semantic: dict[str, Any] = config.model_dump(mode="json", exclude=named_apart) | recorded(table)
    return steps.stage("given", semantic, {"source": source}, run, "data", shared=True)


def facts_of(table: Table, config: DataConfig) -> DataFacts:
    """Read a dataset through without keeping anything. Raises DataError as the stage does."""
    reader = _Reader(config)
    for row in reader.usable(table):
        reader.example(row)
    return reader.facts(table)


class _Reader:
    """Counts rows as they pass, and sees to it that an id comes once."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.rows = self.skipped = self.characters = 0
        self.bad: list[str] = []
        self._ids: set[str] = set()
        self._unused: dict[str, None] = {}
        self._made = RowIds()

    def usable(self, table: Table) -> Iterator[UsableRow]:
        """Yield the rows that can be refined. Raises DataError for the first other one, unless they are skipped."""
        for row in table.read():
            self.rows += 1
            if isinstance(row, UsableRow):
                yield row
                continue
            self._skip(row)
        if not self._ids:
            raise DataError(f"{self.config.source}: none of {self.rows} rows can be used; the first: {self.bad[0]}")

    def _skip(self, row: BadRow) -> None:
        what = f"{row.where}{f' (id {row.id!r})' if row.id is not None else ''}: {row.why}"
        if self.config.on_bad_row == "error":
            raise DataError(f"{what}; or leave such rows as they are with --on-bad-row skip")
        self.skipped += 1
        if len(self.bad) < SHOWN_BAD_ROWS:
            self.bad.append(what)

    def example(self, row: UsableRow) -> Example:
        """Return the row's example. Raises DataError where its id was there before."""
        group = prompt_group(row.prompt)
        made = self._made.id_of(row.id, row.prompt)
        if made in self._ids:
            raise DataError(
                f"{row.where}: {self.config.id_column} {made!r} is there twice; make ids unique, or name another "
                "column with --set data.id_column=NAME"
            )
        self._ids.add(made)
        if len(self._unused) < UNUSED_COLUMNS:
            self._unused.update(dict.fromkeys(row.unused))
        self.characters += len(row.completion) + sum(len(message.content) for message in row.prompt)
        return Example(
            id=made,
            group=group,
            prompt=row.prompt,
            reference=row.reference,
            metadata={"position": row.position, "where": Path(row.where).name},
        )

    def facts(self, table: Table) -> DataFacts:
        """Return what was counted."""
        return DataFacts(
            form=table.layout.words,
            rows=self.rows,
            usable=self.rows - self.skipped,
            skipped=self.skipped,
            bad_rows=tuple(self.bad),
            characters=self.characters,
            unused=tuple(self._unused)[:UNUSED_COLUMNS],
        )
