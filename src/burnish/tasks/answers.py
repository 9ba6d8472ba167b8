"""The base class of most tasks' graders, and a function that makes the graders of many examples at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from burnish.protocols import ExampleGrader, Executes, Grader
from burnish.types import Answer, Demonstration, Example, Grade

CUT = Grade(correct=False, extracted=None, why="the answer was cut off at the token limit")
"""The grade of every answer that was cut."""


class PlainAnswers(ABC):
    """A grader for answers whose meaning does not depend on the example, such as numbers.

    A subclass says how to find a final answer, when two answers are the same, and when one is right.
    """

    @abstractmethod
    def extract(self, completion: str) -> Answer | None:
        """Return the final answer of a completion, or None if there is none."""

    @abstractmethod
    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two final answers are the same answer."""

    @abstractmethod
    def grade(self, example: Example, completion: str) -> Grade:
        """Compare a completion with the example's reference."""

    # Refinement only works with graders of one example, because a query has no meaning without its example's database.
    # Numbers and texts do not need the example, so the grader only remembers it.
    def on(self, example: Example) -> PlainGrader:
        """Return the grader of answers to one example."""
        return PlainGrader(answers=self, example=example)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainGrader:
    """The grader of plain answers to one example."""

    answers: PlainAnswers
    example: Example

    def extract(self, completion: str) -> Answer | None:
        """Return the final answer of a completion, or None if there is none."""
        return self.answers.extract(completion)

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two final answers are the same answer."""
        return self.answers.agree(a, b)

    def grade(self, completion: str) -> Grade:
        """Compare a completion with the example's reference."""
        return self.answers.grade(self.example, completion)


def graders(
    grader: Grader, examples: Mapping[str, Example], answers: Iterable[Demonstration], *, gold: bool = False
) -> Callable[[str], ExampleGrader]:
    """Return a function that takes an example's id and returns the grader of its answers.

    `answers` are all answers that will be graded or compared. A grader that executes answers, such as that of
    text-to-SQL, executes all of them here at once, and with `gold` also the references. Later it only looks up their
    results. An answer that was cut off at the token limit does not count as an answer, so it is not executed.
    """
    # They are executed at once, because the sandbox runs queries in several processes. With one answer after the other,
    # it would use only one of them.
    if isinstance(grader, Executes):
        grader.execute(((examples[one.example_id], one.completion) for one in answers if one.finished), gold)
    return lambda example_id: grader.on(examples[example_id])


def graded(grader: ExampleGrader, answer: Demonstration) -> Grade:
    """Return the grade of an answer. An answer that was cut off at the token limit is wrong, whatever its text says.

    Every part of burnish that has a demonstration grades it with this function. So the oracle and the accuracies count
    the same answers as the screening of proposals, for which a cut answer is none.
    """
    return grader.grade(answer.completion) if answer.finished else CUT
