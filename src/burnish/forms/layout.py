"""The known forms of rows.

The names of a row's columns tell its form and which column holds which part. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from burnish.config import Columns, DataConfig
from burnish.forms.cells import UnusableError


class Form(StrEnum):
    """How a row holds its prompt and its answer."""

    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt/completion"
    QUESTION_ANSWER = "question/answer"
    ALPACA = "instruction/input/output"
    CONVERSATIONS = "conversations"
    DOLLY = "instruction/context/response"


_OLD: dict[Form, Columns] = {
    Form.MESSAGES: Columns(messages="messages"),
    Form.PROMPT_COMPLETION: Columns(prompt="prompt", completion="completion"),
    Form.QUESTION_ANSWER: Columns(prompt="question", completion="answer"),
    Form.ALPACA: Columns(prompt="instruction", completion="output"),
}
_NEW: dict[Form, Columns] = {
    Form.CONVERSATIONS: Columns(messages="conversations"),
    Form.DOLLY: Columns(prompt="instruction", completion="response"),
}
"""These forms are tried if none of the others fits. A table of another form may have such a column as an extra."""
_MORE: Mapping[Form, Mapping[str, str]] = {
    Form.ALPACA: {"context": "input", "system": "system", "history": "history"},
    Form.CONVERSATIONS: {"system": "system"},
    Form.DOLLY: {"context": "context"},
}
"""Columns that a form may also have, as {part of the prompt: name of the column}."""
_ADVICE: Mapping[str, str] = {
    "context": "context",
    "input": "context",
    "instruction": "context",
    "system": "system",
    "system_prompt": "system",
    "history": "history",
    "tools": "",
    "functions": "",
}
"""Names that people give to columns with a part of the prompt, and the part that each column can be used as.

An empty text means that it cannot be used.
"""
_FORMS = (
    "messages; prompt and completion; question and answer; instruction, input (may be absent) and output; "
    "conversations; instruction, context (may be absent) and response"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the columns of a row are for.

    `doubtful` lists the columns that may belong to the prompt and are not read. `unused` lists all columns that nothing
    reads. The doubtful columns and the user's extra columns are among them.
    """

    form: Form
    at: Columns
    doubtful: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The name of the column that holds the answer."""
        column = self.at.messages or self.at.completion
        assert column is not None, self.at
        return column

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns whose values matter: those that hold a part of the row, and those that must be empty."""
        return (*self.at.given.values(), *self.doubtful)

    @property
    def words(self) -> str:
        """The form in words. If a part is not in the form's own column, the words also say which column holds it."""
        own = {**(_OLD | _NEW)[self.form].given, **_MORE.get(self.form, {})}
        other = {part: column for part, column in self.at.given.items() if own.get(part) != column}
        named = ", ".join(f"{part} from {column!r}" for part, column in other.items())
        return f"{self.form} ({named})" if named else str(self.form)


def layout_of(columns: tuple[str, ...], config: DataConfig) -> Layout:
    """Return the layout of a row with these columns.

    Raises UnusableError if no form fits or several forms fit, or if a column that the config names cannot be used.
    """
    chosen = () if config.columns is None else tuple(config.columns.given.items())
    return _layout_of(columns, chosen, config.extra_columns, (config.id_column, config.reference_column))


# The settings come as tuples of texts, because the cache needs arguments that can be hashed.
@lru_cache(maxsize=1024)  # nearly all rows of a table have the same columns
def _layout_of(
    columns: tuple[str, ...],
    named: tuple[tuple[str, str], ...],
    extras: tuple[str, ...],
    others: tuple[str | None, ...],
) -> Layout:
    # The user's extras are hidden here, so that an extra column with a known name (`messages` beside `prompt` and
    # `completion`) does not count as a second form.
    known = tuple(column for column in columns if column not in extras)
    chosen = Columns.model_validate(dict(named)) if named else None
    form, at = _named(known, chosen) if chosen is not None and _has_answer(chosen) else _recognised(known)
    if chosen is not None:
        at = _joined(at, chosen, columns)
    read = {*at.given.values(), *others}
    unused = tuple(column for column in columns if column not in read)
    doubtful = tuple(column for column in unused if column in known and _advice(form, column) is not None)
    return Layout(form=form, at=at, doubtful=doubtful, unused=unused)


def _has_answer(chosen: Columns) -> bool:
    return any((chosen.messages, chosen.prompt, chosen.completion))


