"""Makes a dataset from the rows of a file: checks columns and ids, removes the overlap of the splits, chooses rows."""

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
"""An error about bad rows describes the first one, and says where at most this many others are."""
NamedSplit: TypeAlias = Literal["train", "valid", "test"]
"""A split that a row of a file can name."""
SPLITS: dict[str, NamedSplit] = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}
"""{a word for a split in users' files: the split that it means}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A row as it was read. `where` is file:line, for errors. `id` is the user's own id, or None."""

    where: str
    id: str | None
    question: str
    reference: str
    metadata: Mapping[str, JsonValue]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The question as a single message of the user."""
        return (Message(role=Role.USER, content=self.question),)

    @property
    def group(self) -> str:
        """The group of the prompt. Rows with the same prompt have the same group."""
        return prompt_group(self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows of each split a config asks for. None means all rows. `source` is their place, for errors."""

    source: str
    train: int | None
    test: int | None


def existing_path(source: str) -> Path | None:
    """Return `source` as a path if there is a file or folder, else None."""
    path = Path(expanded(source, "task.source"))
    return path if os.path.exists(path) else None  # `Path.exists` raises OSError for a name that is too long


def all_read(rows: Iterable[tuple[str, Mapping[str, Any]]], read: Callable[[str, Mapping[str, Any]], T]) -> list[T]:
    """Return what `read` makes of each row. A row is a pair of where it is and its columns.

    Raises DataError if `read` does so for a row. The error says what is wrong with the first bad row and where the
    others are, so that all can be corrected at once.
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
    """Return a column's text without white space around it. Raises DataError if it is missing, blank or not a text."""
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
    """Return a column's value. Raises DataError if it is missing. The error names the columns that are there."""
    if name not in columns:
        there = ", ".join(repr(key) for key in columns) or "none"
        raise DataError(f"{where}: no column {name!r}, found {there:.200}; add it or rename the one that is meant")
    return columns[name]


def own_id(where: str, columns: Mapping[str, Any], name: str = "id") -> str | None:
    """Return the user's own id as text, or None if there is no such column.

    Raises DataError if the id is neither a string nor a whole number, or if it is empty.
    """
    if name not in columns:
        return None
    value = columns[name]
    # For Python, `true` is an int.
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: column {name!r} is {value!r:.80}; an id is a string or a whole number")
    return str(value)


def other_columns(columns: Mapping[str, Any], *known: str) -> dict[str, JsonValue]:
    """Return the columns that a task does not read. They become the metadata of the example."""
    return {name: value for name, value in columns.items() if name not in known}


def dataset(kind: str, train: Sequence[TaskRow], test: Sequence[TaskRow], counts: Counts) -> Dataset:
    """Build both splits: drop the training rows whose prompt is also a test prompt, then take the number asked for.

    The overlap is found with the whole test split, so the training rows do not depend on the number of test rows.
    Raises DataError for an empty split, and ConfigError if the config asks for more rows than there are.
    """
    # The overlap is found by group and not by id, because 25 training rows of MAWPS repeat a test question under
    # another id.
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
    """Return a function that says whether a row is a test row. It is for files without splits.

    Test rows are those of the first fifth of the groups, ordered by hash, but at least one group.
    """
    # They are whole groups, so that rows with the same prompt stay in one split. They are ordered by hash, so that
    # neither the order of the file nor chance decides.
    groups = sorted({row.group for row in rows}, key=lambda group: short_hash("split", group))
    # It is at least one group, because a fifth of fewer than five groups is none.
    chosen = frozenset(groups[: max(1, len(groups) // 5)])
    return lambda row: row.group in chosen


def check_own_ids(rows: Iterable[TaskRow]) -> None:
    """Check that no two rows, in any split, have the same id of the user's own.

    Raises DataError otherwise, which names both places.
    """
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
    """Return rows as examples. An id is the user's own, or a hash of the kind, the prompt and the prompt's occurrence.

    The occurrence is counted from 0, because real data repeat prompts. The splits share no prompt when this is called,
    so the ids of the two splits differ.
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
    """Choose `count` examples by the hashes of their ids, and return them in the order of the file.

    So the choice does not depend on the order of the file.
    """
    if count is None:
        return tuple(examples)
    if count > len(examples):
        raise ConfigError(
            f"task.{split}: {count} rows asked for, {source} has {len(examples)}; set at most {len(examples)}, or "
            "leave it out to take all"
        )
    # The order is by the hash and not by the id, because people number their rows. It does not depend on `count`, so a
    # smaller choice is always a part of a larger one. If two hashes are equal, the id decides.
    ranked = sorted(examples, key=lambda example: (short_hash(example.id), example.id))
    chosen = {example.id for example in ranked[:count]}
    return tuple(example for example in examples if example.id in chosen)
