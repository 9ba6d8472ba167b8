"""Calibration: does an annotator that says 80 % win 80 % of the time? One temperature makes its probabilities say so.

N counts the pairs whose better side is known and for which the annotator preferred a side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from burnish.algorithms.comparisons import logit_of, sigmoid
from burnish.algorithms.ledger_lines import BINS, bin_of

LEAST = 10
"""With fewer pairs no temperature is fitted."""
COLDEST, HOTTEST = 1e-4, 1e5
"""The bounds of the temperature. Means of log-probabilities per token differ by hundredths of a nat, sums by
hundreds."""
FOLDS = 20
"""In so many parts the pairs are cut to show calibrated probabilities of pairs that the temperature was not fitted
on."""


class Binned(NamedTuple):
    """The judgements in one bin of confidence: how many, how many of them were right, and their mean P(the preferred
    side is better), which is None if there are none."""

    n: int
    right: int
    mean_p: float | None


def fitted_temperature(logits: Sequence[float]) -> float | None:
    """Return the temperature T with which sigmoid(logit / T) fits best. Returns None for fewer than `LEAST` pairs.

    `logits` are the log-odds, in nats, that the annotator gives to the better side of each pair. They are below 0 where
    it was wrong, and never 0.

    This is temperature scaling (Guo et al. 2017) by maximum likelihood, with one change: the better side of each of N
    pairs has the target (N + 1) / (N + 2) and not 1 (Platt 1999). Without it, an annotator that is right on all pairs
    would be made certain of everything. With it, an annotator that is right on k pairs, always by the same logit, gets
    P = (k + 1) / (N + 2). If it is wrong more often than right, T is `HOTTEST`, and every P is close to one half.
    """
    logit_N = np.array(logits, dtype=np.float64)
    return None if len(logit_N) < LEAST else _fitted(logit_N)


def calibrated(p_b: float, temperature: float | None, logit: float | None = None) -> float:
    """Return P(b is better) after temperature scaling. `logit` is that of the preference, if the judge recorded one.

    Without a temperature, `p_b` is returned as it is. A temperature never changes which side is preferred, and never
    the order by confidence.
    """
    return p_b if temperature is None else sigmoid(logit_of(p_b, logit) / temperature)


def for_gate(temperature: float | None) -> float | None:
    """Return the temperature with which probabilities are compared with a gate: the fitted one, but at least 1.

    A temperature below 1 would let more proposals pass. It comes from planted pairs, and these may be easier to judge
    than proposals. In docs/results/real-noise a judge was right on 24 of 24 planted pairs and in 47.9 % of comparisons.
    """
    return None if temperature is None else max(1.0, temperature)


def calibrated_elsewhere(logits: Sequence[float]) -> list[float] | None:
    """Return P(the better side is better) of each pair, with the temperature that is fitted on other pairs.

    The pairs are cut into at most `FOLDS` parts, in turn. A temperature that is judged by the pairs on which it was
    fitted looks better than it is. Returns None for fewer than `LEAST` pairs.
    """
    logit_N = np.array(logits, dtype=np.float64)
    if len(logit_N) < LEAST:
        return None
    fold_N = np.arange(len(logit_N)) % FOLDS
    temperatures = {int(fold): _fitted(logit_N[fold_N != fold]) for fold in np.unique(fold_N)}
    return [sigmoid(logit / temperatures[place % FOLDS]) for place, logit in enumerate(logits)]


def binned(judged: Iterable[tuple[float, bool]]) -> list[Binned]:
    """Count judgements by confidence, in `BINS` bins of equal width from 0.5 to 1.

    A judgement is P(the preferred side is better), from 0.5 to 1, and whether the preferred side is the better one.
    """
    members: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for p, right in judged:
        members[bin_of(p - 0.5)].append((p, right))
    return [
        Binned(len(rows), sum(right for _, right in rows), math.fsum(p for p, _ in rows) / len(rows) if rows else None)
        for rows in members
    ]


def _fitted(logit_N: NDArray[np.float64]) -> float:
    """Return the temperature that fits, between `COLDEST` and `HOTTEST`."""
    target = (len(logit_N) + 1) / (len(logit_N) + 2)

    def slope(temperature: float) -> float:
        # The derivative of the log-likelihood by 1 / T. It falls with 1 / T, because the log-likelihood is concave.
        p_N = 0.5 * (1.0 + np.tanh(0.5 * logit_N / temperature))
        return float(np.sum(logit_N * (target - p_N)))

    cold, hot = math.log(COLDEST), math.log(HOTTEST)
    if slope(COLDEST) >= 0:
        return COLDEST
    if slope(HOTTEST) <= 0:
        return HOTTEST
    for _ in range(60):  # the distance, 21 at first, is then below the spacing of floats
        middle = (cold + hot) / 2
        if slope(math.exp(middle)) < 0:
            cold = middle
        else:
            hot = middle
    return math.exp((cold + hot) / 2)
