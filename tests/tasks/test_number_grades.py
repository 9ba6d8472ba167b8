"""Answers that are numbers are graded: references, marked answers, and what the first version read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.tasks import numbers, task_named
from burnish.tasks.numbers import (
    MarkedAnswers,
    NumericAnswers,
    SumAnswers,
    final_number,
    marked_number,
    only_number,
    reference_number,
)
from burnish.tasks.sums_world import generate
from burnish.types import Answer, Example


def example(reference: str | None) -> Example:
    return Example(id="row-7", group="", prompt=(), reference=reference)


def test_grades_say_what_and_why() -> None:
    grade = NumericAnswers().grade
    right = grade(example("#### 1,000"), "so $1000.00")
    assert (right.correct, right.extracted, right.why) == (True, "1000", "equals 1000")
    wrong = grade(example("#### 14"), "#### 13")
    assert (wrong.correct, wrong.extracted, wrong.why) == (False, "13", "expected 14")
    none = grade(example("#### 14"), "I cannot say")
    assert (none.correct, none.extracted, none.why) == (False, None, "no number")


@pytest.mark.parametrize(
    "reference",
    [
        *[None, "no number", "#### 1/0"],
        # Not one number as a whole: nobody knows which one is right.
        *["5 or 6", "#### 5 of 12", "5 million", r"\boxed{2\pi}", r"\boxed{5 of 12}", "12 apples", "#### 7 #### none"],
    ],
)
def test_a_reference_that_is_not_one_number_cannot_grade(reference: str | None) -> None:
    with pytest.raises(DataError, match=r"row-7: the reference .* has no final answer that is one number as a whole"):
        NumericAnswers().grade(example(reference), "5")
    row = Example(id="row-7", group="", prompt=(), reference=reference, metadata={"where": "data.jsonl:7"})
    with pytest.raises(DataError, match=r"data\.jsonl:7 \(row-7\): the reference"):
        NumericAnswers().grade(row, "5")


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("12 + 7 = 19 #### 19", "19"),
        ("#### 1 #### 2", "2"),
        ("#### $1,000.", "1000"),
        (r"so 3 + 2 is \boxed{5}, as in step 2", "5"),
        ("#### - 5", "-5"),
        (r"\frac{5}{8}", "0.625"),
        ("12345678901234567890123", "12345678901234567890123"),
    ],
)
def test_a_reference_is_read_whole(reference: str, answer: str) -> None:
    found = reference_number(reference)
    assert found == Answer(text=answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12 + 7 = 19 #### 19", "19"),
        ("it is 19", None),
        ("", None),
        ("19 ####", None),  # before the marker nothing counts
        ("#### 14 ####", "14"),
        ("#### 1 #### 2", "2"),
        ("19 #### 1/0", None),
        ("####19", "19"),
    ],
)
def test_a_marked_answer_stands_after_the_marker(text: str, answer: str | None) -> None:
    found = marked_number(text)
    assert (found.text if found else None) == answer


@given(st.text(alphabet="0123456789.- x#"))
def test_a_marked_answer_is_the_final_number_or_none(text: str) -> None:
    found = marked_number(text)
    assert found is None or ("####" in text and found == final_number(text))


@given(st.text(alphabet="0123456789.,-+/$%eE "))
def test_a_plain_number_is_what_the_first_version_read(text: str) -> None:
    """Data that was loaded before has the same references now."""
    old = numbers._NUMBER.fullmatch(text.strip().removesuffix(".").removesuffix("%").removeprefix("$"))
    answer = numbers._answer(old) if old else None
    assert answer is None or only_number(text) == answer


def test_generated_sums_are_read_as_the_first_version_read_them() -> None:
    grader = task_named("sums")
    assert isinstance(grader, SumAnswers)
    for problem in generate(2000, 0):
        gold = Answer(text=str(problem.answer))
        assert grader.extract(problem.solution) == marked_number(problem.solution) == gold
        assert SumAnswers().read_reference(problem.solution) == gold
    for text, answer in (("#### - 5", "5"), ("#### 1 ####", "1"), ("7", None), ("#### 3 #### 4", "4")):
        found = grader.extract(text)
        assert (found and found.text) == answer


def test_what_is_learned_holds_a_number_as_the_first_version_found_it() -> None:
    assert NumericAnswers().learned("<think>5") == Answer(text="5")
    assert NumericAnswers().extract("<think>5") is None
    assert NumericAnswers().learned("no number") is None
    assert MarkedAnswers().learned("5") is None
    assert MarkedAnswers().learned("#### 5 #### 6") == Answer(text="6")


def test_marked_answers_grade_what_stands_after_the_marker() -> None:
    grade = MarkedAnswers().grade
    assert grade(example("so #### 14"), "#### 14").correct
    none = grade(example("#### 14"), "14")
    assert (none.correct, none.extracted, none.why) == (False, None, "no number")
    assert grade(example("14"), "#### 14").correct  # a reference may be a number alone
    with pytest.raises(DataError, match="row-7: the reference 'none' has no final answer"):
        grade(example("none"), "#### 14")
