"""Reads rows of the known forms, and changes their answers. All functions are pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from burnish.config import DataConfig
from burnish.errors import DataError
from burnish.forms.answers import AnswerPath, answer_path, with_answer
from burnish.forms.cells import UnusableError, as_text, is_absent, is_empty, label_of, parts_of, plain_text, text_of
from burnish.forms.layout import Form, Layout, doubt, layout_of
from burnish.forms.turns import check_label, earlier_turns, labelled, listed, only_answer, prompt_turns, turns_of
from burnish.types import Message, Role

_PLAIN = DataConfig(source="rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsableRow:
    """A row that can be used.

    `where` is its place: `data.jsonl:12` (a line) or `data.csv row 12` (a row of data, counted from 1 without the
    header). `position` counts all rows of the table from 0, also bad ones. `id` is the user's own id, or None. `unused`
    lists the columns that nothing reads.
    """

    where: str
    position: int
    id: str | None
    prompt: tuple[Message, ...]
    completion: str
    reference: str | None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be used. `why` says what was found and what to do."""

    where: str
    position: int
    id: str | None
    why: str


def recognise(row: Mapping[str, JsonValue], where: str, config: DataConfig = _PLAIN) -> Form:
    """Return the form of a row by its columns.

    Raises DataError, which names `where`, if no form fits or several forms fit.
    """
    try:
        return layout_of(tuple(row), config).form
    except UnusableError as error:
        raise DataError(f"{where}: {error}") from None


def read_row(
    form: Form, row: Mapping[str, JsonValue], where: str, position: int, config: DataConfig
) -> UsableRow | BadRow:
    """Read a row of a table that has the form `form`.

    Raises nothing for a row that cannot be used: the UnusableError is caught, and a `BadRow` that says why is returned.
    """
    own_id: str | None = None
    try:
        # The id comes first, so that a row that is bad for another reason is still named by its id.
        own_id = label_of(row, config.id_column, "id")
        layout = layout_of(tuple(row), config)
        # In JSON lines each row may have columns of its own. A table of two forms is most often two files that were
        # joined by mistake.
        if layout.form is not form:
            raise UnusableError(f"the row has the form {layout.form}, the table {form}; write all rows in one form")
        prompt, completion = _prompt_and_completion(layout, row)
        if doubtful := next((column for column in layout.doubtful if not is_empty(row[column])), None):
            raise UnusableError(doubt(form, doubtful))
        named = config.reference_column
        reference = None if named is None else label_of(row, named, "reference")
    except UnusableError as error:
        return BadRow(where=where, position=position, id=own_id, why=str(error))
    return UsableRow(
        where=where,
        position=position,
        id=own_id,
        prompt=prompt,
        completion=completion,
        reference=reference,
        unused=layout.unused,
    )


def _prompt_and_completion(layout: Layout, row: Mapping[str, JsonValue]) -> tuple[tuple[Message, ...], str]:
    at = layout.at
    if at.messages is not None:
        # Only the last turn is the label. Earlier answers belong to the prompt, whatever marks they have.
        turns = listed(row[at.messages], at.messages)
        prompt, completion = labelled(turns_of(turns, at.messages), at.messages)
        check_label(turns[-1], f"{at.messages}[{len(turns) - 1}]")
    else:
        asked, answered = _both(layout)
        # TRL has two kinds of this form: two texts, or two lists of messages. The other forms with a prompt and an
        # answer always hold texts.
        if layout.form is Form.PROMPT_COMPLETION and (_is_turns(row[asked]) or _is_turns(row[answered])):
            prompt, completion = _conversational(row, asked, answered)
        else:
            prompt = (Message(role=Role.USER, content=_text(row, asked, "prompt")),)
            completion = _text(row, answered, "completion")
    return _with_more(layout, row, prompt), completion


def _both(layout: Layout) -> tuple[str, str]:
    asked, answered = layout.at.prompt, layout.at.completion
    assert asked is not None, layout
    assert answered is not None, layout
    return asked, answered


def _is_turns(value: JsonValue) -> bool:
    # A list of text parts ({"type": "text", ...}) is one text in pieces and not a conversation.
    return isinstance(value, list) and parts_of(value) is None


def _text(row: Mapping[str, JsonValue], column: str, part: str) -> str:
    return text_of(as_text(row[column]), f"column {column!r}", part)


def _conversational(row: Mapping[str, JsonValue], asked: str, answered: str) -> tuple[tuple[Message, ...], str]:
    prompt, completion = row[asked], row[answered]
    # A text stays a text here, even if it is JSON for a list. In this form, nothing says whether it was meant as turns.
    if isinstance(prompt, str) or isinstance(completion, str):
        raise UnusableError(
            f"one of the columns {asked!r} and {answered!r} is text and the other a list of messages; write both alike"
        )
    turns = prompt_turns(turns_of(listed(prompt, asked), asked), asked)
    answer = listed(completion, answered)
    text = only_answer(turns_of(answer, answered), answered)
    check_label(answer[-1], f"{answered}[0]")
    return turns, text


def _with_more(layout: Layout, row: Mapping[str, JsonValue], prompt: tuple[Message, ...]) -> tuple[Message, ...]:
    """Add the parts of a prompt that other columns hold.

    A context comes after its text, and a history and a system text come before it.
    """
    at = layout.at
    # The order matters: the context goes into the question itself, and the system text has to be the first turn of all,
    # before the history.
    if at.context is not None and not is_absent(more := as_text(row[at.context])):
        last = prompt[-1]
        text = f"{last.content}\n\n{plain_text(more, f'column {at.context!r}')}"
        prompt = (*prompt[:-1], Message(role=last.role, content=text))
    if at.history is not None and not is_empty(row[at.history]):
        prompt = (*earlier_turns(row[at.history], at.history), *prompt)
    if at.system is not None and not is_absent(row[at.system]):
        if prompt[0].role is Role.SYSTEM:
            raise UnusableError(f"column {at.system!r} and the first turn are both a system text; remove one of them")
        text = plain_text(row[at.system], f"column {at.system!r}")
        prompt = (Message(role=Role.SYSTEM, content=text), *prompt)
    return prompt


def path_of(row: Mapping[str, JsonValue], config: DataConfig) -> AnswerPath:
    """Return the path to the answer in a usable row. Raises UnusableError as `layout_of` does."""
    layout = layout_of(tuple(row), config)
    value = row[layout.answer]
    return answer_path(layout.answer, value, turns=layout.at.messages is not None or _is_turns(value))


def with_completion(
    form: Form, row: Mapping[str, JsonValue], completion: str, config: DataConfig = _PLAIN
) -> dict[str, JsonValue]:
    """Return a usable row with another answer.

    The columns and their order are the same, and all other values stay as they are.
    """
    assert layout_of(tuple(row), config).form is form, (form, list(row))
    column, *path = path_of(row, config)
    assert isinstance(column, str), column
    return {**row, column: with_answer(row[column], tuple(path), completion)}
