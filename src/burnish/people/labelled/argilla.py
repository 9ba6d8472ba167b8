"""Reads the records of an Argilla 2 dataset, as its method to_json writes them.

A verdict is the response to a label, rating or ranking question; the response to a text question is the note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from burnish.errors import DataError
from burnish.people.labelled.judged_pairs import (
    JudgedPair,
    Judgement,
    PairLayout,
    by_rating,
    by_word,
    judgement,
    one_question,
    public_name,
)
from burnish.people.mailbox import Said

TOOL = "argilla"


def is_record(row: Mapping[str, Any]) -> bool:
    """Say whether a record is one of Argilla."""
    return isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), dict)


def judged_pair(where: str, row: Mapping[str, Any], layout: PairLayout) -> JudgedPair:
    """Return the pair of a record. Raises DataError if a part of it is missing or a response cannot be read."""
    # The id of a pair may be in the metadata, where fields are shown to people. Argilla's own id comes last.
    metadata = cast("dict[str, Any]", row.get("metadata") or {})
    fields: dict[str, Any] = {"id": row.get("id"), **metadata, **row["fields"]}
    parts = layout.parts(where, fields)
    sides = parts["first"][0], parts["second"][0]
    return JudgedPair(
        id=parts["id"][1] if "id" in parts else "",
        prompt=parts["prompt"][1],
        first=parts["first"][1],
        second=parts["second"][1],
        said=tuple(_judgements(where, row["responses"], sides, layout)),
    )


def _judgements(
    where: str, responses: Mapping[str, Any], sides: tuple[str, str], layout: PairLayout
) -> Iterator[Judgement]:
    by_question = {name: _submitted(where, name, given) for name, given in responses.items()}
    verdicts = [name for name, given in by_question.items() if given and not _is_note(given, sides)]
    question = one_question(where, verdicts, layout)
    if question is None:
        return
    notes: dict[str, str] = {}
    for name, given in by_question.items():
        if name != question:
            notes |= {user: value for user, value in given.items() if isinstance(value, str)}
    for user, value in by_question[question].items():
        said = _said(f"{where} question {question!r:.80}", value, sides, layout.points)
        yield judgement(public_name(TOOL, user), said, layout.points, notes.get(user, ""))


def _submitted(where: str, name: str, given: Any) -> dict[str, Any]:
    """Return {user: value} of the responses to a question. Drafts and discarded ones are left out."""
    if not isinstance(given, list):
        raise DataError(f"{where}: the responses to {name!r:.80} are no list; export with `dataset.records.to_json`")
    found: dict[str, Any] = {}
    for one in cast("list[Any]", given):
        if not isinstance(one, dict) or "value" not in one or "user_id" not in one:
            raise DataError(f"{where}: a response to {name!r:.80} has no value or no user_id; export the records again")
        response = cast("dict[str, Any]", one)
        if response.get("status") in {None, "submitted"}:
            found[str(response["user_id"])] = response["value"]
    return found


def _is_note(given: Mapping[str, Any], sides: tuple[str, str]) -> bool:
    """Say whether responses are free text: texts that are no labels."""

    def free(value: Any) -> bool:
        try:
            by_word("", value, *sides)
        except DataError:
            return True
        return False

    return all(isinstance(value, str) and free(value) for value in given.values())


def _said(where: str, value: Any, sides: tuple[str, str], points: int) -> Said | int:
    match value:
        case int():
            return by_rating(where, value, points)
        case str():
            return by_word(where, value, *sides)
        case [{"value": str(one), "rank": int(rank)}, {"value": str(_), "rank": int(other)}]:
            first = by_word(where, one, *sides) is Said.FIRST
            return Said.TIE if rank == other else Said.FIRST if (rank < other) is first else Said.SECOND
        case _:
            raise DataError(
                f"{where}: the response {value!r:.100} does not choose between two answers; name another one"
            )
