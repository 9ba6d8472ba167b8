"""grades.json.gz: which held-out prompts each model answers right, so that every interval can be computed again."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import Field, ValidationError, model_validator

from burnish.errors import DataError
from burnish.results.records import MethodRound, Natural, Record
from burnish.store.files import write_atomic

GRADES_FILE = "grades.json.gz"

Right = Annotated[str, Field(pattern=r"^[01]*$")]
"""A text with one digit for each prompt: 1 if the answer is right, else 0."""


class Answered(Record):
    """Which prompts the models of one method, seed and round answer right."""

    method: str
    """The method's name; `weak` for the supervisor."""
    seed: int
    """The seed of the run."""
    round: Natural
    """The number of rounds done."""
    prompts: Natural
    """Which list of `prompts` was answered, counted from 0. Seeds that answer the same prompts share a list."""
    right: tuple[Right, ...]
    """One text for each order of rows: a 1 for each prompt answered right, a 0 for each other, as the list has them."""


class PromptGrades(Record):
    """The content of grades.json.gz: the grade of every answer to a held-out prompt, without any texts."""

    schema_version: Literal[1] = 1
    """The version of this file format."""
    prompts: tuple[tuple[str, ...], ...]
    """Lists of the ids of held-out prompts."""
    answered: tuple[Answered, ...]
    """One row for each method, seed and round."""

    @model_validator(mode="after")
    def _lengths_fit(self) -> PromptGrades:
        # A text of another length would be read as the grades of other prompts.
        for row in self.answered:
            where = f"{row.method}, seed {row.seed}, round {row.round}"
            if row.prompts >= len(self.prompts):
                raise ValueError(f"{where}: list {row.prompts} of prompts is named, but there are {len(self.prompts)}")
            if not row.right or {len(text) for text in row.right} != {len(self.prompts[row.prompts])}:
                raise ValueError(f"{where}: the grades do not fit the {len(self.prompts[row.prompts])} prompts")
        return self

    def of(self, at: MethodRound) -> Mapping[int, Answered]:
        """Return {seed: grades} of a method after a round. It is empty if there are none."""
        return {row.seed: row for row in self.answered if (row.method, row.round) == at}

    def by_prompt(self, row: Answered) -> Iterator[tuple[str, list[int]]]:
        """Yield the id of each prompt with its grades, one for each order of rows."""
        for place, id_ in enumerate(self.prompts[row.prompts]):
            yield id_, [int(text[place]) for text in row.right]


def write_prompt_grades(directory: Path, grades: PromptGrades) -> None:
    """Write grades.json.gz into a results folder."""
    # The time is left out, so that equal grades give equal bytes.
    write_atomic(directory / GRADES_FILE, gzip.compress(orjson.dumps(grades.model_dump(mode="json")), mtime=0))


def read_prompt_grades(directory: Path) -> PromptGrades | None:
    """Read grades.json.gz of a results folder, or return None if there is none, as in folders of earlier versions.

    Raises DataError, which names the file and what is wrong.
    """
    path = directory / GRADES_FILE
    if not path.is_file():
        return None
    try:
        return PromptGrades.model_validate_json(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a gzip file ({error}); run `burnish run` again, finished work is kept") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: {field or 'file'}: {first['msg']}; run `burnish run` again") from None
