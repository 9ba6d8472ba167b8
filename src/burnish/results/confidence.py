"""How sure an annotator was, and how often it was right when it was so sure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import model_validator

from burnish.results.records import Natural, Record, StoredProbability


class ReliabilityBin(Record):
    """The judgements of one bin."""

    n: Natural
    """The number of judgements."""
    right: Natural
    """How many of them preferred the better side."""
    mean_p: StoredProbability | None
    """The mean P(the preferred side is better) that the annotator gave; null if n is 0."""


class Reliability(Record):
    """What a reliability diagram shows. The bins of P(the preferred side is better) have equal width, from 0.5 to 1. A
    bin holds its lower end and not its upper end; the last bin holds both."""

    bins: tuple[ReliabilityBin, ...]
    """The bins, from the lowest to the highest."""

    @property
    def n(self) -> int:
        """The number of judgements in all bins."""
        return sum(one.n for one in self.bins)

    @property
    def error(self) -> float | None:
        """The expected calibration error (Guo et al. 2017): the mean over judgements of the distance, in their bin,
        between the share of right ones and the mean P. None without judgements."""
        if not self.n:
            return None
        return math.fsum(abs(one.right - one.n * one.mean_p) for one in self.bins if one.mean_p is not None) / self.n

    @staticmethod
    def of(counted: Iterable[tuple[int, int, float | None]]) -> Reliability:
        """Return the bins from the lowest to the highest. Each has its number, the right ones, and their mean P."""
        return Reliability(bins=tuple(ReliabilityBin(n=n, right=right, mean_p=mean_p) for n, right, mean_p in counted))

    @staticmethod
    def pooled(parts: Iterable[Reliability]) -> Reliability | None:
        """Return several of them as one, or None if there are none. All must have the same number of bins."""
        columns = list(zip(*(part.bins for part in parts), strict=True))
        return Reliability(bins=tuple(map(_joined, columns))) if columns else None


def _joined(bins: tuple[ReliabilityBin, ...]) -> ReliabilityBin:
    """Return one bin of several parts as one."""
    n = sum(one.n for one in bins)
    total = math.fsum(one.n * one.mean_p for one in bins if one.mean_p is not None)
    # A sum of rounded products can lie a last digit above 1.
    return ReliabilityBin(n=n, right=sum(one.right for one in bins), mean_p=min(1.0, total / n) if n else None)


class Confidence(Record):
    """A line of confidence.jsonl: how sure the annotator was in one round.

    Confidence is the distance of P(the proposal is better) from one half, from 0 (a coin flip) to 0.5 (certainty). It
    is counted in bins of equal width. A bin holds its lower end and not its upper end; the last bin holds both.
    """

    method: str
    """The method's name."""
    seed: int
    """The seed of the run."""
    round: Natural
    """The round that was judged."""
    judged: list[Natural]
    """The number of judged comparisons in each bin of confidence, from the lowest bin to the highest."""
    accepted: list[Natural]
    """The same for the comparisons that were accepted."""
    reliability: Reliability | None = None
    """How often the annotator was right on decisive pairs, by how sure it was; null in folders of earlier versions."""

    @model_validator(mode="after")
    def _same_bins(self) -> Confidence:
        """Check that both lists have the same bins, and that no bin accepts more than it judged."""
        if len(self.judged) != len(self.accepted) or any(
            accepted > judged for judged, accepted in zip(self.judged, self.accepted, strict=True)
        ):
            raise ValueError(f"judged {self.judged} and accepted {self.accepted} do not fit each other")
        return self
