"""Differences between methods, in one experiment or between two of its settings, and what they say about a claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from burnish.report.series import Relation, relation_to_zero
from burnish.report.text import percent, plural, signed_points
from burnish.results import Bounds, Results
from burnish.stats import mean_interval

Variants: TypeAlias = Mapping[str, Results]
"""The results of an experiment's settings by their labels. A single setting has the label ""."""

TEST = "test_accuracy"
MARGIN = 0.02
"""The smallest difference of shares that would matter. An interval that excludes it shows that nothing is gained. One
that reaches it leaves the claim undecided, also if it includes zero."""


@dataclass(frozen=True, slots=True)
class At:
    """A place in the results: a metric of a method after a round. None for the round means the last one."""

    method: str
    round: int | None = None
    metric: str = TEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A difference with its 95 % interval.

    The interval is paired by seed and prompt, or else a t interval over seeds. Equal seeds have none, so they decide
    nothing.
    """

    value: float
    ci95: Bounds | None
    seeds: int

    def __post_init__(self) -> None:
        # Files of earlier versions hold intervals without width.
        if self.ci95 is not None and self.ci95[0] == self.ci95[1]:
            object.__setattr__(self, "ci95", None)

    @property
    def above(self) -> bool:
        """Whether the interval lies above zero."""
        return relation_to_zero(self.ci95) is Relation.ABOVE

    @property
    def below(self) -> bool:
        """Whether the interval lies below zero."""
        return relation_to_zero(self.ci95) is Relation.BELOW

    @property
    def excludes_gain(self) -> bool:
        """Whether the interval excludes a difference of `MARGIN` or more."""
        return self.ci95 is not None and self.ci95[1] < MARGIN

    @property
    def excludes_loss(self) -> bool:
        """Whether the interval excludes a difference of -MARGIN or less."""
        return self.ci95 is not None and self.ci95[0] > -MARGIN

    def words(self, share: bool = True) -> str:
        """Write the difference, its interval and the number of seeds. A share is written in percentage points."""
        write: Callable[[float], str] = signed_points if share else _plain
        if self.ci95 is None:
            interval = "no interval" if self.seeds == 1 else "the same in every seed, so no interval"
        else:
            interval = f"{write(self.ci95[0])} to {write(self.ci95[1])}"
        return f"{write(self.value)}{' points' if share else ''} ({interval}), {plural(self.seeds, 'seed')}"


def _plain(value: float) -> str:
    return f"{value:+.2f}"


class Held(StrEnum):
    """The verdict on a claim."""

    HELD = "held"
    NOT_HELD = "not held"
    NOT_TOLD_APART = "cannot be told apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim, the verdict on it, and the numbers behind the verdict."""

    text: str
    verdict: Held
    detail: str


def by_seed(results: Results, at: At) -> dict[int, float]:
    """Return {seed: value} of a metric. It is empty if the metric was not measured."""
    number = round_of(results, at)
    return {
        run.seed: metric.value
        for run in results.runs
        if run.method == at.method and run.round == number
        if (metric := run.metrics.get(at.metric)) is not None and metric.value is not None
    }


def mean(results: Results, at: At) -> float | None:
    """Return the mean over seeds, or None if nothing was measured."""
    values = by_seed(results, at)
    return sum(values.values()) / len(values) if values else None


def gap(results: Results, a: At, b: At) -> Gap | None:
    """Return a minus b within one experiment, or None if either was not measured."""
    # The paired row is preferred: its interval covers other prompts as well as other seeds.
    return _paired(results, a, b) or between(results, a, results, b)


def _paired(results: Results, a: At, b: At) -> Gap | None:
    """Return the paired difference in the results, which only test accuracy has. Return None if there is none."""
    # The claims take paired rows of test accuracy only; other metrics are compared over seeds.
    if (a.metric, b.metric) != (TEST, TEST):
        return None
    row = results.paired_row(TEST, (a.method, round_of(results, a)), (b.method, round_of(results, b)))
    return None if row is None else Gap(value=row.difference, ci95=row.ci95, seeds=row.seeds)


