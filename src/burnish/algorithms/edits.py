"""Edits that make an answer worse: of its numbers, of a query, of its words or of its characters.

Every edit is a near miss: the copy has about the length and the look of the text. An edit of words or characters may by
chance leave the meaning as it was. Where a checker exists, the caller asks it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import assert_never

from burnish.config import EditKind
from burnish.types import short_hash

MOST = 400
"""The most copies of one text that are made, so that a long text does not take long."""
SHARE = 0.3
"""The share of the words that an edit of words or characters changes. It is that of the released code of the paper."""
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[0-9]+(?:[.,][0-9]+)*(?![A-Za-z0-9_])")
_OPERATOR = re.compile(r"(?<=[\s0-9)])[-+*/×÷](?=[\s0-9(])")
_OTHER_OPERATOR = {"+": "-", "-": "+", "*": "/", "/": "*", "×": "÷", "÷": "×"}
# Texts in quotes come first, so that nothing inside them is found. Longer operators come before their parts.
_SQL = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]"
    r"|(?P<operator>!=|<>|>=|<=|=|>|<)|(?P<number>(?<![\w.])[0-9]+(?:\.[0-9]+)?(?![\w.]))|(?P<word>[A-Za-z_]+)"
)
_SQL_OPERATORS = {"=": "!=", "!=": "=", "<>": "=", ">=": "<", "<=": ">", ">": "<=", "<": ">="}
_SQL_WORDS = {
    **{"and": ("OR",), "or": ("AND",), "asc": ("DESC",), "desc": ("ASC",), "min": ("MAX",), "max": ("MIN",)},
    **{"sum": ("AVG", "COUNT"), "avg": ("SUM", "MAX"), "count": ("SUM", "MAX"), "distinct": ("",), "left": ("INNER",)},
    **{"inner": ("LEFT",), "union": ("INTERSECT",), "intersect": ("UNION",), "like": ("NOT LIKE",), "in": ("NOT IN",)},
}
_OPPOSITES = [
    *(("yes", "no"), ("true", "false"), ("always", "never"), ("more", "less"), ("before", "after")),
    *(("all", "none"), ("can", "cannot"), ("is", "isn't"), ("was", "wasn't"), ("are", "aren't"), ("with", "without")),
    *(("increase", "decrease"), ("increases", "decreases"), ("first", "last"), ("higher", "lower"), ("best", "worst")),
    *(("right", "wrong"), ("up", "down"), ("left", "right"), ("safe", "dangerous"), ("should", "shouldn't")),
]
_OPPOSITE = {a: b for pair in _OPPOSITES for a, b in (pair, pair[::-1])}


def edits(text: str, kind: EditKind, key: str) -> Iterator[str]:
    """Yield edited copies of a text, at most `MOST`, in an order that depends on the text and the key alone.

    No copy comes twice, and the text itself never comes. There are none where the text has nothing of this kind.
    """
    match kind:
        case EditKind.NUMBERS:
            made = _shuffled(_number_edits(text), key)
        case EditKind.SQL:
            made = _shuffled(_sql_edits(text), key)
        case EditKind.WORDS:
            made = _word_edits(text, key)
        case EditKind.CHARACTERS:
            made = _drawn(text, key, _misspelt)
        case _:
            assert_never(kind)
    plain = " ".join(text.split())
    seen = {plain}
    for copy in made:
        look = " ".join(copy.split())
        if look and look not in seen:
            seen.add(look)
            yield copy
        if len(seen) > MOST:
            return


def _shuffled(copies: Iterator[str], key: str) -> Iterator[str]:
    return iter(sorted(dict.fromkeys(copies), key=lambda copy: short_hash("edit", key, copy)))


def _number_edits(text: str) -> Iterator[str]:
    """Yield copies with one digit changed: of one number, or wherever this number stands.

    A number that stands in several places is most often a result that is used again, so a changed one looks consistent.
    Copies with another operator have another last number, too: then the answer is wrong whatever the equation says.
    """
    found = list(_NUMBER.finditer(text))
    for number in found:
        for other in _other_numbers(number[0]):
            yield _at(text, number, other)
            yield _NUMBER.sub(lambda each, old=number[0], new=other: new if each[0] == old else each[0], text)
    if not found:
        return
    for operator in _OPERATOR.finditer(text):
        swapped = _at(text, operator, _OTHER_OPERATOR[operator[0]])
        yield swapped
        # An operator has the length of its opposite, so the last number is where it was.
        yield from (_at(swapped, found[-1], other) for other in _other_numbers(found[-1][0]))


def _other_numbers(number: str) -> Iterator[str]:
    """Yield the numbers that differ in one digit. A first digit does not become 0, except of a single digit."""
    for place, digit in enumerate(number):
        if digit.isdecimal():
            lowest = 0 if place or len(number) == 1 else 1
            yield from (f"{number[:place]}{d}{number[place + 1 :]}" for d in range(lowest, 10) if str(d) != digit)


def _at(text: str, found: re.Match[str], new: str) -> str:
    return text[: found.start()] + new + text[found.end() :]


def _sql_edits(text: str) -> Iterator[str]:
    """Yield copies of a query with one change outside texts in quotes."""
    for found in _SQL.finditer(text):
        if operator := found["operator"]:
            yield _at(text, found, _SQL_OPERATORS[operator])
        elif number := found["number"]:
            yield from (_at(text, found, other) for other in _other_numbers(number))
        elif word := found["word"]:
            # `IN` after NOT would become a double negation.
            after_not = text[: found.start()].rstrip().lower().endswith("not")
            for other in _SQL_WORDS.get(word.lower(), ()):
                if not (after_not and other.startswith("NOT ")):
                    yield _at(text, found, other)


def _word_edits(text: str, key: str) -> Iterator[str]:
    """Yield copies with an opposite word first, since these surely change the meaning. Then come all others."""
    words = re.findall(r"\s+|[^\W_]+(?:['’][^\W_]+)*|.", text, re.DOTALL)
    opposite = (
        "".join([*words[:place], _cased(_OPPOSITE[word.lower()], word), *words[place + 1 :]])
        for place, word in enumerate(words)
        if word.lower() in _OPPOSITE
    )
    yield from _shuffled(opposite, key)
    yield from _drawn(text, key, _reordered)


def _cased(word: str, like: str) -> str:
    return word.capitalize() if like[:1].isupper() else word


def _drawn(text: str, key: str, change: Callable[[list[str], Sequence[int], str], None]) -> Iterator[str]:
    """Yield copies in which `change` was made to a drawn share of the words, each time another draw."""
    parts = re.findall(r"\s+|\S+", text)
    words = [place for place, part in enumerate(parts) if not part.isspace()]
    if not words:
        return
    count = max(2, round(SHARE * len(words)))
    for number in range(MOST):
        draw = f"{key} {number}"
        chosen = sorted(words, key=lambda place: short_hash("words", draw, str(place)))[:count]
        copy = list(parts)
        change(copy, sorted(chosen), draw)
        yield "".join(copy).strip()


def _reordered(parts: list[str], chosen: Sequence[int], draw: str) -> None:
    """Delete the words at these places or, in every second draw, let each take the place of the next."""
    if int(short_hash("delete", draw), 16) % 2:
        for place in chosen:
            parts[place] = ""
            if place:
                parts[place - 1] = ""
    else:
        words = [parts[place] for place in chosen]
        for place, word in zip(chosen, words[1:] + words[:1], strict=True):
            parts[place] = word


def _misspelt(parts: list[str], chosen: Sequence[int], draw: str) -> None:
    """Swap two neighbouring characters of the words at these places, or drop one of them."""
    for place in chosen:
        word = parts[place]
        if len(word) < 2:
            continue
        number = int(short_hash("character", draw, str(place)), 16)
        at = number % (len(word) - 1)
        swapped = word[at + 1] + word[at] if number // 97 % 2 else word[at]
        parts[place] = word[:at] + swapped + word[at + 2 :]
