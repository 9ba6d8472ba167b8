"""Which candidates are the most confident. The cap is filled in this order."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from burnish.algorithms.comparisons import sigmoid
from burnish.types import Reason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What selection knows of one example.

    `screened` says why it was not compared. Where it was compared, `verdict` is the judgement and `source` is the
    annotator that gave it. `p_b` is P(the proposal is better), the mean over the orders that were judged; `orders` has
    the value of each order. `logit` is the log-odds of `p_b` in nats where the annotator knows them. `rank` decides
    between equally confident candidates, the lowest first; then the id does. `doubt` is the share of edits of the
    proposal that the annotator prefers to it, or None where it is not known.
    """

    example_id: str
    screened: Reason | None
    verdict: Verdict | None
    p_b: float | None
    source: str = ""
    orders: tuple[float, ...] = ()
    rank: str = ""
    logit: float | None = None
    doubt: float | None = None


class Eligible:
    """The candidates that may be accepted. A candidate takes about 110 bytes here, and 400 as an object.

    Confidence is |p_b - 0.5|. It stops growing above a logit of about 37 nats, where p_b is 1 in floats. There the
    logit decides, where it is known.
    """

    def __init__(self) -> None:
        self.index, self.sureness, self.nats = array("q"), array("d"), array("d")
        self.ranks, self.ids, self.sources = list[str](), list[str](), list[str]()

    def add(self, index: int, candidate: Candidate) -> None:
        """Add the candidate number `index`."""
        assert candidate.p_b is not None, candidate
        self.index.append(index)
        nats = 0.0 if candidate.logit is None else abs(candidate.logit)
        # Computed from the size of the logit, so that a preference for side a and one for side b are rounded alike.
        sureness = abs(candidate.p_b - 0.5) if candidate.logit is None else sigmoid(nats) - 0.5
        # Where there is a rank, equal confidence is usual. Means of graded answers are then equal only up to rounding.
        self.sureness.append(round(sureness, 12) if candidate.rank else sureness)
        self.nats.append(nats)
        self.ranks.append(candidate.rank)
        self.ids.append(candidate.example_id)
        self.sources.append(sys.intern(candidate.source))  # a few names for all candidates

    def ranked(self, ascending: bool) -> Iterator[tuple[int, str]]:
        """Yield index and source: the most confident first, then by `rank`, then by example id.

        `ascending` says that the candidates were added in the order of their ids.
        """
        if ascending and not any(self.ranks):
            # lexsort is stable, so equals stay in the order of their ids. Its last key is the first to decide.
            order = np.lexsort((-np.array(self.nats), -np.array(self.sureness)))
            yield from ((self.index[place], self.sources[place]) for place in map(int, order))
            return
        places = range(len(self.index))

        def key(at: int) -> tuple[float, float, str, str]:
            return -self.sureness[at], -self.nats[at], self.ranks[at], self.ids[at]

        for place in sorted(places, key=key):
            yield self.index[place], self.sources[place]
