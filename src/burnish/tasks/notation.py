"""Turns numbers, as people and models write them, into the plain form that `numbers` reads. It takes linear time.

Examples are `2{,}048`, `31\\,250`, `5'600`, `3,25,000`, `\\frac{5}{8}`, `2\\frac12`, `½`, `2.4 \\times 10^2`,
full-width digits, an en dash as minus, `7 / 2` and `30 cm^3`. Code that knows only plain numbers would read a wrong
number in each.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

MOST_DIGITS = 400
"""The most digits of a power that is computed. A longer power has no value here."""
NO_VALUE = "1/0"
"""The text in place of a power that is not computed. Code that reads it as a number finds that it has no value."""
# Full-width digits and signs of East Asian keyboards, the slash of fractions, and the dashes that people use as a
# minus.
_SIGNS = str.maketrans("０１２３４５６７８９＋．，％／⁄＄￡＾–−‐‑﹣－", "0123456789+.,%//$£^------")
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_VULGAR = re.compile("[¼½¾⅐-⅞↉]")
_UP, _DOWN = "".join(_SUPERSCRIPTS), "".join(_SUBSCRIPTS)
_RAISED = re.compile(f"[{_UP}]+")
# `¹⁄₂`. Because of the look-behind, a long row of raised digits is tried only from its first digit. Otherwise the time
# would grow with the square of its length.
_RAISED_FRACTION = re.compile(
    f"(?<![{''.join(_SUPERSCRIPTS)}])([{''.join(_SUPERSCRIPTS)}]+)[/⁄]([{''.join(_SUBSCRIPTS)}]+)"
)
# Spaces at which a line cannot break, and narrow spaces. The ordinary space is not one of them, because `31 250` may be
# two numbers.
_NARROW = "\u00a0\u2006\u2007\u2008\u2009\u200a\u202f"
_GROUPS = (
    # Groups of three digits after narrow spaces, apostrophes or underscores, and groups of two and then three digits
    # after commas, as in India.
    # Examples, in this order: `31 250`, `5'600`, `1_000_000` (not the name `a_1_000`), `3,25,000`.
    re.compile(rf"(?<![0-9])[0-9]{{1,3}}(?:[{_NARROW}][0-9]{{3}})+(?![0-9])"),
    re.compile(r"(?<![0-9])[0-9]{1,3}(?:['’][0-9]{3})+(?![0-9])"),
    re.compile(r"(?<![0-9A-Za-z_])[0-9]{1,3}(?:_[0-9]{3})+(?![0-9A-Za-z_])"),
    re.compile(r"(?<![0-9,.])[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?!,?[0-9])"),
)
_BETWEEN = re.compile(rf"[{_NARROW}'’_,]")
# There must be at least one group before the comma: `1.234,56` is one number, but `1,2` may be two items of a list.
_DECIMAL_COMMA = re.compile(r"(?<![0-9,.])([0-9]{1,3}(?:\.[0-9]{3})+),([0-9]{1,2})(?![0-9]|[.,][0-9])")
_LATEX_SPACE = re.compile(r"(?<=[0-9])(?:\\[,;: ]|~)(?=[0-9])")
# An argument of \frac: `{1,000}` or `{-5}` in braces, or a single digit without them (`\frac12` is 1/2).
_PART = r"(?:\{\s*(-?[0-9][0-9.,]*)\s*\}|([0-9]))"
# A digit directly before it makes a mixed number: `2\frac12` is 2.5.
_FRACTION = re.compile(rf"([0-9] ?)?\\[dtc]?frac\s*{_PART}\s*{_PART}")
# A longer exponent is not changed, because `int` raises ValueError for more than 4,300 digits.
_EXPONENT = r"(?:\{\s*([-+]?[0-9]{1,9})\s*\}|([-+]?[0-9]{1,9}))(?![0-9])"
_TIMES_TEN = re.compile(rf"(?<=[0-9])\s{{0,3}}(?:\\times|\\cdot|[×·⋅*x])\s{{0,3}}10\s?\^\s?{_EXPONENT}")
# The number must be the whole base of the power. It is not in `x2^3` (a name) and not in `(1+1)^2` (a bracket).
_POWER = re.compile(
    rf"(?<![0-9A-Za-z_.,^)\]}}])((?:[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]+)(?:\.[0-9]+)?)\s?\^\s?{_EXPONENT}"
)
# Two or more exponents: the `^3^2` of `2^3^2`. They are computed first, from the right: 2^(3^2) is 512.
_TOWER = re.compile(r"\^\s?[0-9]{1,9}(?:\s?\^\s?[0-9]{1,9})+(?![0-9])")
_LARGEST_EXPONENT = 10**9 - 1
# The second part is for a name that ends in digits. It finds the `2^3` of `x2^3` and keeps the `2`.
_OTHER_POWER = re.compile(rf"(?:(?<![0-9])|(?<=[A-Za-z_])([0-9]+))\s?\^\s?{_EXPONENT}")
"""Matches the power of a unit (`cm^3`), a name or a bracket. The digits of such an exponent are not a number."""
# `7 / 2`, `7/ 2` and `7 /2`.
_SPACED_QUOTIENT = re.compile(r"(?<=[0-9]) {1,2}/ {1,2}(?=[0-9.])|(?<=[0-9])/ (?=[0-9])|(?<=[0-9]) /(?=[0-9])")


def plain(text: str) -> str:
    """Return a text with its numbers in plain form. The rest of the text is mostly unchanged."""
    text = _latin(text)
    # Most texts have no LaTeX, and each of these searches is a pass through the text.
    if "\\" in text or "{" in text or "~" in text:
        text = text.replace("\\!", "").replace("{,}", ",").replace("{.}", ".").replace("\\$", "$").replace("\\%", "%")
        # `31\,250` gets a narrow space here, so that the patterns of groups below find it.
        text = _LATEX_SPACE.sub("\u202f", text)
        text = _FRACTION.sub(_fraction, text)
    for groups in _GROUPS:
        text = groups.sub(lambda found: _BETWEEN.sub("", found[0]), text)
    text = _DECIMAL_COMMA.sub(lambda found: f"{found[1].replace('.', '')}.{found[2]}", text)
    if "^" in text:
        # This comes before other powers. They would turn `2.4 \times 10^2` into `2.4 \times 100`, whose last number is
        # 100.
        text = _TIMES_TEN.sub(lambda found: f"e{int(found[1] or found[2])}", text)
        text = _TOWER.sub(_tower, text)
        text = _POWER.sub(_power, text)
        text = _OTHER_POWER.sub(lambda found: found[1] or "", text)
    return _SPACED_QUOTIENT.sub("/", text)


def _latin(text: str) -> str:
    """Return a text with the digits 0 to 9, one kind of minus, and `^` before raised digits."""
    if text.isascii():
        return text
    # This comes before other raised digits, because the top of `¹⁄₂` would be read as an exponent.
    text = _RAISED_FRACTION.sub(_raised_fraction, text)
    text = _VULGAR.sub(_vulgar, text)
    text = _RAISED.sub(lambda found: "^" + "".join(_SUPERSCRIPTS[sign] for sign in found[0]), text)
    return text.translate(_SIGNS)


def _after_number(found: re.Match[str]) -> str:
    """Return a space if there is a digit before the fraction, because `2½` is 2 1/2. Otherwise return nothing."""
    before = found.string[max(0, found.start() - 1) : found.start()]
    return " " if before and before in "0123456789０１２３４５６７８９" else ""


def _vulgar(found: re.Match[str]) -> str:
    # NFKC turns ½ into `1⁄2` with the slash of fractions, which is not the slash on keyboards.
    return _after_number(found) + unicodedata.normalize("NFKC", found[0]).replace("⁄", "/")


def _raised_fraction(found: re.Match[str]) -> str:
    top = "".join(_SUPERSCRIPTS[sign] for sign in found[1])
    return f"{_after_number(found)}{top}/{''.join(_SUBSCRIPTS[sign] for sign in found[2])}"


def _fraction(found: re.Match[str]) -> str:
    whole, top, bottom = found[1] or "", found[2] or found[3], found[4] or found[5]
    # A number may have a sign only before the whole fraction, so a minus below moves up: `\frac{5}{-8}` is -5/8.
    if bottom.startswith("-"):
        bottom = bottom[1:]
        top = top[1:] if top.startswith("-") else f"-{top}"
    return f"{whole.strip()} {top}/{bottom}" if whole else f"{top}/{bottom}"


def _tower(found: re.Match[str]) -> str:
    *lower, exponent = map(int, re.findall("[0-9]+", found[0]))
    for base in reversed(lower):
        # 2^30 is above the largest exponent, so an exponent of 30 can replace every larger one, and no huge number is
        # computed. For a base of 0 or 1, only an exponent of 0 makes a difference.
        exponent = min(base ** min(exponent, 30), _LARGEST_EXPONENT)
    return f"^{exponent}"


def _power(found: re.Match[str]) -> str:
    base, exponent = Fraction(found[1].replace(",", "")), int(found[2] or found[3])
    # The size is checked before the power is computed. `9^999999999` would fill the memory, and `0^-1` divides by zero.
    if len(found[1]) * abs(exponent) > MOST_DIGITS or (base == 0 and exponent < 0):
        return NO_VALUE
    value = base**exponent
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
