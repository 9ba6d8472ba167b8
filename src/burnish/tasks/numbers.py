"""Final numeric answers: where one stands in a text, its exact value, and when two are the same.

What counts as a number, after `notation` has turned LaTeX and other scripts into plain form: digits with an optional
sign, currency mark, thousands commas, decimals, exponent, `a/b` and the mixed form `2 1/2`. A final period and `%` are
not part of it. Digits directly after a letter (`x2`, `H2O`) belong to a name. A minus directly after a digit, a letter
or a closing bracket is an operator: the last number of `3-2` is 2.

Where the answer stands:

1. What a model thinks before `</think>` is no answer.
2. After `####` the first number of that line counts. The first line that has one is the answer, and text that runs on
   after it does not change it; of several markers in that line the last one counts.
3. Without a marker the last `\\boxed{}` that holds a number counts, whatever numbers follow it.
4. Else the last number counts.
"""

from __future__ import annotations

import re
from fractions import Fraction

from burnish.algorithms.thinking import without_thinking
from burnish.errors import DataError
from burnish.tasks.answers import PlainAnswers
from burnish.tasks.boxes import last_box
from burnish.tasks.notation import plain
from burnish.types import Answer, Example, Grade

VERSION = 2
"""Of how numbers are read; stages are known by it, too. The second one knows notation, boxes and thinking."""
MARKER = "####"
MAX_LENGTH = 400
"""Characters of the longest number, as found and as written out, and the largest exponent; `int` stops at 4,300."""
# Wide enough for 33.33 as an answer to 100/3. A Fraction, so that the comparison itself rounds nothing.
TOLERANCE = Fraction(1, 10_000)
"""Relative; where both sides are integers they must be equal."""

# What each piece matches:
# _SIGN: `-5`, `+5`, `-$5`, `-\$5`. Not the minus of `3-2`, `x-2`, `(3+4)-2` or `50%-20%`, nor the second in `a--5`.
# _DIGITS: `1234.5`, `1,234.5`, `.5`. Commas must be thousands commas; the 5 of `and so on...5` has no decimal point.
# _EXPONENT: the end of `1.5E-3`, as float columns are printed. Not that of `2e3x`, which is a name.
# _MIXED: `2 1/2`. It is tried before _PLAIN, which would be content with the 2.
# _PLAIN: one of the above, or `48/2`.
_SIGN = r"(?:(?<![0-9A-Za-z_)\]}%-])(?P<sign>[-+−])(?:\\?[$£€] ?)?)?"
_DIGITS = r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)"
_EXPONENT = r"(?:[eE][-+]?[0-9]+(?![0-9A-Za-z_]))?"
_MIXED = r"(?P<whole>[0-9]+) (?P<part>[0-9]+/[0-9]+)"
_PLAIN = rf"(?P<top>{_DIGITS}{_EXPONENT})(?:/(?P<bottom>{_DIGITS}))?"
# Only at the beginning of an answer: `- 5`, `**- 5**`, `($ - 5`. Anywhere else a spaced minus is an operator.
_SPACED_SIGN = re.compile(r"\A([\s*($]{0,8})[-−] {1,4}(?=[$£€]?\.?[0-9])")
_NUMBER = re.compile(rf"{_SIGN}(?<![0-9A-Za-z_])(?:{_MIXED}|{_PLAIN})")


def final_number(text: str) -> Answer | None:
    """Return the final number of a text: after `####`, else in the last box, else the last one; None without any.

    The number found decides: where it has no value (`3/0`, more than 400 digits) the answer is None, not an earlier
    number. Where no marker has a number on its line, what stands before the first marker is looked at.
    """
    answer = without_thinking(text)
    if answer is None:
        return None
    answer = plain(answer)
    if found := _marked(answer):
        return _answer(found)
    before = answer.partition(MARKER)[0]
    # `\boxed{3\sqrt{2}}` has no answer rather than the answer 3 or 2.
    if (box := last_box(before)) is not None:
        return None if box.irrational else _first_answer(box.content)
    return _last_answer(before)


def marked_number(text: str) -> Answer | None:
    """Return the number after `####` as `final_number` does; without a marker there is no answer."""
    answer = without_thinking(text)
    found = None if answer is None else _marked(plain(answer))
    return _answer(found) if found else None


def only_number(text: str) -> Answer | None:
    """Return the number that is all of `text` (but for space, a currency mark, `%` and a final period), else None."""
    # The dollar may also stand at the end, since a formula of LaTeX does so: `$45{,}500$`. Order: `50%.` ends in a
    # period.
    bare = _signed(plain(text.strip())).removesuffix(".").removesuffix("%").removeprefix("$").removesuffix("$").strip()
    found = _NUMBER.fullmatch(bare)
    return _answer(found) if found else None


def reference_number(text: str) -> Answer | None:
    """Return a reference's number: all that follows its last `####`, else all of its last box, else all of the text.

    None where more than one number is there, since nobody knows which one is right.
    """
    _, marker, marked = text.rpartition(MARKER)
    if marker:
        text = marked
    if (box := last_box(plain(text))) is not None:
        return None if box.irrational else only_number(box.content)
    return only_number(text)


