"""Which words of two texts differ. Pure; bounded in time, however long or repetitive the texts are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_WORDS = 400
"""Words of each side that are matched, beyond what both have in common at their beginning and end.

difflib needs up to cubic time where words repeat: 0.2 s for 400 of them at worst, 1.3 s for 800."""
_WORDS = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a text that the other one has too, or has not."""

    text: str
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Two texts in pieces. `whole`: words beyond the first MOST_WORDS that differ are marked without being matched."""

    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    whole: bool

    @property
    def same(self) -> bool:
        """No word differs."""
        return not any(piece.changed for piece in (*self.before, *self.after))


def marked(before: str, after: str) -> Marked:
    """Mark the words that differ; white space between words is no difference."""
    a, b = _WORDS.findall(before), _WORDS.findall(after)
    a_keys, b_keys = [word.strip() for word in a], [word.strip() for word in b]
    start = _common(a_keys, b_keys)
    end = _common(a_keys[start:][::-1], b_keys[start:][::-1])
    a_end, b_end = len(a) - end, len(b) - end
    a_stop, b_stop = min(a_end, start + MOST_WORDS), min(b_end, start + MOST_WORDS)
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    _put(sides, a[:start], b[:start], changed=False)
    matcher = difflib.SequenceMatcher(None, a_keys[start:a_stop], b_keys[start:b_stop], autojunk=False)
    for kind, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        a_words, b_words = a[start + a_from : start + a_to], b[start + b_from : start + b_to]
        _put(sides, a_words, b_words, changed=kind != "equal")
    _put(sides, a[a_stop:a_end], b[b_stop:b_end], changed=True)
    _put(sides, a[a_end:], b[b_end:], changed=False)
    return Marked(before=tuple(sides[0]), after=tuple(sides[1]), whole=a_stop < a_end or b_stop < b_end)


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many words both begin with."""
    pairs = zip(a, b, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(a), len(b)))


def _put(sides: tuple[list[Piece], list[Piece]], a: Sequence[str], b: Sequence[str], *, changed: bool) -> None:
    for pieces, words in zip(sides, (a, b), strict=True):
        text = "".join(words)
        body = text.rstrip() if changed else text
        # A mark ends with its last word: white space after it is left plain.
        parts = (Piece(text=body, changed=changed), Piece(text=text[len(body) :], changed=False))
        pieces.extend(part for part in parts if part.text)
