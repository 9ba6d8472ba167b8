"""Statistics of results: 95 % intervals, win rate, recovered gap. No function returns NaN.

The letters at the end of array names are their axes: S seeds, P prompts, D bootstrap draws. Digits are fixed sizes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from burnish.types import Verdict

# numpy and scipy are imported inside the functions: they are slow to import, and most commands compute no statistics.
if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""The confidence level of all intervals."""
Z95 = 1.959963984540054
"""The 0.975 quantile of the normal distribution."""
CHUNK = 500
"""How many bootstrap draws are weighted at once. 500 draws x 1,319 prompts x 8 bytes take 5 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its 95 % bounds.

    The bounds are None where a single value tells nothing about the spread. `n` is the number of items that the
    estimate is taken over.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Both bounds as (low, high), or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def wilson(successes: int, n: int) -> Interval:
    """Return a proportion with its Wilson score interval.

    Raises ValueError unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n} give no proportion; needed are 0 <= successes <= n and n > 0")
    # Wilson's interval stays inside [0, 1] and has a width even if all or none are successes.
    # By the same formula as in scipy.stats, which takes half a second to import.
    share, whole = successes / n, 2 * (n + Z95**2)
    middle = (2 * n * share + Z95**2) / whole
    half = Z95 / whole * math.sqrt(4 * n * share * (1 - share) + Z95**2)
    low, high = middle - half if successes else 0.0, middle + half if successes < n else 1.0
    return Interval(value=share, low=low, high=high, n=n)


def stratified_share(strata: Sequence[tuple[float, int, int]]) -> Interval:
    """Return a share among all items that is estimated from several strata, with an interval by the method MOVER.

    Each stratum is (the number of items that it stands for, successes, items that were looked at). The interval joins
    Wilson's bounds of the strata (Zou & Donner, Statistics in Medicine 27, 2008, p. 1693). With one stratum it is
    Wilson's. Raises ValueError if there is no stratum, or if one stands for nothing or has no proportion.
    """
    total = math.fsum(weight for weight, _, _ in strata)
    if not strata or min(weight for weight, _, _ in strata) <= 0:
        raise ValueError(f"{list(strata)}: these strata give no share; each must stand for some items")
    parts = [(weight / total, wilson(successes, n)) for weight, successes, n in strata]
    value = math.fsum(weight * part.value for weight, part in parts)
    # Wilson's interval always has bounds.
    down = math.fsum((weight * (part.value - (part.low or 0.0))) ** 2 for weight, part in parts)
    up = math.fsum((weight * ((part.high or 0.0) - part.value)) ** 2 for weight, part in parts)
    low, high = max(value - math.sqrt(down), 0.0), min(value + math.sqrt(up), 1.0)
    return Interval(value=value, low=low, high=high, n=sum(n for _, _, n in strata))


def harm_bound(harmed: int, sampled: int, changes: int, level: float) -> float:
    """Return an upper bound on the share of harmed changes, at confidence `level`.

    `harmed` of `sampled` changes, which were drawn at random from all `changes`, were found harmed. The bound is the
    one-sided bound of Clopper and Pearson. If all changes were judged, the share itself is returned; without any
    changes it is 0. Raises ValueError unless harmed <= sampled <= changes, and if there are changes but none was
    sampled.
    """
    from scipy.stats import beta  # noqa: PLC0415 slow to import

    if not 0 <= harmed <= sampled <= changes or (changes and not sampled):
        raise ValueError(f"{harmed} harmed of {sampled} judged of {changes} changes give no bound")
    if sampled == changes:
        return harmed / changes if changes else 0.0
    # beta.ppf has no value for a second parameter of 0, where the bound is 1.
    return 1.0 if harmed == sampled else float(beta.ppf(level, harmed + 1, sampled - harmed))


def paired_difference(both: int, first_only: int, second_only: int, neither: int) -> Interval:
    """Return the share of items that the second of two methods gets right, minus that of the first, on the same items.

    The arguments count the items that both, only the first, only the second, or neither gets right. The bounds are
    those of Newcombe's method 10 (Statistics in Medicine 17, 1998, p. 2635): Wilson's bounds of both shares, joined by
    their correlation phi with its continuity correction. Raises ValueError if a count is below 0 or there is no item.
    """
    n = both + first_only + second_only + neither
    if min(both, first_only, second_only, neither) < 0 or n == 0:
        raise ValueError(f"{both}, {first_only}, {second_only}, {neither}: these counts give no difference")
    first, second = wilson(both + first_only, n), wilson(both + second_only, n)
    bounds = (first.low, first.high, second.low, second.high)
    low_1, high_1, low_2, high_2 = (bound or 0.0 for bound in bounds)
    spread = math.sqrt((both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither))
    product = both * neither - first_only * second_only
    # The correction moves a positive correlation towards 0, so that the interval does not become too short.
    corrected = max(product - n / 2, 0.0) if product > 0 else product
    phi = corrected / spread if spread else 0.0

    def reach(down: float, up: float) -> float:
        # max: rounding may leave a tiny negative number
        return math.sqrt(max(down**2 - 2 * phi * down * up + up**2, 0.0))

    value = (second_only - first_only) / n
    low = value - reach(second.value - low_2, high_1 - first.value)
    return Interval(value=value, low=low, high=value + reach(high_2 - second.value, first.value - low_1), n=n)


