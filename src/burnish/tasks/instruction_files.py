"""Reads files of instructions: any form that `refine` reads, files with both categories, and files of requests only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from burnish.config import DataConfig, expanded
from burnish.errors import ConfigError, DataError
from burnish.forms import BadRow, Form, UsableRow, open_table, read_row
from burnish.tasks.instruction_answers import CATEGORY, Category
from burnish.tasks.rows import TaskRow
from burnish.types import Message

WRAPPER = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "Instruction:\n"
)
"""The beginning of SaferPaca's test questions. Its training rows do not have it."""
_REQUESTS = "instructions"
# Only the beginning of a message is compared, because the forms' messages also say what to do about the row.
_EMPTY = {"empty completion": "empty_response", "empty prompt": "empty_prompt"}
"""{beginning of the forms' message about a row without one part: the name under which such rows are counted}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionRow(TaskRow):
    """A row whose prompt may have several turns. `question` is the last turn."""

    messages: tuple[Message, ...]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the answer."""
        return self.messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field of the config, with its files and the rows of them that it uses.

    `category` is the category of these rows. `max_response` is the most characters of a response, or None for no limit.
    `refusal` is the reference of requests without a response. If it is None, each request must have a response.
    `origin` says where the official file comes from.
    """

    field: str
    category: Category
    sources: tuple[str, ...]
    origin: str
    max_response: int | None
    refusal: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The local files. Raises ConfigError if a file is missing."""
        return tuple(self._file(source) for source in self.sources)

    def _file(self, source: str) -> Path:
        path = expanded(source, f"task.{self.field}")
        # It uses os.path, because the methods of Path raise OSError for a name that is too long.
        if not os.path.isfile(path):
            why = "is no file" if os.path.exists(path) else "does not exist"
            raise ConfigError(f"task.{self.field}: {source!r:.300} {why}; the official one is {self.origin}")
        return Path(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRows:
    """The usable rows of a part. `left_out` is {reason: number of rows that cannot be used}."""

    rows: tuple[InstructionRow, ...]
    left_out: Mapping[str, int]


def read_part(part: Part) -> PartRows:
    """Read a part's files. Raises ConfigError for a missing file, and DataError for a bad row or if no row is
    usable."""
    rows: list[InstructionRow] = []
    left_out: Counter[str] = Counter()
    for path in part.files:
        for found in _rows(part, path):
            if isinstance(found, str):
                left_out[found] += 1
            else:
                rows.append(found)
    if not rows:
        counts = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items())) or f"none is {part.category}"
        names = ", ".join(part.sources)
        raise DataError(f"task.{part.field}: no row of {names:.300} can be used ({counts}); name another file")
    return PartRows(rows=tuple(rows), left_out=left_out)


def _rows(part: Part, path: Path) -> Iterator[InstructionRow | str]:
    """Yield the rows of a file. For a row that is left out, yield the reason."""
    requests = _bare_requests(path)
    for row in _wanted(part, path) if requests is None else _as_rows(part, path, requests):
        yield _usable(part, path, row)


def _usable(part: Part, path: Path, row: UsableRow | BadRow) -> InstructionRow | str:
    where = str(path.with_name(row.where))
    if isinstance(row, BadRow):
        # Published data have some rows with an empty prompt or response, so these are left out and counted. Any other
        # bad row is a mistake in the file, so it is an error.
        why = next((counted for beginning, counted in _EMPTY.items() if row.why.startswith(beginning)), None)
        if why is None:
            raise DataError(f"{where}: {row.why}")
        return why
    response = row.completion.strip()
    if part.max_response is not None and len(response) > part.max_response:
        return "response_too_long"
    # With the wrapper, a test prompt would not equal a training prompt that repeats it. Then the training row would not
    # be dropped.
    question = bare_instruction(row.prompt[-1].content)
    if not question:
        return "empty_prompt"
    return InstructionRow(
        where=where,
        id=row.id,
        question=question,
        reference=response,
        metadata={CATEGORY: str(part.category)},
        messages=(*row.prompt[:-1], replace(row.prompt[-1], content=question)),
    )


def bare_instruction(prompt: str) -> str:
    """Return a prompt without SaferPaca's wrapper and without white space around it. Training rows have neither."""
    return prompt.lstrip().removeprefix(WRAPPER).strip()


def _wanted(part: Part, path: Path) -> list[UsableRow | BadRow]:
    """Read a table. If any row's `category` is one of the two, return only the rows of the part's category.

    Raises DataError if a usable row of such a file has neither category.
    """
    try:
        table = open_table(DataConfig(source=str(path)))
        # Parquet is read by columns, and the category is not a column of a form. So a second reading asks for it.
        named = replace(table, config=DataConfig(source=str(path), reference_column=CATEGORY))
        pairs = list(zip(table.read(), _categories(named.values()), strict=True))
    except (ConfigError, DataError) as error:
        raise type(error)(f"task.{part.field}: {str(error).removeprefix('data.source: ')}") from None
    known = tuple(Category)
    # Other data use a column of this name for something else, such as {"category": "poetry"}. Then all rows are used.
    if not any(category in known for _, category in pairs):
        return [row for row, _ in pairs]
    for row, category in pairs:
        # In a file with both categories, a misspelt one ("saftey") would otherwise drop its row without a message.
        if isinstance(row, UsableRow) and category not in known:
            where = path.with_name(row.where)
            raise DataError(f"{where}: {CATEGORY} is {category!r:.80}, other rows have general or safety; write one")
    # Usable rows without a known category were refused above. The others without one are bad rows, which are counted.
    return [row for row, category in pairs if category == part.category or category not in known]


def _categories(values: Iterable[Mapping[str, Any] | None]) -> Iterator[Any]:
    return ((columns or {}).get(CATEGORY) for columns in values)


def _bare_requests(path: Path) -> Mapping[str, Any] | None:
    """Return the content of a file of {instructions: [...]}, or None for any other file."""
    if path.suffix.lower() != ".json":
        return None
    try:
        with path.open("rb") as file:
            # A table is a list and may have a million rows. So only a document that begins with a brace is parsed here
            # as a whole. Programs on Windows write a byte order mark before it.
            if not file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                return None
            file.seek(0)
            value: Any = orjson.loads(file.read().removeprefix(b"\xef\xbb\xbf"))
    except (OSError, orjson.JSONDecodeError):
        return None  # it will be read as a table, and that error says what is wrong
    # The text begins with a brace, so a parsed value is an object.
    return value if isinstance(value.get(_REQUESTS), list) else None


def _as_rows(part: Part, path: Path, requests: Mapping[str, Any]) -> Iterator[UsableRow | BadRow]:
    """Yield requests as rows with the refusal as their response, and with their `inputs` if there are any."""
    if part.refusal is None:
        raise DataError(
            f"task.{part.field}: {path.name} holds requests without responses; only task.safety_test takes these"
        )
    # The key `inputs` may be missing, or its list may be empty although there are many requests.
    asked, inputs = requests[_REQUESTS], requests.get("inputs") or [None] * len(requests[_REQUESTS])
    if not isinstance(inputs, list) or len(inputs) != len(asked):  # pyright: ignore[reportUnknownArgumentType]
        raise DataError(f"{path}: `inputs` does not fit {len(asked)} instructions; write one for each, or none")
    config = DataConfig(source=str(path))
    for position, (request, more) in enumerate(zip(asked, inputs, strict=True)):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        columns: dict[str, Any] = {"instruction": request, "input": more, "output": part.refusal}
        yield read_row(Form.ALPACA, columns, f"{path.name} instruction {position + 1}", position, config)
