"""Numbers as people and models write them, turned into the plain form that `numbers` reads. Pure, in linear time.

`2{,}048`, `31\\,250`, `5'600`, `3,25,000`, `\\frac{5}{8}`, `2\\frac12`, `½`, `2.4 \\times 10^2`, full-width digits, an
en dash as minus, `7 / 2`, `30 cm^3`: each of them holds digits that a reader of plain numbers would take for another
number.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

MOST_DIGITS = 400
"""Of a power that is worked out; a longer one has no value here."""
NO_VALUE = "1/0"
"""Stands for a number that is too long to be worked out: whoever reads it finds that it has no value."""
# Full-width digits and signs of East Asian keyboards, the slash of fractions, and the dashes that people write for a
# minus.
_SIGNS = str.maketrans("０１２３４５６７８９＋．，％／⁄＄￡＾–−‐‑﹣－", "0123456789+.,%//$£^------")
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_VULGAR = re.compile("[¼½¾⅐-⅞↉]")
_UP, _DOWN = "".join(_SUPERSCRIPTS), "".join(_SUBSCRIPTS)
_RAISED = re.compile(f"[{_UP}]+")
# `¹⁄₂`. The look-behind lets a long row of raised digits be tried from its first digit alone, else the time would grow
# with the square of its length.
_RAISED_FRACTION = re.compile(
    f"(?<![{''.join(_SUPERSCRIPTS)}])([{''.join(_SUPERSCRIPTS)}]+)[/⁄]([{''.join(_SUBSCRIPTS)}]+)"
)
# Spaces without a line break or narrower than a word space. An ordinary space is not here: `31 250` may be two numbers.
_NARROW = "\u00a0\u2006\u2007\u2008\u2009\u200a\u202f"
_GROUPS = (
    # Groups of three after narrow spaces, apostrophes or underscores; of two and then three after commas, as in India;
    # of three after points where a decimal comma follows.
    # Examples, in this order: `31 250`, `5'600`, `1_000_000` (not the name `a_1_000`), `3,25,000`.
    re.compile(rf"(?<![0-9])[0-9]{{1,3}}(?:[{_NARROW}][0-9]{{3}})+(?![0-9])"),
    re.compile(r"(?<![0-9])[0-9]{1,3}(?:['’][0-9]{3})+(?![0-9])"),
    re.compile(r"(?<![0-9A-Za-z_])[0-9]{1,3}(?:_[0-9]{3})+(?![0-9A-Za-z_])"),
    re.compile(r"(?<![0-9,.])[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?!,?[0-9])"),
)
_BETWEEN = re.compile(rf"[{_NARROW}'’_,]")
# At least one group before the comma is wanted: `1.234,56` is one number, `1,2` may be two items of a list.
_DECIMAL_COMMA = re.compile(r"(?<![0-9,.])([0-9]{1,3}(?:\.[0-9]{3})+),([0-9]{1,2})(?![0-9]|[.,][0-9])")
_LATEX_SPACE = re.compile(r"(?<=[0-9])(?:\\[,;: ]|~)(?=[0-9])")
# An argument of \frac: `{1,000}` or `{-5}` in braces, or a single digit without them (`\frac12` is 1/2).
_PART = r"(?:\{\s*(-?[0-9][0-9.,]*)\s*\}|([0-9]))"
# A digit right before it makes a mixed number: `2\frac12` is 2.5.
_FRACTION = re.compile(rf"([0-9] ?)?\\[dtc]?frac\s*{_PART}\s*{_PART}")
# A longer exponent is left alone: `int` raises ValueError for more than 4,300 digits.
_EXPONENT = r"(?:\{\s*([-+]?[0-9]{1,9})\s*\}|([-+]?[0-9]{1,9}))(?![0-9])"
_TIMES_TEN = re.compile(rf"(?<=[0-9])\s{{0,3}}(?:\\times|\\cdot|[×·⋅*x])\s{{0,3}}10\s?\^\s?{_EXPONENT}")
# The base must be all that is raised: not the 2 of `x2^3`, and nothing after a closing bracket, as in `(1+1)^2`.
_POWER = re.compile(
    rf"(?<![0-9A-Za-z_.,^)\]}}])((?:[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]+)(?:\.[0-9]+)?)\s?\^\s?{_EXPONENT}"
)
# Two or more exponents: the `^3^2` of `2^3^2`. They are worked out first, from the right: 2^(3^2) is 512.
_TOWER = re.compile(r"\^\s?[0-9]{1,9}(?:\s?\^\s?[0-9]{1,9})+(?![0-9])")
_LARGEST_EXPONENT = 10**9 - 1
# The second part is for a name that ends in digits: the `2^3` of `x2^3`, whose `2` stays.
_OTHER_POWER = re.compile(rf"(?:(?<![0-9])|(?<=[A-Za-z_])([0-9]+))\s?\^\s?{_EXPONENT}")
"""Of a unit (`cm^3`), a name or a bracket: a power whose digits are no number of their own."""
# `7 / 2`, `7/ 2` and `7 /2`.
_SPACED_QUOTIENT = re.compile(r"(?<=[0-9]) {1,2}/ {1,2}(?=[0-9.])|(?<=[0-9])/ (?=[0-9])|(?<=[0-9]) /(?=[0-9])")


def plain(text: str) -> str:
    """Return a text with its numbers in plain form; what is no number is left more or less as it is."""
    text = _latin(text)
    # Most texts have no LaTeX, and each of these searches costs a pass through the text.
    if "\\" in text or "{" in text or "~" in text:
        text = text.replace("\\!", "").replace("{,}", ",").replace("{.}", ".").replace("\\$", "$").replace("\\%", "%")
        # `31\,250` gets a narrow space here, so that the groups below find it.
        text = _LATEX_SPACE.sub("\u202f", text)
        text = _FRACTION.sub(_fraction, text)
    for groups in _GROUPS:
        text = groups.sub(lambda found: _BETWEEN.sub("", found[0]), text)
    text = _DECIMAL_COMMA.sub(lambda found: f"{found[1].replace('.', '')}.{found[2]}", text)
    if "^" in text:
        # Before other powers: of `2.4 \times 10^2` they would leave `2.4 \times 100`, whose last number is 100.
        text = _TIMES_TEN.sub(lambda found: f"e{int(found[1] or found[2])}", text)
        text = _TOWER.sub(_tower, text)
        text = _POWER.sub(_power, text)
        text = _OTHER_POWER.sub(lambda found: found[1] or "", text)
    return _SPACED_QUOTIENT.sub("/", text)


def _latin(text: str) -> str:
    """Return a text with the digits 0 to 9, one kind of minus, and `^` before raised digits."""
    if text.isascii():
        return text
    # Before raised digits alone, which would take the top of `¹⁄₂` for an exponent.
    text = _RAISED_FRACTION.sub(_raised_fraction, text)
    text = _VULGAR.sub(_vulgar, text)
    text = _RAISED.sub(lambda found: "^" + "".join(_SUPERSCRIPTS[sign] for sign in found[0]), text)
    return text.translate(_SIGNS)


def _after_number(found: re.Match[str]) -> str:
    """Return what stands between a whole number and a fraction that belongs to it: `2½` is 2 1/2."""
    before = found.string[max(0, found.start() - 1) : found.start()]
    return " " if before and before in "0123456789０１２３４５６７８９" else ""


def _vulgar(found: re.Match[str]) -> str:
    # NFKC turns ½ into `1⁄2` with the slash of fractions, which is not the slash of a keyboard.
    return _after_number(found) + unicodedata.normalize("NFKC", found[0]).replace("⁄", "/")


def _raised_fraction(found: re.Match[str]) -> str:
    top = "".join(_SUPERSCRIPTS[sign] for sign in found[1])
    return f"{_after_number(found)}{top}/{''.join(_SUBSCRIPTS[sign] for sign in found[2])}"


def _fraction(found: re.Match[str]) -> str:
    whole, top, bottom = found[1] or "", found[2] or found[3], found[4] or found[5]
    # Numbers are read with a sign before the whole fraction only, so a minus below moves up: `\frac{5}{-8}` is -5/8.
    if bottom.startswith("-"):
        bottom = bottom[1:]
        top = top[1:] if top.startswith("-") else f"-{top}"
    return f"{whole.strip()} {top}/{bottom}" if whole else f"{top}/{bottom}"


def _tower(found: re.Match[str]) -> str:
    *lower, exponent = map(int, re.findall("[0-9]+", found[0]))
    for base in reversed(lower):
        # 2^30 is above the largest exponent, so 30 stands for every larger one: nothing huge is worked out. For a base
        # of 0 or 1 only an exponent of 0 makes a difference.
        exponent = min(base ** min(exponent, 30), _LARGEST_EXPONENT)
    return f"^{exponent}"


def _power(found: re.Match[str]) -> str:
    base, exponent = Fraction(found[1].replace(",", "")), int(found[2] or found[3])
    # Looked at before it is worked out: `9^999999999` would fill the memory, and `0^-1` divides by zero.
    if len(found[1]) * abs(exponent) > MOST_DIGITS or (base == 0 and exponent < 0):
        return NO_VALUE
    value = base**exponent
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
