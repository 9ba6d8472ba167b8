"""GSM8K: grade-school mathematics with worked answers, from a folder or the Hugging Face hub (appendix A.1)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.config import Gsm8kTask, looks_like_hub_id
from burnish.errors import BackendError, ConfigError, DataError
from burnish.protocols import Dataset
from burnish.store.files import read_objects
from burnish.tasks.numbers import MARKER, NumericAnswers, only_number
from burnish.tasks.rows import (
    Counts,
    TaskRow,
    all_read,
    check_own_ids,
    dataset,
    existing_path,
    other_columns,
    own_id,
    text_column,
)

KIND = "gsm8k"


@dataclass(frozen=True, slots=True)
class Gsm8k(NumericAnswers):
    """Questions with answers that end in `#### N`. Calculator annotations such as `<<48/2=24>>` are kept."""

    config: Gsm8kTask

    def load(self) -> Dataset:
        """Return both splits.

        Raises DataError naming file and line, ConfigError if the source is missing or cannot be loaded, and
        BackendError if a hub id is given and the package `datasets` is not installed.
        """
        config = self.config
        train, test = _rows(config, "train"), _rows(config, "test")
        check_own_ids((*train, *test))
        return dataset(KIND, train, test, Counts(source=config.source, train=config.train, test=config.test))


def local_files(config: Gsm8kTask) -> tuple[Path, ...]:
    """Return the two files of a local source: train, then test. For a hub id, return an empty tuple.

    Raises ConfigError if a file is missing.
    """
    # If a folder has the same name as a hub id, such as ./openai/gsm8k, the folder is used.
    folder = existing_path(config.source)
    if folder is None:
        if looks_like_hub_id(config.source):
            return ()
        raise ConfigError(
            f"task.source: {config.source!r} does not exist and is no hub id (OWNER/NAME); give a folder with "
            "train.jsonl and test.jsonl (also .gz), or openai/gsm8k"
        )
    # The order matters: `_rows` takes the first file for training and the second for testing.
    return _split_file(folder, "train"), _split_file(folder, "test")


def _split_file(folder: Path, split: str) -> Path:
    candidates = [folder / f"{split}.jsonl", folder / f"{split}.jsonl.gz"]
    match [path for path in candidates if path.is_file()]:
        case [path]:
            return path
        case []:
            raise ConfigError(
                f"task.source: no {split}.jsonl or {split}.jsonl.gz in {str(folder)!r}; give a folder with a "
                "train and a test file"
            )
        case _:
            # The two files may have different rows, and nothing says which of them is meant.
            raise ConfigError(f"task.source: {split}.jsonl and {split}.jsonl.gz in {str(folder)!r}; remove one of them")


def _rows(config: Gsm8kTask, split: str) -> list[TaskRow]:
    files = local_files(config)
    columns = _hub_columns(config, split) if not files else _file_columns(files[0 if split == "train" else 1])
    return all_read(columns, _row)


def _row(where: str, columns: Mapping[str, Any]) -> TaskRow:
    question = text_column(where, columns, "question")
    answer = text_column(where, columns, "answer")
    # It is the last marker, as in the grading of references. So every row that is loaded can also be graded.
    _, marker, final = answer.rpartition(MARKER)
    if not marker or only_number(final) is None:
        raise DataError(f"{where}: column 'answer' ends in {answer[-40:]!r}; end it with `{MARKER} NUMBER`")
    return TaskRow(
        where=where,
        id=own_id(where, columns),
        question=question,
        reference=answer,
        metadata=other_columns(columns, "id", "question", "answer"),
    )


def _file_columns(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, values in read_objects(path):
        yield f"{path}:{number}", values


def _hub_columns(config: Gsm8kTask, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # It is imported here, because the library takes seconds to load and is not part of the basic install.
    try:
        library: Any = importlib.import_module("datasets")
    except ImportError:
        raise BackendError(
            f"task.source: {config.source!r} is a hub id, and the package `datasets` is not installed; run "
            "pip install 'burnish[train]', or give a local folder"
        ) from None
    try:
        # GSM8K has two configurations on the hub: `main` and `socratic`. The answers of `socratic` have questions
        # between the steps.
        rows: Iterable[Mapping[str, Any]] = library.load_dataset(
            config.source, "main", revision=config.revision, split=split
        )
    # The library raises FileNotFoundError for an unknown id and ConnectionError without a network (both are OSError),
    # and ValueError for an unknown configuration or split.
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"task.source: {split} of {config.source!r} (revision {config.revision or 'newest'}) could not be loaded: "
            f"{error}; check the id, the revision and the connection, or give a local folder"
        ) from error
    for number, values in enumerate(rows, 1):
        yield f"{config.source} {split} row {number}", values
