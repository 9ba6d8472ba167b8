"""Win rates: how often one of two answers is preferred, as it is and with the length of answers held equal.

The letter P at the end of array names stands for prompts. Digits are fixed sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, assert_never

from burnish.stats.intervals import Z95, Interval, wilson
from burnish.types import Verdict

# numpy is imported inside the functions: it is slow to import, and most commands compute no statistics.
if TYPE_CHECKING:
    from numpy.typing import NDArray


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
