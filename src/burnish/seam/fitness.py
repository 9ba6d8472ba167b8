"""Whether a reward model is fit for a policy: what was measured, and a verdict in plain sentences.

The bounds are ours. The paper (arXiv 2406.07971) reports that reward models misjudge 35 % of the policy's own answers,
and that this is a problem. So a reward model is called fit if it is right on more than 65 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import assert_never

from burnish.algorithms.mismatch import correlation_interval
from burnish.report.text import percent, percent_range, plural, terminal
from burnish.results import Metric, Record

LEAST_RIGHT = 0.65
"""A reward model must be right on a larger share of pairs. It is 1 minus the paper's mismatch of 35 %."""
MOST_LENGTH = 0.5
"""The rank correlation of the reward with the length must lie between minus and plus this bound."""


class Check(StrEnum):
    """What is checked."""

    HELD_OUT = "held_out"
    """Pairs that the reward model was not trained on."""
    OWN_ANSWERS = "own_answers"
    """Pairs of a right and a wrong answer of the policy itself."""
    NEAR_MISSES = "near_misses"
    """Gold answers against the same answers with a small mistake."""
    LENGTH = "length"
    """Whether the reward follows the length."""


class Fit(StrEnum):
    """The verdict of a check, and of all checks together."""

    FIT = "fit"
    NOT_FIT = "not_fit"
    UNCLEAR = "unclear"
    """The interval holds the bound: more prompts or pairs are needed."""
    NOT_MEASURED = "not_measured"


class CheckResult(Record):
    """The result of one check."""

    check: Check
    verdict: Fit
    measured: Metric
    """The share of pairs in which the better answer has the higher reward; equal rewards count as half. For `length`,
    the rank correlation of the reward with the length."""
    least: float | None
    """The bound that the share must exceed; null for `length`."""
    most: float | None
    """The bound that the correlation must not reach, whatever its sign; null for all other checks."""


class FitReport(Record):
    """Whether a reward model is fit for a policy."""

    reward: str
    """The reward model, as it was named."""
    policy: str | None
    """The policy, as it was named; null without one."""
    verdict: Fit
    """`not_fit` if one check says so, `fit` if all of them say so, and else `unclear`. A check that was not made makes
    it `unclear`, too."""
    checks: list[CheckResult]
    """The checks, in the order of `Check`."""
    notes: list[str]
    """What was met while they were made."""

    def words(self) -> Iterator[str]:
        """Yield the report as sentences for a terminal."""
        policy = "a policy" if self.policy is None else f"the policy {terminal(self.policy)}"
        yield f"{terminal(self.reward)} {FITS[self.verdict]} {policy}."
        yield from (f"  {sentence(one)}" for one in self.checks)
        yield from (f"  note: {terminal(note)}" for note in self.notes)


FITS = {
    Fit.FIT: "is fit for",
    Fit.NOT_FIT: "is not fit for",
    Fit.UNCLEAR: "may or may not be fit for",
    Fit.NOT_MEASURED: "was not measured for",
}
"""What each verdict is called where people read it."""
_MISSING = {
    Check.HELD_OUT: "It was not tested on held-out pairs: give some with --pairs.",
    Check.OWN_ANSWERS: "It was not tested on a policy's own answers: name --prompts, --policy and --checker.",
    Check.NEAR_MISSES: "It was not tested on near misses: name --prompts and --policy.",
    Check.LENGTH: "Whether it looks at the length is not known: give pairs of different lengths with --pairs.",
}
_ON = {
    Check.HELD_OUT: "pairs that it was not trained on",
    Check.OWN_ANSWERS: "pairs of the policy's own answers",
    Check.NEAR_MISSES: "pairs of a gold answer and the same answer with a small mistake",
}


