"""How long the answers of people and of a reference model are, in words (section 6, figure 6a)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from burnish.stats import Interval, median_interval, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLengths:
    """The lengths of answers in words, by prompt. `name` says who wrote them."""

    name: str
    words: Mapping[str, int]

    @property
    def median(self) -> Interval:
        """The median with its interval. There must be at least one answer."""
        return median_interval(list(self.words.values()))


def words_of(text: str) -> int:
    """Count the words of an answer: what stands between spaces and line breaks."""
    return len(text.split())


def shorter(people: AnswerLengths, reference: AnswerLengths) -> Interval | None:
    """Return the share of the prompts of both on which the person wrote fewer words, with Wilson's interval.

    None: they share no prompt.
    """
    both = [id_ for id_ in people.words if id_ in reference.words]
    return wilson(sum(people.words[id_] < reference.words[id_] for id_ in both), len(both)) if both else None
