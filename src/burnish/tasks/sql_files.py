"""Reads files of text-to-SQL: BIRD's and Spider's folders as they are published, and JSON lines that name a
database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_never

import orjson

from burnish.config import TextToSqlTask, expanded
from burnish.errors import ConfigError, DataError
from burnish.store.files import read_objects
from burnish.tasks.rows import NamedSplit, column, existing_path, other_columns, own_id, split_column, text_column

BIRD = "BIRD's train.zip or dev.zip (https://bird-bench.github.io), in which the databases are a zip of their own"
SPIDER = "Spider's spider_data.zip (https://yale-lily.github.io/spider)"
_PARSED = ("query_toks", "query_toks_no_value", "question_toks", "sql")
"""Columns of Spider's files that are not used. They have the question and the query split into pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A row as it was read.

    `database` is a path relative to the folder of databases, or "" if all rows use the same database.
    """

    where: str
    id: str | None
    split: NamedSplit | None
    question: str
    evidence: str
    sql: str
    database: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file with rows. `split` is the split of all its rows, or None if the file does not decide it.

    `folder` has its databases, and `origin` says where the published ones come from.
    """

    path: Path
    split: NamedSplit | None
    folder: Path
    origin: str


def database_path(config: TextToSqlTask, name: str) -> Path:
    """Return the path of an item's database. Raises ConfigError if the folder of databases is missing."""
    root = _root(config)
    return root / name if name else root


def read_items(config: TextToSqlTask) -> list[Item]:
    """Read all rows. Raises ConfigError if a file or a database is missing, and DataError for a bad row."""
    files = source_files(config)
    layout = layout_of(config)
    return [_item(config, layout, file, where, values) for file in files for where, values in _objects(file.path)]


def source_files(config: TextToSqlTask) -> tuple[SourceFile, ...]:
    """Return the files with rows. Raises ConfigError if there are none."""
    match layout_of(config):
        case "bird":
            found = _bird(config)
        case "spider":
            found = _spider(config)
        case "rows":
            found = [SourceFile(path=_source(config), split=None, folder=_root(config), origin="the rows")]
        case "auto" as never:
            raise AssertionError(never)
        case _ as never:
            assert_never(never)
    return tuple(found)


def layout_of(config: TextToSqlTask) -> Literal["auto", "bird", "spider", "rows"]:
    """Return the layout of the files: BIRD's, Spider's, or rows that name a database. It is never `auto`.

    Raises ConfigError if the source is missing.
    """
    # If the user names the layout, it is used. Otherwise the names of files and columns decide.
    if config.layout != "auto":
        return config.layout
    source = _source(config)
    if source.is_dir():
        # Spider keeps all databases in one folder `database`, BIRD has `train_databases` and `dev_databases`.
        return "spider" if (source / "train_spider.json").is_file() or (source / "database").is_dir() else "bird"
    if source.suffix != ".json":
        return "rows"
    first = next(_objects(source), None)
    # Both are lists of objects in a .json file. BIRD's rows have `SQL`, Spider's have `query`.
    return "spider" if first and "query" in first[1] and "SQL" not in first[1] else "bird"


def _source(config: TextToSqlTask) -> Path:
    path = existing_path(config.source)
    if path is None:
        raise ConfigError(
            f"task.source: {config.source!r} does not exist; give BIRD's or Spider's folder, or a JSONL file with "
            f"`question`, `sql` and `database`. BIRD: {BIRD}. Spider: {SPIDER}"
        )
    return path


def _root(config: TextToSqlTask) -> Path:
    if config.databases is None:
        source = _source(config)
        return source if source.is_dir() else source.parent
    path = Path(expanded(config.databases, "task.databases"))
    if not os.path.exists(path):
        raise ConfigError(f"task.databases: {config.databases!r} does not exist; give a folder, or one database")
    return path


def _bird(config: TextToSqlTask) -> list[SourceFile]:
    source = _source(config)
    if source.is_file():
        return [_bird_file(config, source, None)]
    found: list[SourceFile] = []
    # BIRD's dev set is the test split, because the answers of its own test set are not public.
    splits: tuple[tuple[str, NamedSplit], ...] = (("train", "train"), ("dev", "test"))
    for name, split in splits:
        # The zip files unpack to train/train.json, but to dev_20240627/dev.json with the date of the release.
        places = [source / f"{name}.json", source / name / f"{name}.json", *source.glob(f"{name}_*/{name}.json")]
        there = [path for path in places if path.is_file()]
        # There may be two releases of dev in the folder, and nothing says which of them is meant.
        if len(there) > 1:
            raise ConfigError(f"task.source: found {str(there[0])!r} and {str(there[1])!r}; name one as the source")
        found += [_bird_file(config, path, split) for path in there]
    return _checked(config, found, "train.json or dev.json", BIRD)


