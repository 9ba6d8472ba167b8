"""From the rows of a file to a dataset: columns, ids, the overlap of the splits, and the share that is asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import JsonValue

from burnish.config import expanded
from burnish.errors import ConfigError, DataError
from burnish.protocols import Dataset
from burnish.types import Example, Message, Role, prompt_group, short_hash

T = TypeVar("T")
SHOWN_BAD = 10
"""Beside the first bad row, an error says where so many others are."""
NamedSplit: TypeAlias = Literal["train", "valid", "test"]
"""The split that a row of a file names itself."""
SPLITS: dict[str, NamedSplit] = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}
"""The words for a split in the files of people, each with the split that it means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A row as it was read: `where` is file:line for errors, `id` the user's own or None."""

    where: str
    id: str | None
    question: str
    reference: str
    metadata: Mapping[str, JsonValue]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The question as the one message of a user."""
        return (Message(role=Role.USER, content=self.question),)

    @property
    def group(self) -> str:
        """The group of the prompt."""
        return prompt_group(self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows of each split a config asks for (None: all) and where they come from, for errors."""

    source: str
    train: int | None
    test: int | None


def existing_path(source: str) -> Path | None:
    """Return `source` as a path if something lies there."""
    path = Path(expanded(source, "task.source"))
    return path if os.path.exists(path) else None  # Path's own raises for a name too long


def all_read(rows: Iterable[tuple[str, Mapping[str, Any]]], read: Callable[[str, Mapping[str, Any]], T]) -> list[T]:
    """Return what `read` makes of each row (where, columns).

    Raises DataError if a row is bad: what is wrong with the first one, and where the others are, so that all can be
    mended at once.
    """
    made: list[T] = []
    bad: list[tuple[str, DataError]] = []
    for where, columns in rows:
        try:
            made.append(read(where, columns))
        except DataError as error:
            bad.append((where, error))
    if not bad:
        return made
    (_, first), *others = bad
    if not others:
        raise first
    places = ", ".join(where.rpartition("/")[2] for where, _ in others[:SHOWN_BAD])
    more = ", ..." if len(others) > SHOWN_BAD else ""
    raise DataError(f"{first} ({len(others):,} more bad {'row' if len(others) == 1 else 'rows'}: {places}{more})")


def text_column(where: str, columns: Mapping[str, Any], name: str) -> str:
    """Return a column of text, stripped. Raises DataError if it is missing, blank or something else."""
    value = column(where, columns, name)
    if not isinstance(value, str):
        raise DataError(f"{where}: column {name!r} is {type(value).__name__}, found {value!r:.80}; write a string")
    if not value.strip():
        raise DataError(f"{where}: column {name!r} is blank; fill it in or remove the row")
    return value.strip()


def split_column(where: str, columns: Mapping[str, Any], name: str) -> NamedSplit:
    """Return the split that a column names. Raises DataError if it is missing or names no split."""
    value = text_column(where, columns, name)
    if value not in SPLITS:
        raise DataError(
            f"{where}: column {name!r} is {value!r:.80}, which is unknown; write one of {', '.join(SPLITS)}"
        )
    return SPLITS[value]


def column(where: str, columns: Mapping[str, Any], name: str) -> Any:
    """Return a column's value. Raises DataError naming the columns that are there."""
    if name not in columns:
        there = ", ".join(repr(key) for key in columns) or "none"
        raise DataError(f"{where}: no column {name!r}, found {there:.200}; add it or rename the one that is meant")
    return columns[name]


def own_id(where: str, columns: Mapping[str, Any], name: str = "id") -> str | None:
    """Return the user's own id as text, None if there is no such column."""
    if name not in columns:
        return None
    value = columns[name]
    # For Python `true` is an int.
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: column {name!r} is {value!r:.80}; an id is a string or a whole number")
    return str(value)


def other_columns(columns: Mapping[str, Any], *known: str) -> dict[str, JsonValue]:
    """Return the columns that a task does not read; they travel along as metadata."""
    return {name: value for name, value in columns.items() if name not in known}


def dataset(kind: str, train: Sequence[TaskRow], test: Sequence[TaskRow], counts: Counts) -> Dataset:
    """Build both splits: drop training rows whose prompt is a test prompt, take what is asked for.

    The overlap is taken with the whole test split, so the training rows do not change with the number of test rows.
    Raises DataError for an empty split, ConfigError where more is asked for than there is.
    """
    # By group and not by id: 25 training rows of MAWPS repeat a test question under another id.
    held_out = {row.group for row in test}
    kept = [row for row in train if row.group not in held_out]
    for split, rows in (("train", train), ("test", test)):
        if not rows:
            raise DataError(f"{counts.source}: the {split} split is empty; add rows to it")
    if not kept:
        raise DataError(f"{counts.source}: every training prompt is a test prompt too; keep the splits apart")
    return Dataset(
        train=_first_by_hash("train", _examples(kind, kept), counts.train, counts.source),
        test=_first_by_hash("test", _examples(kind, test), counts.test, counts.source),
        dropped=len(train) - len(kept),
    )


def held_out_fifth(rows: Sequence[TaskRow]) -> Callable[[TaskRow], bool]:
    """Return who is a test row where a file has no splits: a fifth of the groups, the first by hash, at least one."""
    # Whole groups, so that repeats of a prompt stay on one side. By hash, so that neither the order of the file nor
    # chance decides.
    groups = sorted({row.group for row in rows}, key=lambda group: short_hash("split", group))
    # At least one group, since a fifth of fewer than five is none.
    chosen = frozenset(groups[: max(1, len(groups) // 5)])
    return lambda row: row.group in chosen


def check_own_ids(rows: Iterable[TaskRow]) -> None:
    """Raise DataError naming both places if the user's own id comes twice, in whichever splits."""
    seen: dict[str, str] = {}
    for row in rows:
        if row.id is None:
            continue
        if row.id in seen:
            raise DataError(
                f"{row.where}: id {row.id!r} was used at {seen[row.id]} already; make ids unique over both splits, or "
                "remove the column and burnish makes them"
            )
        seen[row.id] = row.where


def _examples(kind: str, rows: Iterable[TaskRow]) -> list[Example]:
    """Real data repeat rows: the id is the hash of kind and prompt with the prompt's occurrence number, from 0.

    The splits share no prompt when this is called, so their ids cannot collide.
    """
    occurrences: Counter[str] = Counter()
    examples: list[Example] = []
    for row in rows:
        group = row.group
        # Every stored result refers to these ids. Another rule would make all of them unreachable.
        made = short_hash(kind, group, str(occurrences[group]))
        occurrences[group] += 1
        examples.append(
            Example(
                id=made if row.id is None else row.id,
                group=group,
                prompt=row.prompt,
                reference=row.reference,
                metadata=row.metadata,
            )
        )
    return examples


def _first_by_hash(split: str, examples: list[Example], count: int | None, source: str) -> tuple[Example, ...]:
    """Choose by the hash of the id, so that neither file order nor other rows matter; the file's order is kept."""
    if count is None:
        return tuple(examples)
    if count > len(examples):
        raise ConfigError(
            f"task.{split}: {count} rows asked for, {source} has {len(examples)}; set at most {len(examples)}, or "
            "leave it out to take all"
        )
    # People number their rows, so the hash is ranked and not the id. The order does not depend on `count`: a smaller
    # number of rows is always a part of a larger one. The id decides where two hashes are equal.
    ranked = sorted(examples, key=lambda example: (short_hash(example.id), example.id))
    chosen = {example.id for example in ranked[:count]}
    return tuple(example for example in examples if example.id in chosen)
