"""Text-to-SQL: a prompt has a question and a database's schema, and the answer is a query.

A query is right if its result is that of the gold query. Gold queries are run when the rows are loaded. A row is left
out if its gold query does not run or if its prompt is too long. The left-out rows are counted by reason.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from burnish.config import TextToSqlTask, expanded
from burnish.errors import BackendError, ConfigError, DataError
from burnish.protocols import Dataset
from burnish.sql.compare import Equality
from burnish.sql.databases import Schema, check_database, describe
from burnish.sql.outcome import Limits
from burnish.sql.sandbox import Query
from burnish.tasks.rows import Counts, NamedSplit, TaskRow, check_own_ids, dataset, existing_path, held_out_fifth
from burnish.tasks.sql_answers import KIND, SqlAnswers
from burnish.tasks.sql_files import Item, database_path, read_items, source_files
from burnish.types import CHARACTERS_PER_TOKEN

PROMPT = """\
{schema}{evidence}Question: {question}

Write one SQLite query that answers the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextToSql(SqlAnswers):
    """Rows of BIRD, Spider or the user's own. The schema begins the prompt, so rows of a database begin alike."""

    config: TextToSqlTask

    def load(self) -> Dataset:
        """Return both splits. Raises DataError naming file and row, and ConfigError naming the field.

        Raises BackendError if a package or the process that runs queries is missing.
        """
        return self._read(execute=True)

    def preview(self) -> Dataset:
        """Return both splits without running the gold queries, which can take minutes. Raises as `load` does."""
        return self._read(execute=False)

    def _read(self, execute: bool) -> Dataset:
        config = self.config
        items = read_items(config)
        if not items:
            raise DataError(f"{config.source}: no rows; each needs a question, a query and a database")
        # This comes before prompts are made and gold queries run, so that a damaged database gives one error and not
        # many failed queries.
        self._check_databases(items)
        rows = [self._row(item) for item in items]
        check_own_ids(rows)
        why = self._left_out(rows, execute)
        kept: list[tuple[TaskRow, NamedSplit | None]] = [
            (row, item.split) for row, item, out in zip(rows, items, why, strict=True) if out is None
        ]
        left_out = Counter(out for out in why if out is not None)
        if not kept:
            counts = ", ".join(f"{count} {out}" for out, count in sorted(left_out.items()))
            raise DataError(f"{config.source}: no row is left of {len(rows)} ({counts}); see task.max_prompt_tokens")
        splits = self._splits(kept)
        train, test = (
            [row for (row, _), split in zip(kept, splits, strict=True) if split == s] for s in ("train", "test")
        )
        counts = Counts(source=config.source, train=config.train, test=config.test)
        return replace(dataset(KIND, train, test, counts), left_out=dict(sorted(left_out.items())))

    def _check_databases(self, items: Sequence[Item]) -> None:
        # The items are reversed, so that an error names the first row with this database.
        first = {item.database: item.where for item in reversed(items)}
        for name, where in first.items():
            check_database(database_path(self.config, name), where)

    def _row(self, item: Item) -> TaskRow:
        config = self.config
        schema = _described(database_path(config, item.database), config.schema_form, config.sample_rows)
        evidence = f"Knowledge: {item.evidence}\n\n" if item.evidence and config.evidence else ""
        question = PROMPT.format(schema=schema, evidence=evidence, question=item.question)
        return TaskRow(where=item.where, id=item.id, question=question, reference=item.sql, metadata=item.metadata)

    def _left_out(self, rows: Sequence[TaskRow], execute: bool) -> list[str | None]:
        """Return for each row the reason why it cannot be used, or None if it can."""
        most, length = self.config.max_prompt_tokens, _counter(self.config)
        # Long prompts are left out first, so that their gold queries need not run. The paper leaves out questions of
        # more than 1,024 tokens.
        long = [most is not None and length(row.question) > most for row in rows]
        if not execute:
            return ["prompt_too_long" if out else None for out in long]
        gold = self.engine.gold
        queries = [Query(database=self.place(str(row.metadata["database"])), sql=row.reference) for row in rows]
        gold.fill(query for query, out in zip(queries, long, strict=True) if not out)
        return [
            "prompt_too_long" if out else _failure(gold.get(query).kind)
            for query, out in zip(queries, long, strict=True)
        ]

    def _splits(self, kept: Sequence[tuple[TaskRow, NamedSplit | None]]) -> list[NamedSplit]:
        # Only the rows that are kept are split, so that a fifth of the used rows is held out.
        if all(split is None for _, split in kept):
            is_test = held_out_fifth([row for row, _ in kept])
            return ["test" if is_test(row) else "train" for row, _ in kept]
        for row, split in kept:
            if split is None:
                raise DataError(f"{row.where}: no {self.config.split_column!r}, which other rows have; fill it in")
        return [split for _, split in kept if split is not None]


def make(config: TextToSqlTask) -> TextToSql:
    """Return the task. No file is read before `load`."""
    return TextToSql(
        config=config,
        # Metadata have the name relative to the root, so that rows are the same on another machine.
        place=lambda name: database_path(config, name),
        equality=Equality(config.equality),
        limits=Limits(seconds=config.seconds, rows=config.max_rows),
        cache=None if config.cache is None else Path(expanded(config.cache, "task.cache")),
    )


def local_files(config: TextToSqlTask) -> tuple[Path, ...]:
    """Return all files on which the rows depend: files of rows, databases and the tokenizer.

    The rows are read to find out which databases they use. Raises ConfigError if a file is missing, and DataError for a
    bad row.
    """
    databases = {database_path(config, item.database) for item in read_items(config)}
    tokenizer = [] if config.tokenizer is None else [_tokenizer_file(config.tokenizer)]
    return (*(file.path for file in source_files(config)), *sorted(databases), *tokenizer)


@lru_cache(maxsize=256)
def _described(path: Path, form: str, sample_rows: int) -> str:
    # It is cached, because many rows share a database.
    if form == "none":
        return ""
    return f"Database schema (SQLite):\n{describe(path, Schema(form), sample_rows)}\n\n"


def _failure(kind: str) -> str | None:
    return None if kind == "rows" else f"gold_{kind}"


def _counter(config: TextToSqlTask) -> Callable[[str], int]:
    """Return a function that counts a prompt's tokens. Without a tokenizer, it estimates them from the characters."""
    if config.tokenizer is None:
        return lambda text: math.ceil(len(text) / CHARACTERS_PER_TOKEN)
    path = _tokenizer_file(config.tokenizer)
    try:
        library: Any = importlib.import_module("tokenizers")  # imported here, because it is not in the basic install
    except ImportError:
        raise BackendError(
            "task.tokenizer: the package `tokenizers` is not installed; run pip install 'burnish[train]', or leave "
            "the field out to count four characters as a token"
        ) from None
    try:
        tokenizer = library.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no special class
        raise ConfigError(f"task.tokenizer: {str(path)!r} cannot be read ({error}); give a tokenizer.json") from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _tokenizer_file(source: str) -> Path:
    place = existing_path(source)
    path = place / "tokenizer.json" if place is not None and place.is_dir() else place
    if path is None or not path.is_file():
        raise ConfigError(f"task.tokenizer: {source!r} is no tokenizer.json and no folder with one; give its path")
    return path