def mean_interval(values: Sequence[float]) -> Interval:
    """Return a mean, usually over seeds, with its t interval. A single value has no bounds.

    Raises ValueError if there are no values or one is not finite.
    """
    from scipy.stats import t  # noqa: PLC0415 slow to import

    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"{list(values)}: these values have no mean; give at least one, all of them finite")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(value=mean, low=None, high=None, n=1)
    # n - 1: the mean is estimated from the same values.
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    # Student's t and not the normal distribution: there are only a few seeds.
    reach = float(t.ppf((1 + LEVEL) / 2, n - 1)) * math.sqrt(variance / n)
    return Interval(value=mean, low=mean - reach, high=mean + reach, n=n)


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Return sum(numerators) / sum(denominators) with a t interval by linearisation (the delta method).

    Use it for a mean per token from sums per sequence. The sequences are the independent items, and `n` is their
    number. Raises ValueError if the lists are empty or of unequal length, or if a denominator is not above 0.
    """
    if not numerators or len(numerators) != len(denominators) or min(denominators) <= 0:
        raise ValueError(
            f"{len(numerators)} numerators and {len(denominators)} denominators give no ratio; give as many of each, "
            "at least one, and only denominators above 0"
        )
    ratio = math.fsum(numerators) / math.fsum(denominators)
    mean = math.fsum(denominators) / len(denominators)
    # To first order the ratio's error is the mean of these residuals. Their mean is 0, so their bounds are distances
    # from the ratio.
    spread = mean_interval([(a - ratio * b) / mean for a, b in zip(numerators, denominators, strict=True)])
    low, high = (None if bound is None else ratio + bound for bound in (spread.low, spread.high))
    return Interval(value=ratio, low=low, high=high, n=spread.n)


def paired_bootstrap(differences: ArrayLike, draws: int = 10_000, seed: int = 0) -> Interval:
    """Return the mean difference between two methods with its percentile interval.

    `differences` has the shape seeds x prompts. Seeds and prompts are resampled independently of each other (crossed):
    within a draw, all seeds have the same prompts. With one seed only the prompts are resampled. `n` is S x P. Raises
    ValueError if the array is empty or not two-dimensional, or holds a value that is not finite.
    """
    import numpy as np  # noqa: PLC0415 slow to import

    difference_SP = np.asarray(differences, dtype=np.float64)
    if difference_SP.ndim != 2 or difference_SP.size == 0 or not np.isfinite(difference_SP).all():
        raise ValueError(
            f"differences: shape {difference_SP.shape} found; it must be seeds x prompts, finite and not empty"
        )
    value, n = float(difference_SP.mean()), difference_SP.size
    if n == 1:
        return Interval(value=value, low=None, high=None, n=1)
    seeds, prompts = difference_SP.shape
    # A draw is a weighted mean: how often each seed and each prompt was drawn are its weights. This avoids copying the
    # array for each draw.
    mean_D = np.concatenate(
        [
            ((count_DS / seeds @ difference_SP) * (count_DP / prompts)).sum(axis=1)
            for count_DS, count_DP in _resampled(seeds, prompts, draws, seed)
        ]
    )
    low, high = (float(bound) for bound in np.quantile(mean_D, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Interval(value=value, low=low, high=high, n=n)


@functools.lru_cache(maxsize=2)
def _resampled(seeds: int, prompts: int, draws: int, seed: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return chunks of draws: how often each seed and each prompt was drawn, with replacement.

    The result is cached, because drawing takes longer than all the rest and all differences of an experiment have the
    same shape. The counts have 16 bits, so 10,000 draws of 1,319 prompts take 26 MB.
    """
    import numpy as np  # noqa: PLC0415 slow to import

    # multinomial counts are the same as drawing indices with replacement, but smaller.
    generator = np.random.default_rng(seed)
    return [
        (
            generator.multinomial(seeds, [1 / seeds] * seeds, size=size).astype(np.uint16),
            generator.multinomial(prompts, [1 / prompts] * prompts, size=size).astype(np.uint16),
        )
        for size in (min(CHUNK, draws - start) for start in range(0, draws, CHUNK))
    ]


