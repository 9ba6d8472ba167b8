"""Differences between methods, within one experiment or between two settings of it, and what they say of a claim."""

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
"""The results of an experiment's settings by their labels; one setting alone has the label ""."""

TEST = "test_accuracy"


@dataclass(frozen=True, slots=True)
class At:
    """A method after a round; without a round, after its last one. `metric` is what is read there."""

    method: str
    round: int | None = None
    metric: str = TEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A difference with its 95 % interval: a paired bootstrap over seeds and prompts, else a t interval over seeds."""

    value: float
    ci95: Bounds | None
    seeds: int

    @property
    def above(self) -> bool:
        """The interval lies above zero."""
        return relation_to_zero(self.ci95) is Relation.ABOVE

    @property
    def below(self) -> bool:
        """The interval lies below zero."""
        return relation_to_zero(self.ci95) is Relation.BELOW

    def words(self, share: bool = True) -> str:
        """Say the difference, its interval and the seeds."""
        write: Callable[[float], str] = signed_points if share else _plain
        interval = "no interval" if self.ci95 is None else f"{write(self.ci95[0])} to {write(self.ci95[1])}"
        return f"{write(self.value)}{' points' if share else ''} ({interval}), {plural(self.seeds, 'seed')}"


def _plain(value: float) -> str:
    return f"{value:+.2f}"


class Held(StrEnum):
    """How a claim fared."""

    HELD = "held"
    NOT_HELD = "not held"
    NOT_CLEAR = "not clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim, whether it held here, and by how much."""

    text: str
    verdict: Held
    detail: str


def by_seed(results: Results, at: At) -> dict[int, float]:
    """Return {seed: value} of a metric; empty where it was not measured."""
    number = round_of(results, at)
    return {
        run.seed: metric.value
        for run in results.runs
        if run.method == at.method and run.round == number
        if (metric := run.metrics.get(at.metric)) is not None and metric.value is not None
    }


def mean(results: Results, at: At) -> float | None:
    """Return the mean over seeds, None where nothing was measured."""
    values = by_seed(results, at)
    return sum(values.values()) / len(values) if values else None


def gap(results: Results, a: At, b: At) -> Gap | None:
    """Return a minus b within one experiment, None where either was not measured."""
    return _paired(results, a, b) or between(results, a, results, b)


def _paired(results: Results, a: At, b: At) -> Gap | None:
    if (a.metric, b.metric) != (TEST, TEST):
        return None
    row = results.paired_row(TEST, (a.method, round_of(results, a)), (b.method, round_of(results, b)))
    return None if row is None else Gap(value=row.difference, ci95=row.ci95, seeds=row.seeds)


def round_of(results: Results, at: At) -> int:
    """Return the round that is meant: the last one where none is named."""
    return last_round(results, at.method) if at.round is None else at.round


def last_round(results: Results, method: str) -> int:
    """Return the highest round of a method."""
    return max((run.round for run in results.runs if run.method == method), default=0)


def between(results_a: Results, a: At, results_b: Results, b: At) -> Gap | None:
    """Return a minus b, paired by seed, where they may stem from two settings."""
    return _over_seeds(by_seed(results_a, a), by_seed(results_b, b))


def gain_difference(results_a: Results, results_b: Results, method: str, base: str = "sft") -> Gap | None:
    """Return how much more a method gains over `base` in one setting than in another, paired by seed."""
    gains = [
        {seed: value - start[seed] for seed, value in by_seed(results, At(method)).items() if seed in start}
        for results in (results_a, results_b)
        for start in [by_seed(results, At(base, 0))]
    ]
    return _over_seeds(*gains)


def _over_seeds(a: Mapping[int, float], b: Mapping[int, float]) -> Gap | None:
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return None
    interval = mean_interval([a[seed] - b[seed] for seed in seeds])
    return Gap(value=interval.value, ci95=interval.ci95, seeds=len(seeds))


def above(text: str, found: Gap | None, share: bool = True) -> Claim:
    """Judge a claim that a difference is above zero."""
    if found is None:
        return Claim(text=text, verdict=Held.NOT_CLEAR, detail="Not measured.")
    verdict = Held.HELD if found.above else Held.NOT_HELD if found.below else Held.NOT_CLEAR
    return Claim(text=text, verdict=verdict, detail=f"Difference {found.words(share)}.")


def no_gain(text: str, found: Gap | None) -> Claim:
    """Judge a claim that nothing is gained: held unless the interval lies above zero; one that includes zero shows no
    gain, which is not the same as showing that there is none."""
    if found is None:
        return Claim(text=text, verdict=Held.NOT_CLEAR, detail="Not measured.")
    verdict = Held.NOT_HELD if found.above else Held.HELD
    harm = " It harms." if found.below else ""
    return Claim(text=text, verdict=verdict, detail=f"Difference {found.words()}.{harm}")


def levels(results: Results, *places: tuple[str, At]) -> str:
    """Say the means at some places: "SFT 66.0 %, ILR 71.2 %"."""
    found = [(label, mean(results, at)) for label, at in places]
    return ", ".join(f"{label} {percent(value)}" for label, value in found if value is not None)


def in_setting(label: str) -> str:
    """Name a setting at the end of a claim."""
    return f" ({label})" if label else ""