def by_share(check: Check, measured: Metric) -> CheckResult:
    """Judge a share of right pairs by its interval. Without an interval, the verdict is `unclear`."""
    verdict = Fit.UNCLEAR
    if measured.value is None:
        verdict = Fit.NOT_MEASURED
    elif measured.ci95 is not None and measured.ci95[0] > LEAST_RIGHT:
        verdict = Fit.FIT
    elif measured.ci95 is not None and measured.ci95[1] <= LEAST_RIGHT:
        verdict = Fit.NOT_FIT
    return CheckResult(check=check, verdict=verdict, measured=measured, least=LEAST_RIGHT, most=None)


def by_length(correlation: float | None, pairs: int, prompts: int | None = None) -> CheckResult:
    """Judge the rank correlation of the reward with the length over so many pairs, by its interval.

    The pairs of one prompt depend on each other, so the interval is that of as many items as there are `prompts`, which
    makes it too wide rather than too short. If their number is not known, each pair counts as a prompt. With fewer than
    four of them there is no interval, and the verdict is `unclear`.
    """
    measured = Metric(value=None, n=pairs, ci95=None)
    if correlation is not None:
        found = correlation_interval(correlation, pairs if prompts is None else prompts)
        measured = Metric(value=found.value, n=pairs, ci95=found.ci95)
    if measured.value is None:
        verdict = Fit.NOT_MEASURED
    elif measured.ci95 is None:
        verdict = Fit.UNCLEAR
    else:
        low, high = measured.ci95
        inside, outside = low > -MOST_LENGTH and high < MOST_LENGTH, low >= MOST_LENGTH or high <= -MOST_LENGTH
        verdict = Fit.FIT if inside else Fit.NOT_FIT if outside else Fit.UNCLEAR
    return CheckResult(check=Check.LENGTH, verdict=verdict, measured=measured, least=None, most=MOST_LENGTH)


def together(checks: Sequence[CheckResult]) -> Fit:
    """Return the verdict of all checks."""
    verdicts = {one.verdict for one in checks}
    if Fit.NOT_FIT in verdicts:
        return Fit.NOT_FIT
    if verdicts == {Fit.NOT_MEASURED}:
        return Fit.NOT_MEASURED
    return Fit.FIT if verdicts == {Fit.FIT} else Fit.UNCLEAR


def sentence(one: CheckResult) -> str:
    """Return the result of a check as a sentence for people."""
    value, bounds = one.measured.value, one.measured.ci95
    if value is None:
        return _MISSING[one.check]
    if one.check is Check.LENGTH:
        interval = "" if bounds is None else f"95 % interval {bounds[0]:.2f} to {bounds[1]:.2f}, "
        amount = f"The rank correlation of its reward with the length is {value:.2f}"
        return f"{amount} ({interval}{plural(one.measured.n, 'pair')}): {_followed(one.verdict)}."
    interval = "" if bounds is None else f"95 % interval {percent_range(bounds)}, "
    items = "pair" if one.check is Check.HELD_OUT else "prompt"
    amount = f"It is right on {percent(value)} of {_ON[one.check]} ({interval}{plural(one.measured.n, items)})"
    return f"{amount}: {_beside(one.verdict)} {percent(LEAST_RIGHT)}."


def _followed(verdict: Fit) -> str:
    """Return whether the reward follows the length."""
    match verdict:
        case Fit.FIT:
            return f"nearer to 0 than {MOST_LENGTH}"
        case Fit.NOT_FIT:
            return f"{MOST_LENGTH} or more away from 0, so it looks at the length"
        case Fit.UNCLEAR | Fit.NOT_MEASURED:
            return f"it cannot be told whether it is nearer to 0 than {MOST_LENGTH}"
        case _:
            assert_never(verdict)


def _beside(verdict: Fit) -> str:
    """Return how a share lies beside the bound."""
    match verdict:
        case Fit.FIT:
            return "more than"
        case Fit.NOT_FIT:
            return "not more than"
        case Fit.UNCLEAR | Fit.NOT_MEASURED:
            return "it cannot be told whether that is more than"
        case _:
            assert_never(verdict)
