"""What the files of all labelling tools have in common: pairs, and what people said about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from burnish.errors import ConfigError, DataError
from burnish.forms.cells import shown
from burnish.people.mailbox import Said, said_by_value
from burnish.types import short_hash

COLUMNS = {
    "prompt": ("prompt", "request", "question", "instruction", "input"),
    "first": ("first", "answer_1", "output_1", "response_1", "response-1", "response1", "text1", "a"),
    "second": ("second", "answer_2", "output_2", "response_2", "response-2", "response2", "text2", "b"),
    "id": ("pair", "id"),
}
"""The names under which the parts of a pair are looked for, the first one first."""
_FIRST, _SECOND = ("left", "first", "1", "a"), ("right", "second", "2", "b")
_TIE, _SKIP = ("tie", "same", "equal", "alike", "both"), ("skip", "abstain", "unsure")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair:
    """A pair as a tool showed it, and what people said about it. `id` is empty if the file gives none."""

    id: str
    prompt: str
    first: str
    second: str
    said: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one person said. `value` is the point on the scale, negative for the first answer, or None."""

    by: str
    said: Said
    value: int | None
    confidence: float | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLayout:
    """How a file is read: {part: column} for columns with other names, the question that holds the verdict (None if
    there is only one), and the points of a rating."""

    columns: Mapping[str, str]
    question: str | None = None
    points: int = 7

    def __post_init__(self) -> None:
        """Raise ConfigError for a part that a pair does not have, or for a scale without a middle."""
        if wrong := [part for part in self.columns if part not in COLUMNS]:
            raise ConfigError(f"--column: {wrong[0]!r} is no part of a pair; name {', '.join(COLUMNS)}")
        if self.points < 3 or self.points % 2 == 0:
            raise ConfigError(
                f"--points: {self.points} found; write an odd number of 3 or more, because the middle means alike"
            )

    def parts(self, where: str, fields: Mapping[str, JsonValue]) -> dict[str, tuple[str, str]]:
        """Return {part: (its column, its text)}. The id may be missing. Raises DataError if another part is."""
        found: dict[str, tuple[str, str]] = {}
        for part, known in COLUMNS.items():
            names = (self.columns[part],) if part in self.columns else known
            name = next((name for name in names if fields.get(name) is not None), None)
            value = None if name is None else fields[name]
            if name is not None and isinstance(value, str | int) and str(value).strip():
                found[part] = name, str(value)
            elif part != "id":
                has = ", ".join(map(shown, fields))
                raise DataError(
                    f"{where}: no text for the {part} of the pair (columns: {has:.300}); name its column with "
                    f"--column {part}=NAME"
                )
        return found


def one_question(where: str, questions: Sequence[str], layout: PairLayout) -> str | None:
    """Return the question that holds the verdict, or None if this pair has no verdict.

    Raises DataError if there are several, and none is named.
    """
    if layout.question is not None:
        return layout.question if layout.question in questions else None
    if len(set(questions)) > 1:
        raise DataError(
            f"{where}: several questions may hold the verdict ({', '.join(sorted(set(questions))):.200}); name one "
            "with --question NAME"
        )
    return questions[0] if questions else None


def by_word(where: str, word: str, first: str, second: str) -> Said:
    """Return the verdict of a label: left or right, 1 or 2, a or b, tie, skip, or the column of an answer.

    Raises DataError for any other label.
    """
    text = word.strip().casefold()
    meanings = ((Said.FIRST, (*_FIRST, first.casefold())), (Said.SECOND, (*_SECOND, second.casefold())))
    for said, words in (*meanings, (Said.TIE, _TIE), (Said.ABSTAIN, _SKIP)):
        if text in words:
            return said
    raise DataError(
        f"{where}: the label {shown(word)} cannot be read; it may be left or right, 1 or 2, a or b, {first} or "
        f"{second}, tie, or skip"
    )


def by_rating(where: str, rating: object, points: int) -> int:
    """Return the point on the scale of a rating from 1 (the first answer is surely better) to `points`.

    Raises DataError if it is none.
    """
    if isinstance(rating, bool) or not isinstance(rating, int) or not 1 <= rating <= points:
        raise DataError(
            f"{where}: the rating {rating!r:.40} is not a whole number from 1 to {points}; give the points of your "
            "scale with --points"
        )
    return rating - (points + 1) // 2


def judgement(by: str, said: Said | int, points: int, note: str = "") -> Judgement:
    """Return what a person said: a verdict, or a point on the scale."""
    if isinstance(said, Said):
        return Judgement(by=by, said=said, value=None, confidence=None, note=note)
    return Judgement(by=by, said=said_by_value(said), value=said, confidence=abs(said) / (points // 2), note=note)


def public_name(tool: str, user: object) -> str:
    """Return a name for a person that is the same in all files of a tool and does not contain the person's own id."""
    return f"{tool}-{short_hash(tool, str(user))[:8]}"
