"""Easier word problems, from files in the form of MAWPS (`question`, `equation`, `answer`) or SVAMP (`Body`,
`Question`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from burnish.config import WordProblemsTask
from burnish.errors import ConfigError, DataError
from burnish.protocols import Dataset
from burnish.store.files import read_objects
from burnish.tasks.numbers import MARKER, NumericAnswers, canonical, only_number
from burnish.tasks.rows import (
    Counts,
    NamedSplit,
    TaskRow,
    all_read,
    check_own_ids,
    column,
    dataset,
    existing_path,
    held_out_fifth,
    other_columns,
    own_id,
    split_column,
    text_column,
)

KIND = "word_problems"
MAX_EQUATION = 1000
MAX_PLACES = 6
"""The most decimals of an exact number. More decimals are float noise (`2.8333333333333335`), and the number is then
rounded to this many significant digits."""


@dataclass(frozen=True, slots=True)
class WordProblems(NumericAnswers):
    """Word problems from one JSONL file.

    Its column `split` says train, valid or test. Rows of `valid` are not used, because they are for choosing settings.
    Without the column, a fifth of the groups, chosen by hash, is the test split.
    """

    config: WordProblemsTask

    def load(self) -> Dataset:
        """Return both splits. Raises DataError naming file and line, and ConfigError naming the field."""
        config = self.config
        (path,) = local_files(config)
        read = [(f"{path}:{number}", values) for number, values in read_objects(path)]
        if not read:
            raise DataError(f"{path}: no rows; each line must be one JSON object with a question and its answer")
        # Rows of `valid` are also checked, although they are then left out. An id that occurs twice is a mistake in the
        # file.
        rows = all_read(read, _row)
        check_own_ids(rows)
        # If one row has the column, all others must have it, too. Otherwise nothing says to which split they belong.
        if any("split" in values for _, values in read):
            splits = all_read(read, _split)
        else:
            is_test = held_out_fifth(rows)
            splits = ["test" if is_test(row) else "train" for row in rows]
        train, test = (
            [row for row, split in zip(rows, splits, strict=True) if split == name] for name in ("train", "test")
        )
        return dataset(KIND, train, test, Counts(source=config.source, train=config.train, test=config.test))


def local_files(config: WordProblemsTask) -> tuple[Path]:
    """Return the source file. Raises ConfigError if it is missing."""
    path = existing_path(config.source)
    if path is None or not path.is_file():
        why = "does not exist" if path is None else "is a folder"
        raise ConfigError(
            f"task.source: {config.source!r} {why}; give a JSONL file (also .gz) in the form of MAWPS or SVAMP"
        )
    return (path,)


def _split(where: str, columns: Mapping[str, Any]) -> NamedSplit:
    return split_column(where, columns, "split")


def _row(where: str, columns: Mapping[str, Any]) -> TaskRow:
    # SVAMP writes its columns with capitals and splits each problem into a story (`Body`) and a question.
    svamp = "Body" in columns
    names = ("ID", "Question", "Equation", "Answer") if svamp else ("id", "question", "equation", "answer")
    id_name, question_name, equation_name, answer_name = names
    question = text_column(where, columns, question_name)
    if svamp:
        question = f"{_sentence(text_column(where, columns, 'Body'))} {question}"
    equation = column(where, columns, equation_name)
    if not isinstance(equation, str):
        raise DataError(
            f"{where}: column {equation_name!r} is {equation!r:.80}; write a string, blank where there is none"
        )
    return TaskRow(
        where=where,
        id=own_id(where, columns, id_name),
        question=question,
        reference=demonstration(equation, _gold(where, columns, answer_name)),
        metadata=other_columns(columns, *names, "Body", "split"),
    )


def _sentence(text: str) -> str:
    """Return a text with a period at its end. SVAMP's stories often have none before the question."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _gold(where: str, columns: Mapping[str, Any], name: str) -> str:
    value, number = column(where, columns, name), None
    # MAWPS stores some answers as numbers and some as texts. For Python, `true` is an int.
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        number = only_number(str(value))
    if number is None:
        raise DataError(f"{where}: column {name!r} is {value!r:.80}; write a number, or a string that is one number")
    # A fraction such as 1/3 is exact and has no float noise.
    return number.text if "/" in number.text else tidy_number(number.text)


def demonstration(equation: str, answer: str) -> str:
    """Return the equation and the answer as one line: `X=((22.0-14.0)/4.0)` and 2 give `(22-14)/4 = 2 #### 2`.

    An equation that must be solved keeps its unknown: `X-6 = 52 ; X = 58 #### 58`. An equation that cannot be read is
    left out. It has two equals signs (MAWPS has `X=0.32=0.21`), several unknowns, or signs other than + - * / and
    brackets.
    """
    working = _working(equation, answer)
    return f"{working} {MARKER} {answer}" if working else f"{MARKER} {answer}"


def _working(equation: str, answer: str) -> str | None:
    text = re.sub(r"\s", "", equation)
    # A run of letters is an unknown: `X`, or `miles` in `miles=4.0/30.0*48.0`.
    unknowns = set(re.findall(r"[A-Za-z]+", text))
    if len(text) > MAX_EQUATION or len(unknowns) > 1 or not re.fullmatch(r"[A-Za-z0-9.()=+*/-]+", text):
        return None
    # `22.0` becomes `22`, and `.5` becomes `0.5`.
    sides = [_bare(side) for side in re.sub(r"[0-9]*\.?[0-9]+", lambda found: tidy_number(found[0]), text).split("=")]
    # The first list has the sides that are not just the unknown.
    match [side for side in sides if side not in unknowns], sides:
        # `X=(22-14)/4`, `3+4=x` or a bare `76-25`; not `x=x+1`, where the unknown is on both sides
        case [expression], _ if expression and not unknowns & set(re.findall(r"[A-Za-z]+", expression)):
            return f"{expression} = {answer}"
        # `X-6=52`
        case [left, right], [_, _] if unknowns:
            return f"{left} = {right} ; {unknowns.pop()} = {answer}"
        case _:
            return None


def _bare(expression: str) -> str:
    """Remove brackets around the whole expression."""
    depth = 0
    for place, sign in enumerate(expression):
        depth += (sign == "(") - (sign == ")")
        # In `(1+2)*(3)`, the first bracket closes before the end, so the first and the last bracket are not a pair.
        if depth == 0 and place < len(expression) - 1:
            return expression
    return _bare(expression[1:-1]) if expression.startswith("(") and depth == 0 else expression


def tidy_number(text: str) -> str:
    """Return a decimal without zeros at its end.

    A number with float noise is rounded to 6 significant digits, with a relative error of at most 5e-6.
    """
    value = Fraction(text)
    if len(text.partition(".")[2]) > MAX_PLACES:
        # `adjusted` is the power of ten of the first digit. For 0.004166666666666667 it is -3, so the number is rounded
        # to 8 places. At least one place is kept, so that no digit before the point is rounded.
        value = Fraction(round(value, max(1, MAX_PLACES - 1 - Decimal(text).adjusted())))
    return canonical(value)
