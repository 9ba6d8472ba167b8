"""Graders are always of one example; what executes answers is told of all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from burnish.protocols import ExampleGrader, Executes, Grader
from burnish.tasks.answers import graders
from burnish.tasks.numbers import NumericAnswers
from burnish.tasks.sql_answers import SqlAnswers
from burnish.types import Demonstration, DemonstrationSource, Example

EXAMPLES = {id_: Example(id=id_, group="", prompt=(), reference=f"#### {id_}") for id_ in "12"}


def given(example_id: str, completion: str, finished: bool = True) -> Demonstration:
    return Demonstration(
        example_id=example_id, completion=completion, source=DemonstrationSource.GIVEN, finished=finished
    )


@dataclass(slots=True)
class Executed:
    """Keeps what it was told to execute."""

    calls: list[tuple[list[tuple[str, str]], bool]] = field(default_factory=list[tuple[list[tuple[str, str]], bool]])

    def on(self, example: Example) -> ExampleGrader:
        assert self.calls, "asked before anything was executed"
        return NumericAnswers().on(example)

    def execute(self, answers: Iterable[tuple[Example, str]], gold: bool) -> None:
        self.calls.append(([(example.id, text) for example, text in answers], gold))


def test_a_grader_knows_its_example() -> None:
    grader_of = graders(NumericAnswers(), EXAMPLES, ())
    assert [grader_of(id_).grade("so 2").correct for id_ in "12"] == [False, True]
    a, b = grader_of("1").extract("2.0"), grader_of("1").extract("4/2")
    assert a is not None
    assert b is not None
    assert grader_of("1").agree(a, b)


def test_answers_are_executed_in_one_call_and_those_without_an_end_not_at_all() -> None:
    executed = Executed()
    answers = [given("1", "1"), given("2", "2"), given("2", "3"), given("1", "cut", finished=False)]
    grader_of = graders(executed, EXAMPLES, answers, gold=True)
    assert [grader_of(id_).grade("1").correct for id_ in "1212"] == [True, False, True, False]
    assert executed.calls == [([("1", "1"), ("2", "2"), ("2", "3")], True)]


def test_only_queries_are_executed() -> None:
    plain: Grader = NumericAnswers()
    queries: Grader = SqlAnswers()
    assert not isinstance(plain, Executes)
    assert isinstance(queries, Executes)


def test_a_query_is_found_without_its_database() -> None:
    """Training sees prompts alone, without the metadata that names the database."""
    found = SqlAnswers().on(Example(id="e", group="", prompt=())).extract("```sql\nSELECT 1\n```")
    assert found is not None
    assert found.text == "SELECT 1"