def win_rate(verdicts: Iterable[Verdict]) -> Interval | None:
    """Return how often B wins. A tie counts as half a win, and abstentions are left out.

    Return None if nothing was decided. The bounds are Wilson's, which needs whole counts. If the number of wins ends in
    a half, the lower bound is taken for the whole number below it, and the upper bound for the one above it.
    """
    # Count in half wins, so that the arithmetic stays in whole numbers.
    halves, n = 0, 0
    for verdict in verdicts:
        match verdict:
            case Verdict.A:
                n += 1
            case Verdict.TIE:
                n, halves = n + 1, halves + 1
            case Verdict.B:
                n, halves = n + 1, halves + 2
            case Verdict.ABSTAIN:
                pass
            case _:
                assert_never(verdict)
    if n == 0:
        return None
    return Interval(value=halves / 2 / n, low=wilson(halves // 2, n).low, high=wilson((halves + 1) // 2, n).high, n=n)


RIDGE = 1e-4
"""The weight of the penalty on both coefficients. It keeps them finite where one side always wins."""
EITHER_SIDE = 0.05
"""The smallest share of prompts that must lie on each side of equal length."""
STEPS, TOLERANCE = 50, 1e-10
"""The most Newton steps (about six are needed), and the step size at which the fit has converged."""


def length_controlled(p_wins: Sequence[float], longer_by: Sequence[float]) -> Interval | None:
    """Return the win rate that remains if both answers are equally long (Dubois et al., arXiv 2404.04475).

    For each prompt, `p_wins` is P(the model's answer is better) in [0, 1], and `longer_by` is the length of the model's
    answer minus that of the other answer. The function fits P = sigmoid(a + b tanh(longer_by / its standard deviation))
    and returns sigmoid(a). The bounds come from the sandwich estimate of the variance of a.

    Return None for fewer than two prompts. Also return None if fewer than one answer in twenty is at most as long as
    the other one, or at least as long: equal length then lies outside the data. Raises ValueError if the lists have
    unequal lengths.
    """
    import numpy as np  # noqa: PLC0415 slow to import

    if len(p_wins) != len(longer_by):
        raise ValueError(
            f"{len(p_wins)} probabilities and {len(longer_by)} lengths found; each prompt needs one of each"
        )
    on_rarer_side = min(sum(x <= 0 for x in longer_by), sum(x >= 0 for x in longer_by))
    if len(p_wins) < 2 or on_rarer_side < EITHER_SIDE * len(p_wins):
        return None
    won_P, longer_P = np.asarray(p_wins, dtype=np.float64), np.asarray(longer_by, dtype=np.float64)
    spread = float(longer_P.std())
    # If all differences are equal, the standard deviation is 0 and there is no slope to fit.
    lean_P = np.tanh(longer_P / spread) if spread > 0 else np.zeros_like(longer_P)
    design_P2 = np.stack([np.ones_like(lean_P), lean_P], axis=1)
    coefficient_2: NDArray[Any] = np.zeros(2)
    fitted_P, hessian_22 = _at(coefficient_2, design_P2)
    for _ in range(STEPS):
        # Newton's method on the penalised log-likelihood.
        gradient_2 = design_P2.T @ (won_P - fitted_P) - RIDGE * coefficient_2
        step_2: NDArray[Any] = np.linalg.solve(hessian_22, gradient_2)
        coefficient_2 = coefficient_2 + step_2
        fitted_P, hessian_22 = _at(coefficient_2, design_P2)
        if max(abs(float(part)) for part in step_2) < TOLERANCE:
            break
    scores_P2 = design_P2 * (won_P - fitted_P)[:, None]
    inverse_22 = np.linalg.inv(hessian_22)
    # The sandwich estimate does not assume that `p_wins` are 0 or 1 draws, which probabilities are not.
    deviation = math.sqrt(float((inverse_22 @ (scores_P2.T @ scores_P2) @ inverse_22)[0, 0]))
    # The interval is symmetric on the scale of a; the sigmoid keeps its ends in [0, 1].
    low, value, high = (_sigmoid(float(coefficient_2[0]) + z * deviation) for z in (-Z95, 0.0, Z95))
    return Interval(value=value, low=low, high=high, n=len(p_wins))


def _at(coefficient_2: NDArray[Any], design_P2: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the fitted probabilities and the Hessian of the penalised loss."""
    import numpy as np  # noqa: PLC0415 slow to import

    fitted_P = 1 / (1 + np.exp(-design_P2 @ coefficient_2))
    weight_P1 = (fitted_P * (1 - fitted_P))[:, None]
    return fitted_P, (design_P2 * weight_P1).T @ design_P2 + RIDGE * np.eye(2)


def _sigmoid(x: float) -> float:
    """Return the sigmoid of x. Each form is used where its exponent is at most 0, so that exp does not overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
