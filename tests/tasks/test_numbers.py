"""Final numbers: hand-made cases, round trips, and any text at all."""

from __future__ import annotations

import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.tasks.numbers import (
    MarkedAnswers,
    NumericAnswers,
    canonical,
    final_number,
    marked_number,
    only_number,
    same_number,
)
from burnish.types import Answer, Example

CASES = [
    ("12 + 7 = 19 ; 19 - 5 = 14 #### 14", "14"),
    ("the answer is 5.", "5"),
    ("5", "5"),
    ("5.0", "5"),
    ("007", "7"),
    ("1,000", "1000"),
    ("$1,234,567.50 in total", "1234567.5"),
    ("1, 2, 3", "3"),
    ("1,2", "2"),
    ("about 50%", "50"),
    (".5", "0.5"),
    ("and so on...5", "5"),
    ("version 3.4.5", "5"),
    ("5kg", "5"),
    ("答案是5", "5"),
    # names and units are no numbers
    ("5 cm2", "5"),
    ("H2O", None),
    ("x2", None),
    # signs and operators
    ("-5", "-5"),
    ("+5", "5"),
    ("−5", "-5"),
    ("$-5", "-5"),
    ("-$5", "-5"),
    (r"-\$5", "-5"),
    ("-.5", "-0.5"),
    ("-0", "0"),
    ("3-2", "2"),
    ("12 - 5", "5"),
    ("(3+4)-2", "2"),
    ("$5-$3", "3"),
    ("50%-20%", "20"),
    ("answer--5", "5"),
    ("x = -5", "-5"),
    (r"\boxed{-5}", "-5"),
    ("**-5**", "-5"),
    # fractions
    ("3/4", "0.75"),
    ("-3/4", "-0.75"),
    ("1/3", "1/3"),
    ("2/6", "1/3"),
    ("48/2", "24"),
    ("2 1/2", "2.5"),
    ("-2 1/2", "-2.5"),
    ("cut 3 48/2", "24"),
    ("1,000/8", "125"),
    ("on 12/25/2020", "2020"),
    ("3/0", None),
    ("5 or 3/0", None),
    ("5/0.0", None),
    # exponents: what a float column prints
    ("1e3", "1000"),
    ("1e+22", "1" + "0" * 22),
    ("1.5E-3", "0.0015"),
    ("2e", "2"),
    ("2e3x", "2"),
    ("1e999999999", None),
    ("1e-999999999", None),
    ("1e399", "1" + "0" * 399),
    ("1e400", None),
    (f"1e-400/{2**1200}", None),
    # markers
    ("#### 5 of 12", "5"),
    ("1 #### 2 #### 3", "3"),
    ("7 ####", "7"),
    ("#### 14 ####", "14"),
    ("#### 14 #### none", "14"),
    ("####\n$1,000.", "1000"),
    ("####5", "5"),
    ("3 #### 4/0", None),
    ("#### -3", "-3"),
    # nothing, or too much
    ("", None),
    ("####", None),
    ("no number", None),
    ("-", None),
    ("9" * 401, None),
    ("9" * 400, "9" * 400),
    ("٣", None),
    ("５", None),
    ("½", None),
    ("²", None),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_the_final_number_is_found(text: str, expected: str | None) -> None:
    found = final_number(text)
    assert (found and found.text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("51.0", "51"), (" $1,000. ", "1000"), ("50%", "50"), ("-6.0", "-6"), ("1e-05", "0.00001"), ("1/3", "1/3")],
)
def test_a_text_that_is_one_number(text: str, expected: str) -> None:
    found = only_number(text)
    assert found is not None
    assert found.text == expected


@pytest.mark.parametrize("text", ["", "5 or 6", "five", "5x", "3/0", "nan", "inf", "True", "5 6"])
def test_a_text_that_is_not_one_number(text: str) -> None:
    assert only_number(text) is None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("5", "5", True),
        ("1000000", "1000001", False),  # within 1e-4, but both are integers
        ("100/3", "33.33", True),  # a relative difference of exactly 1e-4
        ("100/3", "33.3", False),
        ("0.5", "1/2", True),
        ("2.00001", "2", True),
        ("2.001", "2", False),
        ("0", "0.00001", False),
        ("5", "-5", False),
        ("0.5", "-0.5", False),
    ],
)
def test_the_same_number_either_way_round(a: str, b: str, same: bool) -> None:
    assert same_number(Answer(text=a), Answer(text=b)) is same
    assert same_number(Answer(text=b), Answer(text=a)) is same


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(1, 5), "0.2"),
        (Fraction(30), "30"),
        (Fraction(-5, 3), "-5/3"),
        (Fraction(1, 15), "1/15"),
    ],
)
def test_the_canonical_form_is_exact(value: Fraction, text: str) -> None:
    assert canonical(value) == text
    assert Fraction(text) == value


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_integers_come_back_with_commas_too(number: int) -> None:
    for text in (f"{number}", f"{number:,}", f"so it is {number:,}.", f"1 #### {number}"):
        found = final_number(text)
        assert found is not None
        assert found.text == str(number)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_decimals_come_back_exactly(number: Decimal) -> None:
    found = final_number(f"the answer is {number:,f}")
    assert found is not None
    assert Fraction(found.text) == Fraction(number)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_as_printed(number: float) -> None:
    found = final_number(str(number))
    assert found is not None
    assert float(Fraction(found.text)) == number


@given(st.fractions())
def test_a_canonical_form_is_found_again(value: Fraction) -> None:
    text = canonical(value)
    found = final_number(text)
    assert found is not None
    assert found.text == text


@given(st.one_of(st.text(), st.text(alphabet="0123456789.,-+−/$%eE# x\n")))
def test_no_text_raises_and_an_answer_agrees_with_itself(text: str) -> None:
    found = final_number(text)
    assert found is None or same_number(found, found)
    assert found is None or final_number(found.text) == found
    alone = only_number(text)
    assert alone is None or same_number(alone, alone)


@pytest.mark.parametrize("unit", ["9", "-", "1,", "1.1", "#### ", "1 1/", ",111", "1/1", ".", "1e", "-$ ", "e9"])
def test_a_hostile_length_is_read_in_linear_time(unit: str) -> None:
    start = time.perf_counter()
    final_number(unit * (300_000 // len(unit)))
    assert time.perf_counter() - start < 5  # 0.2 s here; quadratic time would be hours


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


@pytest.mark.parametrize("reference", [None, "no number", "#### 1/0"])
def test_a_reference_without_a_number_cannot_grade(reference: str | None) -> None:
    with pytest.raises(DataError, match="row-7"):
        NumericAnswers().grade(example(reference), "5")


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


def test_marked_answers_grade_what_stands_after_the_marker() -> None:
    grade = MarkedAnswers().grade
    assert grade(example("so #### 14"), "#### 14").correct
    none = grade(example("#### 14"), "14")
    assert (none.correct, none.extracted, none.why) == (False, None, "no number")
    assert grade(example("14"), "#### 14").correct  # a reference may be a number alone
    with pytest.raises(DataError, match="row-7: the reference 'none' has no final answer"):
        grade(example("none"), "#### 14")
