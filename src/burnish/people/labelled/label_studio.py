"""Reads a JSON export of Label Studio: a list of tasks with their `data` and `annotations`.

See https://labelstud.io/guide/task_format. A verdict is the region of a tag Pairwise (`left` or `right`), Choices or
Rating; the text of a TextArea is the note.
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

TOOL = "label-studio"
_VERDICTS = ("pairwise", "choices", "rating")


def is_task(row: Mapping[str, Any]) -> bool:
    """Say whether a record is a task of Label Studio."""
    return isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)


def judged_pair(where: str, row: Mapping[str, Any], layout: PairLayout) -> JudgedPair:
    """Return the pair of a task. Raises DataError if a part of it is missing or an answer cannot be read."""
    parts = layout.parts(where, row["data"])
    sides = parts["first"][0], parts["second"][0]
    return JudgedPair(
        id=parts["id"][1] if "id" in parts else "",
        prompt=parts["prompt"][1],
        first=parts["first"][1],
        second=parts["second"][1],
        said=tuple(_judgements(where, row["annotations"], sides, layout)),
    )


def _judgements(where: str, annotations: list[Any], sides: tuple[str, str], layout: PairLayout) -> Iterator[Judgement]:
    for number, annotation in enumerate(annotations, 1):
        place = f"{where} annotation {number}"
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):  # pyright: ignore[reportUnknownMemberType]
            raise DataError(f"{place}: has no `result`; export the project as JSON, not as JSON-MIN")
        one = cast("dict[str, Any]", annotation)
        user = one.get("completed_by")
        by = public_name(TOOL, user.get("id") if isinstance(user, dict) else user)  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]
        # Label Studio keeps what a person skipped, too.
        if one.get("was_cancelled"):
            yield judgement(by, Said.ABSTAIN, layout.points)
            continue
        regions = [cast("dict[str, Any]", region) for region in one["result"] if isinstance(region, dict)]
        named = [str(region.get("from_name")) for region in regions if region.get("type") in _VERDICTS]
        question = one_question(place, named, layout)
        region = next((region for region in regions if region.get("from_name") == question), None)
        if region is not None:
            yield judgement(by, _said(place, region, sides, layout.points), layout.points, _note(regions))


def _said(where: str, region: Mapping[str, Any], sides: tuple[str, str], points: int) -> Said | int:
    value = region.get("value")
    match value:
        case {"rating": rating}:
            return by_rating(where, rating, points)
        case {"selected": str(word)} | {"choices": [str(word)]}:
            return by_word(where, word, *sides)
        case _:
            raise DataError(
                f"{where}: the value {value!r:.100} is no choice of one of two answers; remove the annotation"
            )


def _note(regions: list[dict[str, Any]]) -> str:
    texts = (region.get("value", {}).get("text") for region in regions if region.get("type") == "textarea")
    return "\n".join("\n".join(text) if isinstance(text, list) else str(text) for text in texts)  # pyright: ignore[reportUnknownArgumentType]
