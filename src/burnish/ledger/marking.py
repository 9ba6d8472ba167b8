"""Find which words of two texts differ. The time is bounded, however long or repetitive the texts are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_WORDS = 400
"""How many words of each side are matched, not counting what both sides have in common at their beginning and end.

difflib needs up to cubic time if words repeat: 0.2 s for 400 words in the worst case, 1.3 s for 800.
"""
_WORDS = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
"""A word, a mark or white space. White space belongs to the word before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a text. `changed` is false if the other text has it, too."""

    text: str
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Two texts in pieces. If `whole` is true, words after the first MOST_WORDS that differ are marked as changed
    without being matched."""

    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    whole: bool

    @property
    def same(self) -> bool:
        """True if no word differs."""
        return not any(piece.changed for piece in (*self.before, *self.after))


def marked(before: str, after: str) -> Marked:
    """Mark the words that differ. Differences in white space between words do not count."""
    a, b = _WORDS.findall(before), _WORDS.findall(after)
    a_keys, b_keys = [word.strip() for word in a], [word.strip() for word in b]
    # What both texts begin and end with is set aside first. So MOST_WORDS counts only what differs.
    start = _common(a_keys, b_keys)
    # Searched behind `start` only, so that no word counts for both ends.
    end = _common(a_keys[start:][::-1], b_keys[start:][::-1])
    a_end, b_end = len(a) - end, len(b) - end
    a_stop, b_stop = min(a_end, start + MOST_WORDS), min(b_end, start + MOST_WORDS)
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    _put(sides, a[:start], b[:start], changed=False)
    # Without autojunk=False, difflib ignores words that are frequent in long texts.
    matcher = difflib.SequenceMatcher(None, a_keys[start:a_stop], b_keys[start:b_stop], autojunk=False)
    for kind, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        a_words, b_words = a[start + a_from : start + a_to], b[start + b_from : start + b_to]
        _put(sides, a_words, b_words, changed=kind != "equal")
    _put(sides, a[a_stop:a_end], b[b_stop:b_end], changed=True)
    _put(sides, a[a_end:], b[b_end:], changed=False)
    return Marked(before=tuple(sides[0]), after=tuple(sides[1]), whole=a_stop < a_end or b_stop < b_end)


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many words both lists have in common at the beginning."""
    pairs = zip(a, b, strict=False)
    return next((place for place, (word, other_word) in enumerate(pairs) if word != other_word), min(len(a), len(b)))


def _put(sides: tuple[list[Piece], list[Piece]], a: Sequence[str], b: Sequence[str], *, changed: bool) -> None:
    """Append a part of each text to its pieces."""
    for pieces, words in zip(sides, (a, b), strict=True):
        text = "".join(words)
        body = text.rstrip() if changed else text
        # A mark ends with its last word. White space after it stays unmarked.
        parts = (Piece(text=body, changed=changed), Piece(text=text[len(body) :], changed=False))
        pieces.extend(part for part in parts if part.text)