def plain_final_number(text: str) -> Answer | None:
    """Return the number after the last `####` that has one, else the last number before any marker, else None.

    This is how generated sums are read, whose numbers are whole and plain: no notation, no boxes, no thinking.
    """
    before, *after = text.split(MARKER)
    for part in reversed(after):
        if found := _NUMBER.search(part):
            return _answer(found)
    return _last_answer(before)


def _plain_marked(text: str) -> Answer | None:
    # The text before the first marker is dropped: `plain_final_number` would fall back on its last number.
    return plain_final_number(MARKER + text.partition(MARKER)[2]) if MARKER in text else None


def _marked(text: str) -> re.Match[str] | None:
    """Find the number that a marker announces, on its own line or, where that is blank, on the next one."""
    last = None
    # `last` is the number of the newest marker that has one. The loop ends at the first line with a number after which
    # text goes on, so that of `14\n\nQuestion: ... #### 99` the 14 counts. A marker without a number (`#### none`) is
    # passed over.
    for part in text.split(MARKER)[1:]:
        head, _, rest = part.partition("\n")
        if head.strip():
            found, ended = _NUMBER.search(_signed(head)), bool(rest)
        else:
            # No `_signed` here: on a line of its own, `- 5 apples` is an item of a list.
            head, _, rest = rest.lstrip().partition("\n")
            found, ended = _NUMBER.search(head), bool(rest)
        last = found or last
        if last and ended:
            break
    return last


def _signed(text: str) -> str:
    """Return a text whose leading minus stands at its number: `- 5` at the beginning of an answer is -5."""
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
    """Say whether two numbers are equal: exactly if both are integers, else within a relative 1e-4 of the larger."""
    x, y = Fraction(a.text), Fraction(b.text)
    # 1,000,000 and 1,000,001 are two answers, though they are nearer to each other than the tolerance.
    if x.denominator == y.denominator == 1:
        return x == y
    return abs(x - y) <= TOLERANCE * max(abs(x), abs(y))


def canonical(value: Fraction) -> str:
    """Return the exact decimal (`0.75`, `1000`) where it ends, else the reduced `a/b`."""
    # A reduced fraction ends as a decimal exactly if its denominator has no prime factors but 2 and 5.
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
    # A short text may be a long number: `1e399` has 400 digits, and `1e-400` divided by 2^1200 still more.
    return None if text is None or len(text) > MAX_LENGTH else Answer(text=text)


def _value(found: re.Match[str]) -> Fraction | None:
    if len(found[0]) > MAX_LENGTH:
        return None
    # `plain` makes every minus ASCII, but generated sums and what is learned are read without it.
    sign = -1 if found["sign"] in {"-", "−"} else 1
    if found["whole"] is not None:
        part = _quotient(*found["part"].split("/"))
        # `3 48/2` is no mixed number: the quotient stands by itself.
        return part if part is None else sign * (part + int(found["whole"]) if part < 1 else part)
    value = _quotient(found["top"], found["bottom"] or "1")
    return None if value is None else sign * value


def _quotient(top: str, bottom: str) -> Fraction | None:
    # The exponent is looked at as a text first. Fraction would write `1e999999999` out, and `int` refuses texts of more
    # than 4,300 digits.
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

    def learned(self, completion: str) -> Answer | None:
        """Return a number that the text holds, as the first version found it, None where there is none.

        Training leaves out texts without a number. Which number is the final one does not matter there, so models that
        were trained before are not trained again when finding it has a new version.
        """
        return plain_final_number(completion)

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two final numbers are the same."""
        return same_number(a, b)

    def grade(self, example: Example, completion: str) -> Grade:
        """Compare a completion's final number with the reference's; none is wrong.

        Raises DataError naming the row where there is no reference, or where it is not one number as a whole.
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
        """Return the number of a reference, None where it cannot be read whole."""
        return reference_number(reference)


class MarkedAnswers(NumericAnswers):
    """Numeric answers that stand after `####` or not at all.

    A base model solves problems in other words than the task's; without the marker, which finetuning alone teaches
    it, it has not answered.
    """

    def extract(self, completion: str) -> Answer | None:
        """Return the number after the marker, None where there is none."""
        return marked_number(completion)

    def learned(self, completion: str) -> Answer | None:
        """Return the number after the last marker that has one, as the first version found it."""
        return _plain_marked(completion)


class SumAnswers(MarkedAnswers):
    """Answers to generated sums, which stand after `####` or not at all, read as the first version read them.

    The embedded models know whole numbers and `-` as words of their own, and no total is negative, so the notations of
    other data cannot occur. Reading them as before keeps every finished stage valid.
    """

    def extract(self, completion: str) -> Answer | None:
        """Return the number after the last marker that has one, None where there is none."""
        return _plain_marked(completion)

    def read_reference(self, reference: str) -> Answer | None:
        """Return the number of a reference."""
        return plain_final_number(reference)
