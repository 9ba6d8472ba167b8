"""Final numeric answers: finds the answer in a text, gives its exact value, and says when two answers are the same.

First `notation` turns LaTeX and other scripts into plain form. Then a number is a row of digits with an optional sign,
currency mark, thousands commas, decimals and exponent, or `a/b`, or the mixed form `2 1/2`. A final period and `%` are
not part of it. Digits directly after a letter (`x2`, `H2O`) belong to a name. A minus directly after a digit, a letter
or a closing bracket is an operator: the last number of `3-2` is 2.

The answer is found by these rules:

1. The thinking before `</think>` is not part of the answer.
2. After `####`, the first number on that line counts. The first line with such a number is the answer, and later text
   does not change it. If that line has several markers, the last one counts.
3. Without a marker, the last `\\boxed{}` with a number in it counts, even if other numbers follow it.
4. Otherwise the last number counts.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from burnish.algorithms.thinking import without_thinking
from burnish.errors import DataError
from burnish.tasks.answers import PlainAnswers
from burnish.tasks.boxes import last_box
from burnish.tasks.notation import plain
from burnish.types import Answer, Example, Grade

VERSION = 2
"""Version of how numbers are read, a part of the identity of stages. Version 2 knows notation, boxes and thinking."""
MARKER = "####"
MAX_LENGTH = 400
"""The most characters of a number, both as found and as written out, and the largest exponent.

