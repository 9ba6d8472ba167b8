"""Takes worse answers out of possible ones: each text once, never the gold answer, and only wrong ones if there is a
checker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from burnish.perturbations.resources import Checker
from burnish.steps.perturbing import WorseAnswers
from burnish.types import Example


class LeftOut(StrEnum):
    """Why a possible answer was not taken."""

    RIGHT = "right"
    """The checker says that it is right."""
    REPEATED = "repeated"
    """Another one has the same text, or it is the gold answer itself."""
    CUT = "cut"
    """It was cut at the token limit."""
    TOO_SIMILAR = "too_similar"
    """It answers a prompt that is too similar."""
    UNANSWERED = "unanswered"
    """The server gave no answer, or an empty one."""
    NO_GOLD = "no_gold"
    """The checker finds no final answer in the gold answer, so it cannot tell what is worse."""


def picked(
    example: Example, possible: Iterable[str], most: int, checker: Checker | None, left_out: Counter[str] | None = None
) -> WorseAnswers:
    """Return the first `most` of the possible answers that are worse. `left_out` counts what was left out before."""
    assert example.reference is not None, example.id
    counted = Counter(left_out or {})
    matcher = None if checker is None else checker.grader.on(example)
    gold = None if matcher is None else matcher.extract(example.reference)
    if matcher is not None and gold is None:
        counted[LeftOut.NO_GOLD] += 1
        return WorseAnswers(example_id=example.id, texts=(), left_out=_plain(counted))
    seen = {_look(example.reference)}
    texts: list[str] = []
    for text in possible:
        if len(texts) == most:
            break
        if not text.strip() or _look(text) in seen:
            counted[LeftOut.REPEATED] += 1
            continue
        seen.add(_look(text))
        found = None if matcher is None else matcher.extract(text)
        # An answer in which the checker finds none is worse than the gold answer.
        if matcher is not None and gold is not None and found is not None and matcher.agree(found, gold):
            counted[LeftOut.RIGHT] += 1
            continue
        texts.append(text)
    return WorseAnswers(example_id=example.id, texts=tuple(texts), left_out=_plain(counted))


def _look(text: str) -> str:
    """Return a text with single spaces, to compare texts."""
    return " ".join(text.split())


def _plain(counted: Counter[str]) -> dict[str, int]:
    return {str(why): number for why, number in sorted(counted.items()) if number}
