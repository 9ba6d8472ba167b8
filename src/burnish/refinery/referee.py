"""Who decides whether an answer is right by the reference column. The references are read before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.config import RefineConfig
from burnish.errors import DataError
from burnish.forms.recognise import UsableRow
from burnish.forms.table import DataTable
from burnish.tasks.numbers import NumericAnswers, only_number
from burnish.tasks.own import Known, TextAnswers, grader_of, number_of


def referee_of(config: RefineConfig, table: DataTable) -> Known:
    """Return who compares answers with the references. It is the same as for `differs`, with one exception.

    If `differs` compares texts but all references are numbers, they are compared as numbers: the text "the answer is
    42" does not equal "42". Raises DataError naming the row if numbers are wanted and a reference is not one number.
    """
    known = grader_of(config.differs)
    if config.data.reference_column is None:
        return known
    if isinstance(known.grader, NumericAnswers):
        _check(known.grader, _references(table))
        return known
    if isinstance(known.grader, TextAnswers) and _all_numbers(table):
        return number_of(marked=False)
    return known


def _references(table: DataTable) -> Iterator[tuple[UsableRow, str]]:
    """Yield each usable row that has a reference, with the reference."""
    for row in table.read():
        if isinstance(row, UsableRow) and row.reference is not None:
            yield row, row.reference


def _check(grader: NumericAnswers, references: Iterator[tuple[UsableRow, str]]) -> None:
    """Raise DataError for the first reference that is not one number."""
    for row, reference in references:
        if grader.read_reference(reference) is None:
            where = row.where if row.id is None else f"{row.where} ({row.id})"
            raise DataError(
                f"{where}: the reference {reference!r:.80} has no final answer that is one number as a whole; write a "
                "number, or end the text with `#### NUMBER`, or tell answers apart by text (differs: text)"
            )


def _all_numbers(table: DataTable) -> bool:
    """Say whether every reference is a number and nothing else. Returns False if there is no reference."""
    any_reference = False
    for _, reference in _references(table):
        if only_number(reference) is None:
            return False
        any_reference = True
    return any_reference