Python's `int` refuses texts of more than 4,300 digits.
"""
# It is large enough for 33.33 as an answer to 100/3. It is a Fraction, so that the comparison does not round.
TOLERANCE = Fraction(1, 10_000)
"""The relative difference that is allowed between two numbers. Two integers must be equal."""

# What each piece matches:
# _SIGN: `-5`, `+5`, `-$5`, `-\$5`. Not the minus of `3-2`, `x-2`, `(3+4)-2` or `50%-20%`, nor the second in `a--5`.
# _DIGITS: `1234.5`, `1,234.5`, `.5`. Commas must be thousands commas; the 5 of `and so on...5` has no decimal point.
# _EXPONENT: the end of `1.5E-3`, as float columns are printed. Not that of `2e3x`, which is a name.
# _MIXED: `2 1/2`. It is tried before _PLAIN, which would find only the 2.
# _PLAIN: one of the above, or `48/2`.
_SIGN = r"(?:(?<![0-9A-Za-z_)\]}%-])(?P<sign>[-+−])(?:\\?[$£€] ?)?)?"
_DIGITS = r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)"
_EXPONENT = r"(?:[eE][-+]?[0-9]+(?![0-9A-Za-z_]))?"
_MIXED = r"(?P<whole>[0-9]+) (?P<part>[0-9]+/[0-9]+)"
_PLAIN = rf"(?P<top>{_DIGITS}{_EXPONENT})(?:/(?P<bottom>{_DIGITS}))?"
# Matches only at the beginning of an answer: `- 5`, `**- 5**`, `($ - 5`. Elsewhere a minus with spaces is an operator.
_SPACED_SIGN = re.compile(r"\A([\s*($]{0,8})[-−] {1,4}(?=[$£€]?\.?[0-9])")
_MARKUP = re.compile(r"[\\{~^<\[]")
"""Matches the first character of everything that thinking or notation could be."""
# `plain` turns every minus into ASCII, but generated sums and `learned` are read without it.
_MINUS = {"-", "−"}
_NUMBER = re.compile(rf"{_SIGN}(?<![0-9A-Za-z_])(?:{_MIXED}|{_PLAIN})")


def final_number(text: str) -> Answer | None:
    """Return the final number of a text: after `####`, else in the last box, else the last one, or None without any.

    If the number that is found has no value (`3/0`, or more than 400 digits), the answer is None and not an earlier
    number. If no marker is followed by a number, only the text before the first marker is searched.
    """
    if (whole := _plainly_marked(text)) is not None:
        return whole
    answer = without_thinking(text)
    if answer is None:
        return None
    answer = plain(answer)
    if found := _marked(answer):
        return _answer(found)
    before = answer.partition(MARKER)[0]
    # `\boxed{3\sqrt{2}}` has no answer. The answer 3 or 2 would be wrong.
    if (box := last_box(before)) is not None:
        return None if box.irrational else _first_answer(box.content)
    return _last_answer(before)


def _plainly_marked(text: str) -> Answer | None:
    """Return the number of a text that ends in its only marker and a whole number. Most answers are such texts.

    Nothing before the marker can change this number, unless it could be thinking or notation. Then the answer is None,
    as for all other texts.
    """
    before, marker, digits = text.rpartition(f"{MARKER} ")
    if not (marker and digits.isdecimal() and len(digits) <= MAX_LENGTH and text.isascii()):
        return None
    if MARKER in before or before.endswith("#") or _MARKUP.search(before):
        return None
    return Answer(text=digits.lstrip("0") or "0")


def marked_number(text: str) -> Answer | None:
    """Return the number after `####` as `final_number` does, or None if there is no marker with a number."""
    answer = without_thinking(text)
    found = None if answer is None else _marked(plain(answer))
    return _answer(found) if found else None


def only_number(text: str) -> Answer | None:
    """Return the number if `text` has nothing else in it, else None.

    White space, a currency mark, `%` and a final period are allowed.
    """
    # There may also be a dollar at the end, as in a formula of LaTeX: `$45{,}500$`. The period is removed first,
    # because `50%.` ends in a period.
    bare = _signed(plain(text.strip())).removesuffix(".").removesuffix("%").removeprefix("$").removesuffix("$").strip()
    found = _NUMBER.fullmatch(bare)
    return _answer(found) if found else None


def reference_number(text: str) -> Answer | None:
    """Return a reference's number. It must be everything after the last `####`, else the last box, else the whole text.

    Returns None if there is more than one number, because nobody knows which one is right, or if there is no number.
    """
    _, marker, marked = text.rpartition(MARKER)
    if marker:
        text = marked
    if (box := last_box(plain(text))) is not None:
        return None if box.irrational else only_number(box.content)
    return only_number(text)


def plain_final_number(text: str) -> Answer | None:
    """Return the number after the last `####` that has one, else the last number before any marker, else None.

    Generated sums are read in this way. Their numbers are whole and plain, so it looks for no notation, boxes or
    thinking.
    """
    if (whole := _plainly_marked(text)) is not None:
        return whole
    before, *after = text.split(MARKER)
    for part in reversed(after):
        if found := _NUMBER.search(part):
            return _answer(found)
    return _last_answer(before)


def _plain_marked(text: str) -> Answer | None:
    # The text before the first marker is dropped, because `plain_final_number` could take its last number.
    return plain_final_number(MARKER + text.partition(MARKER)[2]) if MARKER in text else None


def _marked(text: str) -> re.Match[str] | None:
    """Find the number after a marker on the same line or, if the rest of the line is blank, on the next line."""
    last = None
    # `last` is the number of the latest marker that has one. The loop ends at the first line with a number that has
    # text after it, so that in `14\n\nQuestion: ... #### 99` the 14 counts. A marker without a number (`#### none`) is
    # skipped.
    for part in text.split(MARKER)[1:]:
        head, _, rest = part.partition("\n")
        if head.strip():
            found, ended = _NUMBER.search(_signed(head)), bool(rest)
        else:
            # There is no `_signed` here, because `- 5 apples` on its own line is an item of a list.
            head, _, rest = rest.lstrip().partition("\n")
            found, ended = _NUMBER.search(head), bool(rest)
        last = found or last
        if last and ended:
            break
    return last


def _signed(text: str) -> str:
    """Return a text without the spaces after its leading minus, because `- 5` at the start of an answer is -5."""
    return _SPACED_SIGN.sub(r"\1-", text)


def _first_answer(text: str) -> Answer | None:
    found = _NUMBER.search(_signed(text))
    return _answer(found) if found else None


def _last_answer(text: str) -> Answer | None:
    last = None
    for found in _NUMBER.finditer(text):
        last = found
    return _answer(last) if last else None


def same_number(a: Answer, b: Answer) -> bool:
    """Say whether two numbers are the same. Two integers must be equal. Others may differ by 1e-4 of the larger one."""
    if a.text == b.text:
        return True
    # Most answers are whole numbers. A comparison of fractions takes five times as long.
    if _is_whole(a.text) and _is_whole(b.text):
        return int(a.text) == int(b.text)
    x, y = Fraction(a.text), Fraction(b.text)
    # 1,000,000 and 1,000,001 are different answers, although their difference is within the tolerance.
    if x.denominator == y.denominator == 1:
        return x == y
    return abs(x - y) <= TOLERANCE * max(abs(x), abs(y))


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and len(text) <= MAX_LENGTH


@lru_cache(2**12)
def canonical(value: Fraction) -> str:
    """Return a number as an exact decimal (`0.75`, `1000`) if the decimal ends, else as a reduced fraction `a/b`."""
    # The decimal of a reduced fraction ends exactly if 2 and 5 are the only prime factors of its denominator.
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
    # Most answers are plain whole numbers. Fractions take ten times as long, and a stage reads millions of answers.
    if (whole := _whole(found)) is not None:
        return Answer(text=whole)
    value = _value(found)
    text = None if value is None else canonical(value)
    # A short text may be a long number: `1e399` has 400 digits, and `1e-400` divided by 2^1200 has still more.
    return None if text is None or len(text) > MAX_LENGTH else Answer(text=text)


def _whole(found: re.Match[str]) -> str | None:
    """Return a whole number as `canonical` writes it, or None for any other number."""
    if found["whole"] is not None or found["bottom"] is not None or len(found[0]) > MAX_LENGTH:
        return None
    digits = found["top"].replace(",", "")
    if not digits.isdecimal():
        return None
    text = digits.lstrip("0") or "0"
    return f"-{text}" if found["sign"] in _MINUS and text != "0" else text


def _value(found: re.Match[str]) -> Fraction | None:
    if len(found[0]) > MAX_LENGTH:
        return None
    sign = -1 if found["sign"] in _MINUS else 1
    if found["whole"] is not None:
        part = _quotient(*found["part"].split("/"))
        # `3 48/2` is not a mixed number, so the quotient is the number.
        return part if part is None else sign * (part + int(found["whole"]) if part < 1 else part)
    value = _quotient(found["top"], found["bottom"] or "1")
    return None if value is None else sign * value


@lru_cache(2**12)  # graders read the same few numbers again and again
def _quotient(top: str, bottom: str) -> Fraction | None:
    # The exponent is first checked as a text. Fraction would compute all digits of `1e999999999`, and `int` refuses
    # texts of more than 4,300 digits.
    exponent = top.lower().partition("e")[2].lstrip("+-").lstrip("0")
    if len(exponent) > len(str(MAX_LENGTH)) or int(exponent or "0") > MAX_LENGTH:
        return None
    divisor = Fraction(bottom.replace(",", ""))
    return Fraction(top.replace(",", "")) / divisor if divisor else None


class NumericAnswers(PlainAnswers):
    """The grader of tasks whose answer is a number."""

    def extract(self, completion: str) -> Answer | None:
        """Return the final number of a completion, or None if there is none."""
        return final_number(completion)

    def learned(self, completion: str) -> Answer | None:
        """Return a number in the text as the first version found it, or None if there is none.

        Training leaves out texts without a number. It does not matter there which number is the final one. So a new
        version of the search does not make finished trainings run again.
        """
        return plain_final_number(completion)

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two final numbers are the same."""
        return same_number(a, b)

    def grade(self, example: Example, completion: str) -> Grade:
        """Compare a completion's final number with that of the reference. A completion without a number is wrong.

        Raises DataError naming the row if it has no reference, or if the reference's answer is not exactly one number.
        """
        gold = self.gold(example)
        found = self.extract(completion)
        if found is None:
            return Grade(correct=False, extracted=None, why="no number")
        if same_number(found, gold):
            return Grade(correct=True, extracted=found.text, why=f"equals {gold.text}")
        return Grade(correct=False, extracted=found.text, why=f"expected {gold.text}")

    def gold(self, example: Example) -> Answer:
        """Return the number of an example's reference. Raises DataError as `grade` does."""
        gold = None if example.reference is None else self.read_reference(example.reference)
        if gold is not None:
            return gold
        place = example.metadata.get("where")
        where = f"{place} ({example.id})" if isinstance(place, str) else example.id
        raise DataError(
            f"{where}: the reference {example.reference!r:.80} has no final answer that is one number as a whole; "
            f"write a number, or end the text with `{MARKER} NUMBER`"
        )

    def read_reference(self, reference: str) -> Answer | None:
        """Return the number of a reference, or None if it is not one number as a whole."""
        return reference_number(reference)


class MarkedAnswers(NumericAnswers):
    """Numeric answers that count only after `####`.

    A base model writes its solutions in another form than the task's. It learns the marker only in finetuning, and a
    text without the marker has no answer.
    """

    def extract(self, completion: str) -> Answer | None:
        """Return the number after the marker, or None if there is none."""
        return marked_number(completion)

    def learned(self, completion: str) -> Answer | None:
        """Return the number after the last marker that has one, as the first version found it, or None."""
        return _plain_marked(completion)


class SumAnswers(MarkedAnswers):
    """Answers to generated sums, which count only after `####`. They are read as the first version read them.

    In the embedded models, whole numbers and `-` are separate words, and no total is negative. So the notations of
    other data cannot occur. Because the reading has not changed, every finished stage stays valid.
    """

    def extract(self, completion: str) -> Answer | None:
        """Return the number after the last marker that has one, or None if there is none."""
        return _plain_marked(completion)

    def read_reference(self, reference: str) -> Answer | None:
        """Return the number of a reference, or None if there is none."""
        return plain_final_number(reference)