def _bird_file(config: TextToSqlTask, path: Path, split: NamedSplit | None) -> SourceFile:
    folder = _root(config) if config.databases is not None else path.parent / f"{path.stem}_databases"
    return SourceFile(path=path, split=split, folder=folder, origin=BIRD)


def _spider(config: TextToSqlTask) -> list[SourceFile]:
    source = _source(config)
    beside = source if source.is_dir() else source.parent
    folder = _root(config) if config.databases is not None else beside / "database"
    if source.is_file():
        return [SourceFile(path=source, split=None, folder=folder, origin=SPIDER)]
    names: tuple[tuple[str, NamedSplit], ...] = (
        ("train_spider.json", "train"),
        ("train_others.json", "train"),
        ("dev.json", "test"),
    )
    found = [
        SourceFile(path=source / name, split=split, folder=folder, origin=SPIDER)
        for name, split in names
        if (source / name).is_file()
    ]
    return _checked(config, found, "train_spider.json or dev.json", SPIDER)


def _checked(config: TextToSqlTask, found: list[SourceFile], names: str, origin: str) -> list[SourceFile]:
    """Return the files. If all have the same split, remove it, so that a part of the rows is held out for the test."""
    if not found:
        raise ConfigError(f"task.source: no {names} in {config.source!r}; they come with {origin}")
    if len({file.split for file in found}) > 1:
        return found
    return [SourceFile(path=file.path, split=None, folder=file.folder, origin=file.origin) for file in found]


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix != ".json":
        yield from ((f"{path}:{number}", values) for number, values in read_objects(path))
        return
    try:
        rows = orjson.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON ({error}); fetch it again") from None
    if not isinstance(rows, list):
        raise DataError(f"{path}: {type(rows).__name__} found; write a list of objects, or one object a line as .jsonl")
    for number, values in enumerate(rows, 1):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        where = f"{path} row {number}"
        if not isinstance(values, dict):
            raise DataError(f"{where}: {type(values).__name__} found; each row must be an object")  # pyright: ignore[reportUnknownArgumentType]
        yield where, values


def _item(config: TextToSqlTask, layout: str, file: SourceFile, where: str, values: Mapping[str, Any]) -> Item:
    name = _sql_column(layout, values)
    split = file.split
    # The column `split` may be missing in all rows. Then they get their splits by hash. But a column that the user
    # names in the config must be there.
    if layout == "rows" and (config.split_column in values or config.split_column != "split"):
        split = split_column(where, values, config.split_column)
    evidence = values.get("evidence") or ""
    if not isinstance(evidence, str):
        raise DataError(f"{where}: column 'evidence' is {evidence!r:.80}; write a string, blank where there is none")
    known = ("id", "question", "evidence", "database", name, *(_PARSED if layout == "spider" else ()))
    database = _database(config, layout, file, where, values)
    return Item(
        where=where,
        id=own_id(where, values) if layout == "rows" else None,
        split=split,
        question=text_column(where, values, "question"),
        evidence=evidence.strip(),
        sql=text_column(where, values, name),
        database=database,
        metadata={**other_columns(values, *known), "database": database},
    )


def _sql_column(layout: str, values: Mapping[str, Any]) -> str:
    # Spider's rows also have a column `sql`, which is an object with the query in pieces. So only `query` counts there.
    names: Sequence[str] = {"bird": ("SQL", "sql"), "spider": ("query",)}.get(layout, ("sql", "query", "SQL"))
    return next((name for name in names if name in values), names[0])


def _database(config: TextToSqlTask, layout: str, file: SourceFile, where: str, values: Mapping[str, Any]) -> str:
    """Return an item's database relative to the root. Raises ConfigError naming the file if it is missing."""
    root = _root(config)
    if config.databases is not None and root.is_file():
        return ""
    if layout == "rows" and "database" in values:
        path = root / text_column(where, values, "database")
        candidates = [path]
    else:
        name = text_column(where, values, "db_id") if layout != "rows" else _db_id(where, values)
        # BIRD and Spider give each database its own folder. But it also works if all are in one folder.
        candidates = [file.folder / name / f"{name}.sqlite", file.folder / f"{name}.sqlite"]
    for path in candidates:
        # `Path.is_file` is not used, because it raises OSError for a name that is too long. `check_database` later
        # refuses anything that is not an ordinary file.
        if os.path.exists(path) and not os.path.isdir(path):
            # The path is relative to the root, so that a folder that is moved as a whole gives the same rows.
            return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    raise ConfigError(
        f"task.databases: {str(candidates[0])!r:.300} does not exist, needed by {where}; it comes with {file.origin}. "
        "Unpack it there, or name the folder that has it"
    )


def _db_id(where: str, values: Mapping[str, Any]) -> str:
    if "db_id" not in values:
        # This call is for its error, which names `database`. Users should write that column, because `db_id` is only
        # BIRD's and Spider's name for it.
        column(where, values, "database")
    return text_column(where, values, "db_id")
