"""What people chose between a current label and a proposal, and how sure they were (section 6, figure 6b)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.stats import Interval, paired_difference, wilson

MODERATE, SURE = 2 / 3, 5 / 6
"""The least |lean| of a moderate and of a sure choice. On a scale of 7 points, 2 is moderate and 3 is sure."""
_ROUNDING = 1e-9


class Strength(StrEnum):
    """A choice with its confidence, from the current label to the proposal."""

    LABEL_SURE = "label_sure"
    LABEL_MODERATE = "label_moderate"
    LABEL_SLIGHT = "label_slight"
    ALIKE = "alike"
    PROPOSAL_SLIGHT = "proposal_slight"
    PROPOSAL_MODERATE = "proposal_moderate"
    PROPOSAL_SURE = "proposal_sure"


PREFERRED = (Strength.PROPOSAL_MODERATE, Strength.PROPOSAL_SURE)
"""The proposal is at least moderately preferred. ILR takes these alone (appendix D.3)."""


class LabelWriter(StrEnum):
    """Who wrote the current label: `original` is its first author, `proposal` is a model in an earlier round."""

    ORIGINAL = "original"
    PROPOSAL = "proposal"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChoice:
    """A choice on one pair. `lean` is in [-1, 1]: -1 is sure of the current label, and 1 is sure of the proposal.

    If several people judged the pair, it is their mean.
    """

    example_id: str
    writer: LabelWriter
    lean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceCounts:
    """The pairs of a round by strength. `writer` is None for all of them.

    `preferred` is the share of pairs whose proposal is at least moderately preferred, with Wilson's interval.
    """

    round: int
    writer: LabelWriter | None
    counts: Mapping[Strength, int]
    preferred: Interval

    @property
    def n(self) -> int:
        """The number of pairs."""
        return self.preferred.n


def strength_of(lean: float) -> Strength:
    """Return the strength of a choice. Only exactly 0 is alike: whoever leans at all prefers a side."""
    size = abs(lean)
    if size < _ROUNDING:
        return Strength.ALIKE
    degree = sum(size >= least - _ROUNDING for least in (MODERATE, SURE))
    if lean > 0:
        return (Strength.PROPOSAL_SLIGHT, Strength.PROPOSAL_MODERATE, Strength.PROPOSAL_SURE)[degree]
    return (Strength.LABEL_SLIGHT, Strength.LABEL_MODERATE, Strength.LABEL_SURE)[degree]


def choice_counts(rounds: Sequence[Sequence[LabelChoice]]) -> list[ChoiceCounts]:
    """Count the choices of each round: all of them, then by writer where there are two. Empty rounds are left out."""
    return [row for number, choices in enumerate(rounds, 1) if choices for row in _rows(number, choices)]


def _rows(number: int, choices: Sequence[LabelChoice]) -> Iterator[ChoiceCounts]:
    yield _counted(number, None, choices)
    writers = [one for one in LabelWriter if any(choice.writer is one for choice in choices)]
    if len(writers) > 1:
        for writer in writers:
            yield _counted(number, writer, [choice for choice in choices if choice.writer is writer])


def _counted(number: int, writer: LabelWriter | None, choices: Iterable[LabelChoice]) -> ChoiceCounts:
    found = [strength_of(choice.lean) for choice in choices]
    preferred = wilson(sum(one in PREFERRED for one in found), len(found))
    return ChoiceCounts(
        round=number, writer=writer, counts={one: found.count(one) for one in Strength}, preferred=preferred
    )


def change_of_preferred(first: Iterable[LabelChoice], second: Iterable[LabelChoice]) -> Interval | None:
    """Return how much more often the proposal is at least moderately preferred in the second of two rounds.

    The difference is over the examples of both rounds, with Newcombe's interval for pairs. None: they share none.
    """
    before, after = (
        {choice.example_id: strength_of(choice.lean) in PREFERRED for choice in one} for one in (first, second)
    )
    both = [(before[id_], after[id_]) for id_ in before if id_ in after]
    if not both:
        return None
    return paired_difference(
        both.count((True, True)), both.count((True, False)), both.count((False, True)), both.count((False, False))
    )
