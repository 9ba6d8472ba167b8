"""The first row as the model will see it, before anything is spent, so that a wrong template is noticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from burnish import backends
from burnish.errors import BackendError, DataError
from burnish.forms.recognise import UsableRow
from burnish.refinery.dataset import DataFacts
from burnish.refinery.inputs import Found
from burnish.report.text import lines, plural, shortened, terminal
from burnish.types import TrainingRow

LONGEST, SHOWN_BAD = 1200, 10
"""Characters of the first row, and rows that cannot be used, that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRow:
    """The first row that can be used: what the model reads, and what it learns; or why that cannot be shown."""

    prompt: str
    supervised: str
    tokens: int
    problem: str


def first_row(found: Found) -> FirstRow:
    """Render the first usable row; a tokenizer that is not here is no reason to stop a dry run."""
    for row in found.table.read():
        if isinstance(row, UsableRow):
            try:
                shown = backends.rendered(
                    found.models["model"].model,
                    TrainingRow(id=row.where, prompt=row.prompt, completion=row.completion),
                )
            except BackendError as error:
                return FirstRow(prompt="", supervised="", tokens=0, problem=str(error))
            tokens = shown.prompt_tokens + shown.supervised_tokens
            return FirstRow(prompt=shown.prompt, supervised=shown.supervised, tokens=tokens, problem="")
    raise DataError(f"{found.config.data.source}: no row can be used")


def data_words(data: DataFacts, unused: Sequence[str]) -> Iterator[str]:
    """Yield lines: the form that was recognised and how many rows there are, which columns nothing reads, and what is
    wrong with the first rows that cannot be used."""
    form = terminal(data.form)
    yield f"data: {data.rows:,} rows of {form}, {data.usable:,} usable, {data.skipped:,} left as they are"
    if unused:
        names = shortened(terminal(", ".join(map(repr, unused))), LONGEST)
        yield f"columns that are not read, and stay as they are: {names} (--extra-columns NAME,... stops this line)"
    yield from (f"  {terminal(line)}" for line in data.bad_rows[:SHOWN_BAD])


def row_words(first: FirstRow) -> Iterator[str]:
    """Yield the first row with what is learned marked."""
    if first.problem:
        yield f"first row: cannot be shown: {terminal(first.problem)}"
        return
    yield f"first row as the model reads it ({plural(first.tokens, 'token')}); what it learns stands after >>>"
    for line in lines(shortened(first.prompt, LONGEST)).splitlines():
        yield f"    {line}"
    for line in lines(shortened(first.supervised, LONGEST)).splitlines():
        yield f">>> {line}"
