"""A user's own data: what an answer is follows from how two of them are told apart."""

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
    """The whole text is the answer; white space does not count."""

    def extract(self, completion: str) -> Answer | None:
        """Return the text with single spaces, None where it is blank."""
        text = " ".join(completion.split())
        return Answer(text=text, kind=AnswerKind.TEXT) if text else None

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two texts are the same."""
        return a.text == b.text

    def grade(self, example: Example, completion: str) -> Grade:
        """Compare a text with the example's reference. Raises DataError without one."""
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
    """Who knows a user's answers. Stages know it by `reader`, and training, which no version has changed, by `kind`."""

    kind: str
    reader: str
    grader: Grader


def number_of(marked: bool) -> Known:
    """Return what knows answers that are numbers, `marked`: after `####` or not at all."""
    # The kinds are part of what stages are known by. Another word would make every finished stage run again.
    kind, grader = ("marked", MarkedAnswers()) if marked else ("number", NumericAnswers())
    return Known(kind=kind, reader=reader_of(kind, grader), grader=grader)


def grader_of(differs: Differs) -> Known:
    """Return what knows answers; a program or an embedder looks at texts."""
    match differs:
        case NumberDiffers(marked=marked):
            return number_of(marked)
        # A program and an embedder say how far apart two texts are, but not what the answer in a text is. The whole
        # text stands for it, so that equal texts are known without asking.
        case TextDiffers() | CommandDiffers() | EmbeddingDiffers() | EmbeddingServerDiffers():
            return Known(kind="text", reader="text", grader=TextAnswers())
        case _:
            assert_never(differs)
