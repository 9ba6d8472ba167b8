"""The forms in which people keep finetuning data: which one a row has, what it says, how its answer changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from pydantic import JsonValue

from burnish.config import DataConfig
from burnish.errors import DataError
from burnish.forms.cells import UnusableError, is_absent, label_of, plain_text, text_of
from burnish.forms.turns import labelled, only_answer, prompt_turns, turns_of, with_last_content
from burnish.types import Message, Role


class Form(StrEnum):
    """How a row holds its prompt and its answer."""

    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt/completion"
    QUESTION_ANSWER = "question/answer"
    ALPACA = "instruction/input/output"


COLUMNS: Mapping[Form, tuple[str, ...]] = {
    Form.MESSAGES: ("messages",),
    Form.PROMPT_COMPLETION: ("prompt", "completion"),
    Form.QUESTION_ANSWER: ("question", "answer"),
    Form.ALPACA: ("instruction", "output"),
}
"""The columns that make a form; the last one holds the answer. Alpaca's `input` may be absent."""
INPUT = "input"
_FOUR_FORMS = "messages; prompt and completion; question and answer; instruction, input (may be absent) and output"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsableRow:
    """A row that can be used.

    `where` is `data.jsonl:12` (a line) or `data.csv row 12` (a row of data, counted from 1 without the header).
    `position` counts all rows of the table from 0, bad ones too. `id` is the user's own.
    """

    where: str
    position: int
    id: str | None
    prompt: tuple[Message, ...]
    completion: str
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be used; `why` says what was found and what to do."""

    where: str
    position: int
    id: str | None
    why: str


def recognise(row: Mapping[str, JsonValue], where: str) -> Form:
    """Return the form of a row by its columns. Raises DataError if none fits, or several."""
    try:
        return _form_of(row)
    except UnusableError as error:
        raise DataError(f"{where}: {error}") from None


def _form_of(row: Mapping[str, JsonValue]) -> Form:
    fitting = [form for form, columns in COLUMNS.items() if all(column in row for column in columns)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choices = ", or ".join(f"{_others(fitting, form)} to keep {form}" for form in fitting)
        raise UnusableError(f"columns of {len(fitting)} forms found; remove or rename {choices}")
    found = ", ".join(repr(column) for column in row) or "none"
    convert = "; convert `conversations` to messages of {role, content}" if "conversations" in row else ""
    raise UnusableError(f"no known form in the columns {found:.300}; write one of: {_FOUR_FORMS}{convert}")


def _others(fitting: list[Form], kept: Form) -> str:
    return " and ".join(repr(answer_column(form)) for form in fitting if form is not kept)


def answer_column(form: Form) -> str:
    """Return the column that holds the answer."""
    return COLUMNS[form][-1]


def read_row(
    form: Form, row: Mapping[str, JsonValue], where: str, position: int, config: DataConfig
) -> UsableRow | BadRow:
    """Read one row of a table whose form is `form`. Nothing is raised: a BadRow says why the row cannot be used."""
    own_id: str | None = None
    try:
        own_id = label_of(row, config.id_column, "id")
        if (found := _form_of(row)) is not form:
            raise UnusableError(f"the row is {found} and the table {form}; write all rows in one form")
        prompt, completion = _prompt_and_completion(form, row)
        named = config.reference_column
        reference = None if named is None else label_of(row, named, "reference")
    except UnusableError as error:
        return BadRow(where=where, position=position, id=own_id, why=str(error))
    return UsableRow(
        where=where, position=position, id=own_id, prompt=prompt, completion=completion, reference=reference
    )


def _prompt_and_completion(form: Form, row: Mapping[str, JsonValue]) -> tuple[tuple[Message, ...], str]:
    match form:
        case Form.MESSAGES:
            return labelled(turns_of(row["messages"], "messages"), "messages")
        case Form.PROMPT_COMPLETION if isinstance(row["prompt"], list) or isinstance(row["completion"], list):
            return _conversational(row["prompt"], row["completion"])
        case Form.PROMPT_COMPLETION | Form.QUESTION_ANSWER:
            asked, answered = COLUMNS[form]
            return _asked(_text(row, asked, "prompt")), _text(row, answered, "completion")
        case Form.ALPACA:
            return _asked(_alpaca_prompt(row)), _text(row, "output", "completion")
        case _:
            assert_never(form)


def _text(row: Mapping[str, JsonValue], column: str, part: str) -> str:
    return text_of(row[column], f"column {column!r}", part)


def _asked(prompt: str) -> tuple[Message, ...]:
    return (Message(role=Role.USER, content=prompt),)


def _conversational(prompt: JsonValue, completion: JsonValue) -> tuple[tuple[Message, ...], str]:
    if isinstance(prompt, str) or isinstance(completion, str):
        raise UnusableError(
            "one of the columns 'prompt' and 'completion' is text and the other a list of messages; write both alike"
        )
    asked = prompt_turns(turns_of(prompt, "prompt"), "prompt")
    return asked, only_answer(turns_of(completion, "completion"), "completion")


def _alpaca_prompt(row: Mapping[str, JsonValue]) -> str:
    instruction, more = _text(row, "instruction", "prompt"), row.get(INPUT)
    return instruction if is_absent(more) else f"{instruction}\n\n{plain_text(more, f'column {INPUT!r}')}"


def with_completion(form: Form, row: Mapping[str, JsonValue], completion: str) -> dict[str, JsonValue]:
    """Return a usable row with another answer: the same columns in the same order, all else as it was."""
    column = answer_column(form)
    old = row[column]
    structured = form is Form.MESSAGES or isinstance(old, list)
    return {**row, column: with_last_content(old, completion) if structured else completion}
