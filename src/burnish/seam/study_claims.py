"""Claims on an experiment with SEAM, registered before its results exist, and what the results say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from statistics import fmean
from typing import Annotated, assert_never

from pydantic import Field

from burnish.config.base import Settings
from burnish.results import Metric, Record
from burnish.seam.study_results import StudyCell, StudyResults
from burnish.stats import mean_interval


class Measure(StrEnum):
    """What a claim is about. Each gives one number for each seed."""

    REWARD_SIZE = "reward_size"
    """Mismatch with the smallest reward model minus that with the largest, mean over policies."""
    POLICY_SIZE = "policy_size"
    """Mismatch of the policy with the most rows minus that with the fewest, mean over reward models."""
    CORRELATION = "correlation"
    """Rank correlation of a source's SEAM with the mismatch, mean over policies and reward models."""
    OVER_SOURCE = "over_source"
    """The same of a source minus that of the source `other`."""


class SeamClaim(Settings):
    """A claim: the mean of a measure over seeds is at least the margin."""

    id: str
    """Its name."""
    words: str
    """The claim as a sentence."""
    measure: Measure
    """What is measured."""
    margin: Annotated[float, Field(ge=-1, le=1)]
    """The smallest value that confirms the claim."""
    source: str | None = None
    """The source of worse answers, for the measures of correlation."""
    other: str | None = None
    """The source that it is compared with."""
    seen: bool = False
    """Whether a trial had shown the result before the claim was registered."""


class ClaimVerdict(StrEnum):
    """What the results say of a claim."""

    HOLDS = "holds"
    """The whole interval lies at the margin or above."""
    FAILS = "fails"
    """The whole interval lies below the margin."""
    OPEN = "open"
    """The interval holds the margin, or there is none: more seeds are needed."""


class JudgedClaim(Record):
    """A claim with its verdict. `measured` is the mean over seeds with a t interval."""

    id: str
    words: str
    margin: float
    seen: bool
    measured: Metric
    verdict: ClaimVerdict


def judged(claim: SeamClaim, results: StudyResults) -> JudgedClaim:
    """Return the verdict on a claim from the results of its experiment."""
    seeds = sorted({cell.seed for cell in results.cells})
    values = [_value(claim, [cell for cell in results.cells if cell.seed == seed]) for seed in seeds]
    found = [value for value in values if value is not None]
    measured = Metric.of(mean_interval(found) if found else None)
    verdict = ClaimVerdict.OPEN
    if measured.ci95 is not None and measured.ci95[0] >= claim.margin:
        verdict = ClaimVerdict.HOLDS
    elif measured.ci95 is not None and measured.ci95[1] < claim.margin:
        verdict = ClaimVerdict.FAILS
    return JudgedClaim(
        id=claim.id, words=claim.words, margin=claim.margin, seen=claim.seen, measured=measured, verdict=verdict
    )


def _value(claim: SeamClaim, cells: Sequence[StudyCell]) -> float | None:
    """Return the measure of one seed, or None if a part of it could not be measured."""
    match claim.measure:
        case Measure.REWARD_SIZE:
            return _difference(cells, lambda cell: cell.pairs, smallest_first=True)
        case Measure.POLICY_SIZE:
            return _difference(cells, lambda cell: cell.rows, smallest_first=False)
        case Measure.CORRELATION:
            return _correlation(cells, claim.source)
        case Measure.OVER_SOURCE:
            one, other = (_correlation(cells, source) for source in (claim.source, claim.other))
            return None if one is None or other is None else one - other
        case _:
            assert_never(claim.measure)


def _difference(cells: Sequence[StudyCell], size: Callable[[StudyCell], int], smallest_first: bool) -> float | None:
    sizes = sorted({size(cell) for cell in cells})
    low, high = (
        [cell.mismatch.value for cell in cells if size(cell) == end and cell.mismatch.value is not None]
        for end in (sizes[0], sizes[-1])
    )
    # With one size there is nothing to compare.
    if len(sizes) < 2 or not low or not high:
        return None
    return (fmean(low) - fmean(high)) if smallest_first else (fmean(high) - fmean(low))


def _correlation(cells: Sequence[StudyCell], source: str | None) -> float | None:
    assert source is not None, "a claim on correlations names its source"
    found = [value for cell in cells if (value := cell.sources[source].correlation["seam"].value) is not None]
    return fmean(found) if found else None
