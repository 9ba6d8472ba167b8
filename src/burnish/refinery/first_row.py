"""The first row as the model will see it, shown before anything is spent, so that the user notices a wrong template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from burnish import backends
from burnish.errors import BackendError, DataError
from burnish.forms.recognise import UsableRow
from burnish.refinery.dataset import DataFacts
from burnish.refinery.inputs import STUDENT, RefinementInputs
from burnish.report.text import lines, plural, shortened, terminal
from burnish.types import TrainingRow

LONGEST, SHOWN_BAD = 1200, 10
"""How many characters of the first row are shown, and how many rows that cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRow:
    """The first usable row: the text that the model reads (`prompt`), and the text that it learns (`supervised`).

    `end` is the token that ends the answer. `problem` says why the row cannot be shown. It is "" if the row is shown.
    """

    prompt: str
    supervised: str
    end: str
    tokens: int
    problem: str


def first_row(found: RefinementInputs) -> FirstRow | None:
    """Render the first usable row. Return None if no model is trained, since no model then reads it.

    If the tokenizer is not on this machine, the reason goes into `problem`, since a dry run can do without it. Raises
    DataError if no row can be used.
    """
    if STUDENT not in found.models:
        return None
    # The table is read lazily, so this stops at the first usable row.
    for row in found.table.read():
        if isinstance(row, UsableRow) and row.position not in found.refused:
            try:
                rendered = backends.rendered(
                    found.models[STUDENT].model,
                    TrainingRow(id=row.where, prompt=row.prompt, completion=row.completion),
                )
            except BackendError as error:
                return FirstRow(prompt="", supervised="", end="", tokens=0, problem=str(error))
            tokens = rendered.prompt_tokens + rendered.supervised_tokens
            return FirstRow(
                prompt=rendered.prompt, supervised=rendered.supervised, end=rendered.end, tokens=tokens, problem=""
            )
    raise DataError(f"{found.config.data.source}: no row can be used")


def data_words(data: DataFacts, unused: Sequence[str]) -> Iterator[str]:
    """Yield lines about the data: its form, the number of rows, the columns that nothing reads, and the faults of the
    first rows that cannot be used."""
    # Names of columns come from the user's file. `terminal` takes escape codes out of them.
    form = terminal(data.form)
    yield f"data: {data.rows:,} rows of {form}, {data.usable:,} usable, {data.skipped:,} left as they are"
    if unused:
        names = shortened(terminal(", ".join(map(repr, unused))), LONGEST)
        yield f"columns that are not read, and stay as they are: {names} (--extra-columns NAME,... hides this line)"
    yield from (f"  {terminal(line)}" for line in data.bad_rows[:SHOWN_BAD])


def row_words(first: FirstRow) -> Iterator[str]:
    """Yield lines that show the first row. The lines that the model learns are marked with >>>."""
    if first.problem:
        yield f"first row: cannot be shown: {terminal(first.problem)}"
        return
    yield f"first row as the model reads it ({plural(first.tokens, 'token')}); lines after >>> are what it learns"
    for line in lines(shortened(first.prompt, LONGEST)).splitlines():
        yield f"    {line}"
    for line in lines(shortened(first.supervised, LONGEST)).splitlines():
        yield f">>> {line}"
    yield f"an answer ends with {terminal(first.end)} (--set model.end=TOKEN chooses another token)"
