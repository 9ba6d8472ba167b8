"""Pairs whose better side is known: a file of labelled pairs such as LLMBar, and the rows that come with the
package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from burnish.errors import DataError
from burnish.store.files import read_objects
from burnish.tasks.rows import column, text_column
from burnish.types import (
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Role,
    TrainingRow,
    prompt_group,
    short_hash,
)

BUNDLED = "selftest_rows.jsonl"
"""The file of rows that comes with the package."""
_LLMBAR = ("input", "output_1", "output_2")
"""The columns of a prompt and its two answers in LLMBar's files."""
_PLAIN = ("prompt", "first", "second")
"""The same columns in the plain form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair:
    """Two answers, of which one is known to be better. Side `a` is the first one in the file. `subset` is "" if the
    file names no subset."""

    comparison: Comparison
    example: Example
    first_better: bool
    subset: str


def read_pairs_file(path: Path) -> list[LabelledPair]:
    """Read a JSONL file (also `.gz`) with rows {input, output_1, output_2, label} (LLMBar's form) or {prompt, first,
    second, label}.

    `label` names the better answer: 1 or "first", or 2 or "second". `subset` is optional, and other columns are not
    read. Each row is a separate example, so a file may repeat a prompt. Raises DataError, naming file and line, if a
    row is wrong, and also if the file has no rows.
    """
    occurrences: Counter[str] = Counter()
    pairs: list[LabelledPair] = []
    for number, columns in read_objects(path):
        pairs.append(_pair(f"{path}:{number}", columns, occurrences))
    # An empty file is a mistake. A report without an accuracy would hide it.
    if not pairs:
        raise DataError(f"{path}: holds no pairs; write one JSON object {{prompt, first, second, label}} a line")
    return pairs


def examples_of(pairs: Iterable[LabelledPair]) -> dict[str, Example]:
    """Return {id: example} of these pairs. An annotator may need the examples."""
    return {pair.example.id: pair.example for pair in pairs}


def bundled_rows() -> list[TrainingRow]:
    """Return the package's own prompts and answers. Pairs are planted in them if there is no dataset."""
    with resources.as_file(resources.files("burnish.selftest").joinpath(BUNDLED)) as path:
        return [
            TrainingRow(id=f"selftest-{number:02d}", prompt=_user(columns["prompt"]), completion=columns["completion"])
            for number, columns in read_objects(path)
        ]


def _pair(where: str, columns: Mapping[str, Any], occurrences: Counter[str]) -> LabelledPair:
    """Return the pair of one row. Raises DataError if a column is missing or wrong."""
    question, *answers = _form(columns)
    # These files hold one prompt per row and no conversation.
    prompt = _user(text_column(where, columns, question))
    group = prompt_group(prompt)
    # The id includes the number of the occurrence, so that rows with the same prompt have different ids.
    id_ = short_hash("pair", group, str(occurrences[group]))
    occurrences[group] += 1
    a, b = (
        Demonstration(
            example_id=id_,
            completion=_answer(where, columns, name),
            source=DemonstrationSource.GIVEN,
            producer=side,  # LLMBar has a pair of equal answers, and this gives them different ids
        )
        for name, side in zip(answers, ("first", "second"), strict=True)
    )
    return LabelledPair(
        comparison=Comparison(example_id=id_, a=a, b=b),
        # It has no reference, because the annotator must judge only by the two answers.
        example=Example(id=id_, group=group, prompt=prompt),
        first_better=_first_better(where, columns),
        subset=text_column(where, columns, "subset") if "subset" in columns else "",
    )


def _form(columns: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the names of the columns for the prompt and the two answers."""
    # `input` may also be an extra column of the plain form, so `prompt` decides.
    return _LLMBAR if _LLMBAR[0] in columns and _PLAIN[0] not in columns else _PLAIN


def _answer(where: str, columns: Mapping[str, Any], name: str) -> str:
    """Return an answer as it is in the file. It may be empty: LLMBar has one such answer. Raises DataError if it is not
    a text."""
    value = column(where, columns, name)
    if not isinstance(value, str):
        raise DataError(f"{where}: column {name!r} is {type(value).__name__}, found {value!r:.80}; write a string")
    return value


def _first_better(where: str, columns: Mapping[str, Any]) -> bool:
    """Return whether the label names the first answer. Raises DataError for any other label."""
    label = column(where, columns, "label")
    # In Python, True == 1.
    if not isinstance(label, bool) and label in (1, "first"):
        return True
    if label in (2, "second"):
        return False
    raise DataError(
        f'{where}: label: {label!r:.80} found; write 1 or "first" where the first answer is better, 2 or "second" '
        "where the second is"
    )


def _user(text: str) -> tuple[Message, ...]:
    """Return a prompt with one message of the user."""
    return (Message(role=Role.USER, content=text),)