def round_of(results: Results, at: At) -> int:
    """Return the round that `at` means: the last one if it names none."""
    return last_round(results, at.method) if at.round is None else at.round


def last_round(results: Results, method: str) -> int:
    """Return the highest round of a method."""
    return max((run.round for run in results.runs if run.method == method), default=0)


def between(results_a: Results, a: At, results_b: Results, b: At) -> Gap | None:
    """Return a minus b, paired by seed. The two may come from different settings."""
    return _over_seeds(by_seed(results_a, a), by_seed(results_b, b))


def gain_difference(results_a: Results, results_b: Results, method: str, base: str = "sft") -> Gap | None:
    """Return how much more a method gains over `base` in setting a than in setting b, paired by seed."""
    gains = [
        {seed: value - start[seed] for seed, value in by_seed(results, At(method)).items() if seed in start}
        for results in (results_a, results_b)
        # A list of one names the value inside the comprehension.
        for start in [by_seed(results, At(base, 0))]
    ]
    return _over_seeds(*gains)


def _over_seeds(a: Mapping[int, float], b: Mapping[int, float]) -> Gap | None:
    """Return the mean of a minus b over the seeds that both have, with its t interval."""
    # A seed that only one side has cannot be paired.
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return None
    # Differences are taken seed by seed first. What the seeds have in common then cancels out.
    interval = mean_interval([a[seed] - b[seed] for seed in seeds])
    return Gap(value=interval.value, ci95=interval.ci95, seeds=len(seeds))


def above(text: str, difference: Gap | None, share: bool = True) -> Claim:
    """Judge a claim that a difference is above zero. `share` says whether the difference is a share."""
    if difference is None:
        return unmeasured(text)
    verdict = Held.HELD if difference.above else Held.NOT_HELD if difference.below else Held.NOT_TOLD_APART
    return Claim(text=text, verdict=verdict, detail=f"Difference {difference.words(share)}.")


def no_gain(text: str, difference: Gap | None) -> Claim:
    """Judge a claim that nothing is gained. It holds if the interval excludes a gain of `MARGIN`.

    This is one of two one-sided tests at 2.5 %. An interval that merely includes zero does not show that nothing is
    gained.
    """
    if difference is None:
        return unmeasured(text)
    harm = " It harms." if difference.below else ""
    return _within(text, difference, held=difference.excludes_gain, contrary=difference.above, note=harm)


def reaches(text: str, difference: Gap | None) -> Claim:
    """Judge a claim that a value reaches another one or is above it.

    It holds if the interval of the difference excludes that `MARGIN` is missing.
    """
    if difference is None:
        return unmeasured(text)
    return _within(text, difference, held=difference.excludes_loss, contrary=difference.below)


def alike(text: str, difference: Gap | None) -> Claim:
    """Judge a claim that two values are alike: it holds if the interval lies between -MARGIN and MARGIN."""
    if difference is None:
        return unmeasured(text)
    same = difference.excludes_gain and difference.excludes_loss
    return _within(text, difference, held=same, contrary=difference.above or difference.below)


def unmeasured(text: str) -> Claim:
    """Return a claim about something that was not measured."""
    return Claim(text=text, verdict=Held.NOT_TOLD_APART, detail="Not measured.")


def _within(text: str, difference: Gap, *, held: bool, contrary: bool, note: str = "") -> Claim:
    """Return a claim with a margin. A clear difference that is smaller than the margin does not speak against it."""
    verdict = Held.HELD if held else Held.NOT_HELD if contrary else Held.NOT_TOLD_APART
    detail = f"Difference {difference.words()}; margin {100 * MARGIN:.0f} points.{note}"
    return Claim(text=text, verdict=verdict, detail=detail)


def levels(results: Results, *places: tuple[str, At]) -> str:
    """Write the means at several places, as in "SFT 66.0 %, ILR 71.2 %"."""
    means = [(label, mean(results, at)) for label, at in places]
    return ", ".join(f"{label} {percent(value)}" for label, value in means if value is not None)


def in_setting(label: str) -> str:
    """Return a setting's name for the end of a claim."""
    return f" ({label})" if label else ""
