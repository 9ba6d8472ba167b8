"""Claims on an experiment with SEAM, registered before its results exist, and what the results say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from statistics import fmean
from typing import Annotated, assert_never

from pydantic import Field

from burnish.config.base import Count, Name, Settings
from burnish.results import Bounds, Metric, Record
from burnish.seam.arm_results import ArmResult, ArmResults, Quantity, quantity
from burnish.seam.study_results import StudyCell, StudyResults
from burnish.stats import mean_interval


class Measure(StrEnum):
    """What a claim is about. Each gives one number for each seed."""

    MISMATCH = "mismatch"
    """Mean mismatch over policies and reward models."""
    DISCREPANCY = "discrepancy"
    """Mean accuracy on pairs as the reward models learned from, minus that on the policies' own pairs."""
    REWARD_SIZE = "reward_size"
    """Mismatch with the smallest reward model minus that with the largest, mean over policies."""
    POLICY_SIZE = "policy_size"
    """Mismatch of the policy with the most rows minus that with the fewest, mean over reward models."""
    CORRELATION = "correlation"
    """Rank correlation of a source's SEAM with the mismatch, mean over policies and reward models."""
    OVER_SOURCE = "over_source"
    """The same of a source minus that of the source `other`."""
    ARMS = "arms"
    """A quantity of the arms `a` minus that of the arms `b`, in an experiment with RL."""


class ArmsOf(Settings):
    """Which arms of an experiment count. Their mean is taken."""

    arm: str | None = None
    """The name of the arm; any if not given."""
    policy: Count | None = None
    """How many gold rows the policy was trained on before RL; any if not given."""
    rewards: tuple[str, ...] | None = None
    """The names of the rewards, such as `250 pairs` or `truth`; any if not given."""

    def matches(self, one: ArmResult) -> bool:
        """Say whether an arm counts."""
        return (
            self.arm in (None, one.arm)
            and self.policy in (None, one.policy)
            and (self.rewards is None or one.reward in self.rewards)
        )


class SeamClaim(Settings):
    """A claim: the mean of a measure over seeds is at least the margin, or with `below` less than it."""

    id: str
    """Its name."""
    experiment: Name
    """The name of the experiment that decides it."""
    words: str
    """The claim as a sentence."""
    measure: Measure
    """What is measured."""
    margin: Annotated[float, Field(ge=-1, le=1)]
    """The smallest value that confirms the claim, or with `below` the smallest one that contradicts it."""
    below: bool = False
    """Whether the claim says that the value is less than the margin."""
    source: str | None = None
    """The source of worse answers, for the measures of correlation."""
    other: str | None = None
    """The source that it is compared with."""
    quantity: Quantity = Quantity.SAMPLED
    """The number of the arms, for the measure `arms`."""
    a: ArmsOf | None = None
    """The arms that the claim is about, for the measure `arms`."""
    b: ArmsOf | None = None
    """The arms that they are compared with. If not given, the number of `a` alone is measured."""
    seen: bool = False
    """Whether a trial had shown the result before the claim was registered."""


class ClaimVerdict(StrEnum):
    """What the results say of a claim."""

    HOLDS = "holds"
    """The whole interval lies on the claim's side of the margin."""
    FAILS = "fails"
    """The whole interval lies on the other side."""
    OPEN = "open"
    """The interval holds the margin, or there is none: more seeds are needed."""


class JudgedClaim(Record):
    """A claim with its verdict. `measured` is the mean over seeds with a t interval."""

    id: str
    words: str
    margin: float
    below: bool
    seen: bool
    measured: Metric
    verdict: ClaimVerdict


def judged(claim: SeamClaim, results: StudyResults | ArmResults) -> JudgedClaim:
    """Return the verdict on a claim from the results of its experiment."""
    assert claim.experiment == results.name, (claim.experiment, results.name)
    if isinstance(results, StudyResults):
        seeds = sorted({cell.seed for cell in results.cells})
        values = [_of_cells(claim, [cell for cell in results.cells if cell.seed == seed]) for seed in seeds]
    else:
        seeds = sorted({arm.seed for arm in results.arms})
        values = [_of_arms(claim, [arm for arm in results.arms if arm.seed == seed]) for seed in seeds]
    found = [value for value in values if value is not None]
    measured = Metric.of(mean_interval(found) if found else None)
    return JudgedClaim(
        id=claim.id,
        words=claim.words,
        margin=claim.margin,
        below=claim.below,
        seen=claim.seen,
        measured=measured,
        verdict=_verdict(claim, measured.ci95),
    )


def _verdict(claim: SeamClaim, ci95: Bounds | None) -> ClaimVerdict:
    if ci95 is None or ci95[0] < claim.margin <= ci95[1]:
        return ClaimVerdict.OPEN
    return ClaimVerdict.HOLDS if (ci95[0] >= claim.margin) is not claim.below else ClaimVerdict.FAILS


def _of_arms(claim: SeamClaim, arms: Sequence[ArmResult]) -> float | None:
    """Return the measure of one seed, or None if no arm has it."""
    assert claim.measure is Measure.ARMS, claim
    assert claim.a is not None, claim
    a = _mean(claim, claim.a, arms)
    b = 0.0 if claim.b is None else _mean(claim, claim.b, arms)
    return None if a is None or b is None else a - b


def _mean(claim: SeamClaim, which: ArmsOf, arms: Sequence[ArmResult]) -> float | None:
    return _mean_of([quantity(one, claim.quantity) for one in arms if which.matches(one)])


def _of_cells(claim: SeamClaim, cells: Sequence[StudyCell]) -> float | None:
    """Return the measure of one seed, or None if a part of it could not be measured."""
    match claim.measure:
        case Measure.MISMATCH:
            return _mean_of([cell.mismatch.value for cell in cells])
        case Measure.DISCREPANCY:
            return _mean_of([_discrepancy(cell) for cell in cells])
        case Measure.REWARD_SIZE:
            return _difference(cells, lambda cell: cell.pairs, smallest_first=True)
        case Measure.POLICY_SIZE:
            return _difference(cells, lambda cell: cell.rows, smallest_first=False)
        case Measure.CORRELATION:
            return _correlation(cells, claim.source)
        case Measure.OVER_SOURCE:
            one, other = (_correlation(cells, source) for source in (claim.source, claim.other))
            return None if one is None or other is None else one - other
        case Measure.ARMS:
            raise AssertionError(f"{claim.id}: an experiment on the mismatch has no arms")
        case _:
            assert_never(claim.measure)


def _discrepancy(cell: StudyCell) -> float | None:
    if cell.off_policy.value is None or cell.mismatch.value is None:
        return None
    return cell.off_policy.value - (1 - cell.mismatch.value)


def _mean_of(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None if a value is missing: a mean over a part of them would be that of something else."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _difference(cells: Sequence[StudyCell], size: Callable[[StudyCell], int], smallest_first: bool) -> float | None:
    sizes = sorted({size(cell) for cell in cells})
    low, high = (
        _mean_of([cell.mismatch.value for cell in cells if size(cell) == end]) for end in (sizes[0], sizes[-1])
    )
    # With one size there is nothing to compare.
    if len(sizes) < 2 or low is None or high is None:
        return None
    return low - high if smallest_first else high - low


def _correlation(cells: Sequence[StudyCell], source: str | None) -> float | None:
    assert source is not None, "a claim on correlations names its source"
    return _mean_of([cell.sources[source].correlation["seam"].value for cell in cells])
