"""Final numeric answers: where one stands in a text, its exact value, and when two are the same.

What counts as a number: ASCII digits with an optional sign, currency mark, thousands commas, decimals, exponent, `a/b`
and the mixed form `2 1/2`. A final period and `%` are not part of it. Digits directly after a letter (`x2`, `H2O`)
belong to a name. A minus directly after a digit, a letter or a closing bracket is an operator: the last number of `3-2`
is 2.
"""

from __future__ import annotations

import re
from fractions import Fraction

from burnish.errors import DataError
from burnish.tasks.answers import PlainAnswers
from burnish.types import Answer, Example, Grade

MARKER = "####"
MAX_LENGTH = 400
"""Characters of the longest number, as found and as written out, and the largest exponent; `int` stops at 4,300."""
TOLERANCE = Fraction(1, 10_000)
"""Relative; where both sides are integers they must be equal."""

_SIGN = r"(?:(?<![0-9A-Za-z_)\]}%-])(?P<sign>[-+−])(?:\\?[$£€] ?)?)?"
_DIGITS = r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)"
_EXPONENT = r"(?:[eE][-+]?[0-9]+(?![0-9A-Za-z_]))?"
_MIXED = r"(?P<whole>[0-9]+) (?P<part>[0-9]+/[0-9]+)"
_PLAIN = rf"(?P<top>{_DIGITS}{_EXPONENT})(?:/(?P<bottom>{_DIGITS}))?"
_NUMBER = re.compile(rf"{_SIGN}(?<![0-9A-Za-z_])(?:{_MIXED}|{_PLAIN})")


def final_number(text: str) -> Answer | None:
    """Return the number after the last `####` that has one, else the last number before any marker, else None.

    After a marker the first number counts (`#### 5 of 12` is 5). A marker without a number, such as the second one in
    `#### 14 ####`, is passed over. The number found decides: where it has no value (`3/0`, more than 400 digits)
    the answer is None, not an earlier number.
    """
    before, *after = text.split(MARKER)
    for part in reversed(after):
        if found := _NUMBER.search(part):
            return _answer(found)
    last = None
    for found in _NUMBER.finditer(before):
        last = found
    return _answer(last) if last else None


def marked_number(text: str) -> Answer | None:
    """Return the number after the last `####` that has one; without a marker there is no answer."""
    return final_number(MARKER + text.partition(MARKER)[2]) if MARKER in text else None


def only_number(text: str) -> Answer | None:
    """Return the number that is all of `text` (but for space, a currency mark, `%` and a final period), else None."""
    found = _NUMBER.fullmatch(text.strip().removesuffix(".").removesuffix("%").removeprefix("$"))
    return _answer(found) if found else None


def same_number(a: Answer, b: Answer) -> bool:
    """Say whether two numbers are equal: exactly if both are integers, else within a relative 1e-4 of the larger."""
    x, y = Fraction(a.text), Fraction(b.text)
    if x.denominator == y.denominator == 1:
        return x == y
    return abs(x - y) <= TOLERANCE * max(abs(x), abs(y))


def canonical(value: Fraction) -> str:
    """Return the exact decimal (`0.75`, `1000`) where it ends, else the reduced `a/b`."""
    twos, rest = _times_divisible(value.denominator, 2)
    fives, rest = _times_divisible(rest, 5)
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    sign = "-" if value < 0 else ""
    digits = str(int(abs(value) * 10**places)).zfill(places + 1)
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def _times_divisible(number: int, prime: int) -> tuple[int, int]:
    times = 0
    while number % prime == 0:
        number //= prime
        times += 1
    return times, number


def _answer(found: re.Match[str]) -> Answer | None:
    value = _value(found)
    text = None if value is None else canonical(value)
    return None if text is None or len(text) > MAX_LENGTH else Answer(text=text)


def _value(found: re.Match[str]) -> Fraction | None:
    if len(found[0]) > MAX_LENGTH:
        return None
    sign = -1 if found["sign"] in {"-", "−"} else 1
    if found["whole"] is not None:
        part = _quotient(*found["part"].split("/"))
        # `3 48/2` is no mixed number: the quotient stands by itself.
        return part if part is None else sign * (part + int(found["whole"]) if part < 1 else part)
    value = _quotient(found["top"], found["bottom"] or "1")
    return None if value is None else sign * value


def _quotient(top: str, bottom: str) -> Fraction | None:
    exponent = top.lower().partition("e")[2].lstrip("+-").lstrip("0")
    if len(exponent) > len(str(MAX_LENGTH)) or int(exponent or "0") > MAX_LENGTH:
        return None
    divisor = Fraction(bottom.replace(",", ""))
    return Fraction(top.replace(",", "")) / divisor if divisor else None


class NumericAnswers(PlainAnswers):
    """What tasks with a number as the answer share."""

    def extract(self, completion: str) -> Answer | None:
        """Return the final number of a completion, None where there is none."""
        return final_number(completion)

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two final numbers are the same."""
        return same_number(a, b)

    def grade(self, example: Example, completion: str) -> Grade:
        """Compare a completion's final number with the reference's; none is wrong. Raises DataError without gold."""
        gold = None if example.reference is None else final_number(example.reference)
        if gold is None:
            raise DataError(
                f"{example.id}: the reference {example.reference!r:.80} has no final answer; end it with "
                f"`{MARKER} NUMBER`"
            )
        found = self.extract(completion)
        if found is None:
            return Grade(correct=False, extracted=None, why="no number")
        if same_number(found, gold):
            return Grade(correct=True, extracted=found.text, why=f"equals {gold.text}")
        return Grade(correct=False, extracted=found.text, why=f"expected {gold.text}")


class MarkedAnswers(NumericAnswers):
    """Numeric answers that stand after `####` or not at all.

    The embedded base models solve stories in other words than the task's; without the marker, which finetuning
    alone teaches them, they have not answered.
    """

    def extract(self, completion: str) -> Answer | None:
        """Return the number after the marker, None where there is none."""
        return marked_number(completion)
