"""Graders for a user's own data. The setting `differs` says how two answers are compared, and so what an answer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from burnish.config import (
    CommandDiffers,
    Differs,
    EmbeddingDiffers,
    EmbeddingServerDiffers,
    NumberDiffers,
    TextDiffers,
)
from burnish.errors import DataError
from burnish.protocols import Grader
from burnish.tasks.answers import PlainAnswers
from burnish.tasks.numbers import MarkedAnswers, NumericAnswers
from burnish.tasks.readers import reader_of
from burnish.types import Answer, AnswerKind, Example, Grade


class TextAnswers(PlainAnswers):
    """The grader for answers that are the whole text. Differences of white space do not count."""

    def extract(self, completion: str) -> Answer | None:
        """Return the text with single spaces, or None if it is blank."""
        text = " ".join(completion.split())
        return Answer(text=text, kind=AnswerKind.TEXT) if text else None

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two texts are the same."""
        return a.text == b.text

    def grade(self, example: Example, completion: str) -> Grade:
        """Compare a text with the example's reference. Raises DataError if the example has no reference."""
        gold = self.extract(example.reference or "")
        if gold is None:
            raise DataError(f"{example.id}: there is no reference; fill in the reference column of this row")
        found = self.extract(completion)
        if found is None:
            return Grade(correct=False, extracted=None, why="blank")
        same = self.agree(found, gold)
        return Grade(correct=same, extracted=found.text, why="equals the reference" if same else "another text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The grader of a user's answers, with the names for it in the identity of stages.

    Stages that compare or grade answers use `reader`, which includes a version. Training uses `kind`, because no
    version has changed which answers it learns from.
    """

    kind: str
    reader: str
    grader: Grader


def number_of(marked: bool) -> Known:
    """Return the grader for answers that are numbers. With `marked`, only a number after `####` counts."""
    # The kinds are part of the identity of stages. Another word would make every finished stage run again.
    kind, grader = ("marked", MarkedAnswers()) if marked else ("number", NumericAnswers())
    return Known(kind=kind, reader=reader_of(kind, grader), grader=grader)


def grader_of(differs: Differs) -> Known:
    """Return the grader for a setting `differs`. For a program or an embedder, the answer is the whole text."""
    match differs:
        case NumberDiffers(marked=marked):
            return number_of(marked)
        # A program or an embedder says how much two texts differ, but not what the answer in a text is. So the whole
        # text is the answer, and equal texts are found without a call.
        case TextDiffers() | CommandDiffers() | EmbeddingDiffers() | EmbeddingServerDiffers():
            return Known(kind="text", reader="text", grader=TextAnswers())
        case _:
            assert_never(differs)
