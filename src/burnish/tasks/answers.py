"""What the answers of most tasks share, and how the graders of many examples are made at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from burnish.protocols import ExampleGrader, Executes, Grader
from burnish.types import Answer, Demonstration, Example, Grade


class PlainAnswers(ABC):
    """A grader for answers whose meaning does not depend on the example, such as numbers.

    A subclass says how a final answer is found, when two are the same, and when one is right.
    """

    @abstractmethod
    def extract(self, completion: str) -> Answer | None:
        """Return the final answer of a completion, None where there is none."""

    @abstractmethod
    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two final answers are the same answer."""

    @abstractmethod
    def grade(self, example: Example, completion: str) -> Grade:
        """Compare a completion with the example's reference."""

    # Refinement only knows graders of one example, because a query means nothing without its example's database.
    # Numbers and texts do not need the example, so this pair only remembers it.
    def on(self, example: Example) -> PlainGrader:
        """Return the grader of answers to this example."""
        return PlainGrader(answers=self, example=example)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainGrader:
    """Plain answers to one example."""

    answers: PlainAnswers
    example: Example

    def extract(self, completion: str) -> Answer | None:
        """Return the final answer of a completion, None where there is none."""
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
    """Return a function that gives the grader of an example's answers by the example's id.

    `answers` are the ones that will be looked at. A grader that executes answers, as text-to-SQL does, executes all of
    them here at once, and with `gold` the references too; afterwards it only looks results up. An answer that was cut
    at the token limit counts as no answer, so it is not executed here.
    """
    # All at once, because the sandbox runs queries in several processes. Asked for one answer after the other, it would
    # use only one of them.
    if isinstance(grader, Executes):
        grader.execute(((examples[one.example_id], one.completion) for one in answers if one.finished), gold)
    return lambda example_id: grader.on(examples[example_id])