def _named(known: tuple[str, ...], chosen: Columns) -> tuple[Form, Columns]:
    """Return the form that the user's column names make.

    If the prompt or the answer is not named, its column may have a known name.
    """
    # The turns may still have the keys of ShareGPT, because `turns.py` reads both kinds of keys in any list.
    if chosen.messages is not None:
        return Form.MESSAGES, Columns(messages=chosen.messages)
    texts = [at for form, at in (_OLD | _NEW).items() if form not in {Form.MESSAGES, Form.CONVERSATIONS}]
    prompt = chosen.prompt or _first(known, [at.prompt for at in texts])
    completion = chosen.completion or _first(known, [at.completion for at in texts])
    if prompt is None or completion is None:
        missing = "prompt" if prompt is None else "completion"
        raise UnusableError(
            f"no column for the {missing} in the columns {_listed(known)}; name it with --columns {missing}=NAME"
        )
    return Form.PROMPT_COMPLETION, Columns(prompt=prompt, completion=completion)


def _first(known: tuple[str, ...], names: list[str | None]) -> str | None:
    return next((name for name in names if name in known), None)


def _joined(at: Columns, chosen: Columns, columns: tuple[str, ...]) -> Columns:
    """Add the columns that the user named to those of a form. Raises UnusableError if one of them cannot be used."""
    for part, column in chosen.given.items():
        if column not in columns:
            raise UnusableError(
                f"no column {column!r} (data.columns.{part}) in the columns {_listed(columns)}; correct the name"
            )
    # The check of the settings refuses such columns beside a named `messages`. This check is for a form that was
    # recognised.
    if at.messages is not None and (chosen.context or chosen.history):
        part = "context" if chosen.context else "history"
        raise UnusableError(
            f"data.columns.{part} is {chosen.given[part]!r}, and a list of messages holds the whole conversation; "
            "write it into the messages"
        )
    # If the user gives a column another part, the form no longer uses it for its own part.
    own = {part: column for part, column in at.given.items() if column not in chosen.given.values()}
    # For example `context=instruction` in an Alpaca row: then no column is left for the prompt.
    if at.messages is None and (lost := {"prompt", "completion"} - {*own, *chosen.given}):
        raise UnusableError(f"no column is left for the {min(lost)}; name one with --columns {min(lost)}=NAME")
    return Columns.model_validate(own | chosen.given)


def _recognised(known: tuple[str, ...]) -> tuple[Form, Columns]:
    names = {name: name for name in known}
    # Exact names come first, and the four forms of the first version before the later ones. So a table that was read
    # before is read in the same way now. Other capitals (`Question`) count only if nothing else fits.
    for forms, spelled in ((_OLD, names), (_NEW, names), (_OLD | _NEW, _folded(known))):
        fitting = list(_fitting(forms, spelled))
        if len(fitting) == 1:
            return fitting[0]
        # Two forms fit, and nobody can know which one was meant. A guess could refine the wrong column.
        if fitting:
            kept = [form for form, _ in fitting]
            choices = ", or ".join(f"{_others(fitting, form)} to keep {form}" for form in kept)
            raise UnusableError(
                f"columns of {len(fitting)} forms found; remove or rename {choices}; or say which columns count, "
                "with --columns"
            )
    raise UnusableError(
        f"no known form in the columns {_listed(known)}; write one of: {_FORMS}; or name your columns with "
        "--columns prompt=NAME,completion=NAME"
    )


def _folded(known: tuple[str, ...]) -> dict[str, str]:
    """Return {name in small letters: column}. A name that several columns have in small letters is left out."""
    # If one table has the columns `Answer` and `answer`, nobody can know which of them was meant.
    small = [name.strip().casefold() for name in known]
    return {key: name for key, name in zip(small, known, strict=True) if small.count(key) == 1}


def _fitting(forms: Mapping[Form, Columns], names: Mapping[str, str]) -> Iterator[tuple[Form, Columns]]:
    for form, at in forms.items():
        if all(column in names for column in at.given.values()):
            more = {part: column for part, column in _MORE.get(form, {}).items() if column in names}
            yield form, Columns(**{part: names[column] for part, column in {**at.given, **more}.items()})


def _others(fitting: list[tuple[Form, Columns]], kept: Form) -> str:
    return " and ".join(repr(at.messages or at.completion) for form, at in fitting if form is not kept)


def _listed(columns: tuple[str, ...]) -> str:
    return f"{', '.join(repr(column) for column in columns) or 'none':.300}"


def _advice(form: Form, column: str) -> str | None:
    """Return the part of the prompt that a column could be used as, or "" if it cannot be used.

    Return None if its name does not say that it belongs to a prompt.
    """
    part = _ADVICE.get(column.strip().casefold())
    if part is None or form not in {Form.MESSAGES, Form.CONVERSATIONS}:
        return part
    return None if column.strip().casefold() in {"input", "instruction"} else part if part == "system" else ""


def doubt(form: Form, column: str) -> str:
    """Return a message about a column that may belong to the prompt. It says what the user can do."""
    part = _advice(form, column)
    use = f"use it with --columns {part}={column}" if part else "rows that need it cannot be used"
    return (
        f"column {column!r} may belong to the prompt, and a row of {form} is read without it; {use}, or say that it is "
        f"an extra with --extra-columns {column}"
    )
