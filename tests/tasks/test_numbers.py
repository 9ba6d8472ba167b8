"""Final numbers: hand-made cases, round trips, and any text at all."""

from __future__ import annotations

import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.tasks import numbers
from burnish.tasks.numbers import canonical, final_number, only_number, plain_final_number, same_number
from burnish.types import Answer

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
    ("²", None),
    # LaTeX
    ("$45{,}500$", "45500"),
    (r"\boxed{2{,}048}", "2048"),
    (r"#### 31\,250", "31250"),
    (r"it is 1\,234\,567.5", "1234567.5"),
    (r"10,\!000", "10000"),
    ("31~250", "31250"),
    (r"\boxed{\frac{5}{8}}", "0.625"),
    (r"\dfrac58", "0.625"),
    (r"$-\frac{5}{8}$", "-0.625"),
    (r"\frac{5}{-8}", "-0.625"),
    (r"\frac{-5}{-8}", "0.625"),
    (r"2\frac{1}{2}", "2.5"),
    (r"\tfrac{1{,}000}{8}", "125"),
    (r"2.4 \times 10^2", "240"),
    (r"2.4 \times 10^{-2}", "0.024"),
    ("2.4 × 10² m", "240"),
    ("2.4 × 10⁻²", "0.024"),
    ("3 * 10^4", "30000"),
    ("2^{10}", "1024"),
    ("10^-3", "0.001"),
    ("2.5^2", "6.25"),
    ("1,000^2", "1000000"),
    ("9^999", None),  # more than 400 digits
    ("0^-1", None),
    ("2^3^2", "512"),
    ("2 ^ 3 ^ 2", "512"),
    ("2^0^5", "1"),
    ("2^9^9^9", None),  # more than 400 digits
    ("the answer is 7, since x2^3 is odd", "7"),
    ("4 m2^{3}", "4"),
    # units and names raised to a power
    ("30 cm^3", "30"),
    ("30 cm³", "30"),
    (r"30 \text{ cm}^{3}", "30"),
    (r"30\,\mathrm{m}^{-2}", "30"),
    (r"90^\circ", "90"),
    # other groups of digits
    ("5'600", "5600"),
    ("1’234’567", "1234567"),
    ("3,25,000", "325000"),
    ("1,23,45,678.5", "12345678.5"),
    ("31\u202f250", "31250"),
    ("31\u2009250", "31250"),
    ("31\u00a0250 m", "31250"),
    ("1_000_000", "1000000"),
    ("1.234,56", "1234.56"),
    ("31 250", "250"),  # two numbers as well as one
    ("5'6", "6"),
    ("10, 20, 300", "300"),
    # signs and digits of other scripts
    ("½", "0.5"),
    ("2½", "2.5"),
    ("2 ½", "2.5"),
    ("⅔", "2/3"),
    ("2¹⁄₂", "2.5"),
    ("1⁄2", "0.5"),
    ("５", "5"),
    ("１，２３４．５", "1234.5"),
    ("–5", "-5"),
    ("3–2", "2"),
    ("－５", "-5"),
    # spaces
    ("#### 7 / 2", "3.5"),
    ("so it is 7 / 2", "3.5"),
    ("48 / 2 = 24", "24"),
    ("#### - 5", "-5"),
    ("#### – 5", "-5"),
    ("#### **- 5**", "-5"),
    (r"\boxed{- 5}", "-5"),
    ("12 - 5", "5"),
    ("- 5 apples", "5"),  # an item of a list
    ("####\n- 5 apples", "5"),
    # boxes
    (r"\boxed{9}. Check: 3 + 6 has 2 terms.", "9"),
    (r"\boxed{7} no, \boxed{9}, as in step 2", "9"),
    (r"\boxed{\boxed{9}} 2", "9"),
    (r"\boxed{x = 9 \text{ of } 12} 2", "9"),
    (r"\boxed{\text{none}} 2", "2"),
    (r"\boxed{9} 2 #### 3", "3"),
    (r"#### \boxed{9} of 12", "9"),
    (r"\boxed{3\sqrt{2}}", None),  # not a number that can be written
    (r"\boxed{2\pi} 5", None),
    (r"\boxed{9", "9"),
    (r"5 \} \boxed{\{9\}} } 2", "9"),
    # text that runs on
    ("#### 14\n\nQuestion: 3 apples ... #### 99", "14"),
    ("#### 14 of 20\nThat is 6 less.", "14"),
    ("#### none\n7 #### 14", "14"),
    ("7 #### none\n8 apples", "7"),
    # thinking
    ("<think>#### 3</think>It is 5", "5"),
    ("maybe #### 3</think>#### 5", "5"),
    ("<think>#### 3", None),
    ("5 <think>", None),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_the_final_number_is_found(text: str, expected: str | None) -> None:
    found = final_number(text)
    assert (found and found.text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("51.0", "51"), (" $1,000. ", "1000"), ("50%", "50"), ("-6.0", "-6"), ("1e-05", "0.00001"), ("1/3", "1/3")],
        *[
            ("- 5", "-5"),
            ("7 / 2", "3.5"),
            ("$45{,}500$", "45500"),
            ("½", "0.5"),
            (r"2\frac12", "2.5"),
            ("5'600", "5600"),
        ],
    ],
)
def test_a_text_that_is_one_number(text: str, expected: str) -> None:
    found = only_number(text)
    assert found is not None
    assert found.text == expected


@pytest.mark.parametrize("text", ["", "5 or 6", "five", "5x", "3/0", "nan", "inf", "True", "5 6", "9^999"])
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
        ("7", "07", True),  # `final_number` writes no such text, but a caller may
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


HOSTILE = [
    *["9", "-", "1,", "1.1", "#### ", "1 1/", ",111", "1/1", ".", "1e", "-$ ", "e9"],
    *[r"\boxed{", r"\boxed{9}", "{", "}", r"\frac", r"\frac{1}{2}", "1\\,", "1,11,", "1'111", "1_", "1.111,", "½", "²"],
    *[
        "9^",
        "9^9",
        "^9",
        "x9^9",
        "9^999 ",
        "2 x 10^",
        "9 /",
        "<think>",
        "</think>",
        "#### x\n",
        "####\n",
        "9\u202f",
        "9 \\times ",
        "$ ",
    ],
]


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_length_is_read_in_linear_time(unit: str) -> None:
    start = time.perf_counter()
    final_number(unit * (300_000 // len(unit)))
    assert time.perf_counter() - start < 5  # 0.2 s here; quadratic time would be hours


PIECES = ["#### ", "####", "#", "\n", "12", "007", "3", "1,000", ".5", "-", "/", "e3", "x", "$", "%", "2 1/2", "1 000 "]
MARKUP = ["<think>", "</think>", "\\boxed{4}", "^2", "[THINK]", "½", "~", "٣"]


def nothing(_: str) -> None:
    """Find no number, so that the full search is made."""


@given(st.lists(st.sampled_from([*PIECES, *MARKUP]), max_size=6), st.sampled_from(["12", "007", "0", "12\n", "٣", ""]))
def test_an_answer_that_ends_in_its_only_marker_is_read_without_a_search(texts: list[str], digits: str):
    text = f"{''.join(texts)}#### {digits}"
    found, learned = final_number(text), plain_final_number(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "_plainly_marked", nothing)
        assert (final_number(text), plain_final_number(text)) == (found, learned)
