"""Who says whether an answer is right by the reference column: read before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.config import RefineConfig
from burnish.errors import DataError
from burnish.forms.recognise import UsableRow
from burnish.forms.table import Table
from burnish.tasks.numbers import NumericAnswers, only_number
from burnish.tasks.own import Known, TextAnswers, grader_of, number_of


def referee_of(config: RefineConfig, table: Table) -> Known:
    """Return who compares answers with the references: as `differs` tells answers apart, with one exception.

    References that are all numbers are read as numbers where `differs` looks at texts: "the answer is 42" is no text
    that equals "42". Raises DataError naming the row where numbers are wanted and a reference is not one number.
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


def _references(table: Table) -> Iterator[tuple[UsableRow, str]]:
    for row in table.read():
        if isinstance(row, UsableRow) and row.reference is not None:
            yield row, row.reference


def _check(grader: NumericAnswers, references: Iterator[tuple[UsableRow, str]]) -> None:
    for row, reference in references:
        if grader.read_reference(reference) is None:
            where = row.where if row.id is None else f"{row.where} ({row.id})"
            raise DataError(
                f"{where}: the reference {reference!r:.80} has no final answer that is one number as a whole; write a "
                "number, or end the text with `#### NUMBER`, or tell answers apart by text (differs: text)"
            )


def _all_numbers(table: Table) -> bool:
    """Say whether every reference is a number and nothing else; where there is none, that says nothing."""
    some = False
    for _, reference in _references(table):
        if only_number(reference) is None:
            return False
        some = True
    return some
