"""How often intervals cover the truth, in simulated experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from burnish.stats import Uncertain, over_seeds, over_worlds

DRAWS = 1500
EFFECT = 0.05


def graded(
    generator: np.random.Generator, seeds: int, prompts: int, orders: int, shift: float, spread: float
) -> list[NDArray[Any]]:
    """Right and wrong answers of a method: a prompt's difficulty, a seed's and an order's luck, then a draw."""
    difficulty_P = generator.normal(size=prompts)
    luck_SO1 = spread * generator.normal(size=(2, seeds, 1, 1)) + spread * generator.normal(size=(2, seeds, orders, 1))
    sides: list[NDArray[Any]] = []
    for luck, add in zip(luck_SO1, (shift, 0.0), strict=True):
        chance_SOP: NDArray[Any] = np.clip(0.6 + 0.2 * difficulty_P + luck + add, 0, 1)
        right_SOP: NDArray[Any] = np.asarray(generator.random(chance_SOP.shape) < chance_SOP)
        sides.append(right_SOP.mean(axis=1))
    return sides


def truth(shift: float, spread: float) -> float:
    """The expected difference, by a large simulation: chances are cut to [0, 1]."""
    a, b = graded(np.random.default_rng(99), 400, 2000, 1, shift, spread)
    return float(a.mean() - b.mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "orders", "prompts", "spread"), [(3, 1, 100, 0.03), (2, 3, 200, 0.03), (5, 3, 100, 0.03), (8, 1, 60, 0.0)]
)
def test_the_interval_over_seeds_covers_the_truth(seeds: int, orders: int, prompts: int, spread: float) -> None:
    generator, right = np.random.default_rng(3), truth(EFFECT, spread)
    inside = 0
    for _ in range(DRAWS):
        low, high = over_seeds(*graded(generator, seeds, prompts, orders, EFFECT, spread)).bounds()
        inside += low <= right <= high
    # 0.95 less three standard errors of a share over the draws (0.0056 each)
    assert inside / DRAWS > 0.933
    assert inside / DRAWS < 0.999  # an interval that always covers would be of no use


@pytest.mark.slow
def test_one_seed_covers_other_prompts() -> None:
    generator, right = np.random.default_rng(4), truth(EFFECT, 0.0)
    inside = 0
    for _ in range(DRAWS):
        low, high = over_seeds(*graded(generator, 1, 100, 1, EFFECT, 0.0)).bounds()
        inside += low <= right <= high
    assert inside / DRAWS > 0.933


@pytest.mark.slow
@pytest.mark.parametrize("worlds", [2, 4])
def test_worlds_that_differ_are_covered(worlds: int) -> None:
    generator = np.random.default_rng(5)
    inside = 0
    for _ in range(DRAWS):
        effects = EFFECT + 0.03 * generator.normal(size=worlds)
        # A world's effect with the noise of five seeds, as normal differences: nothing is cut, so the truth is known.
        found = over_worlds([_measured(generator, effect) for effect in effects])
        low, high = found.bounds()
        # Over many worlds the interval is for the mean of all worlds; over a few it is for the mean of these.
        target = EFFECT if worlds >= 4 else float(np.mean(effects))
        inside += low <= target <= high
    assert inside / DRAWS > 0.933


def _measured(generator: np.random.Generator, effect: float) -> Uncertain:
    seeds, prompts = 5, 40
    difference_SP = (
        effect
        + 0.02 * generator.normal(size=(seeds, 1))
        + 0.1 * generator.normal(size=(1, prompts))
        + 0.1 * generator.normal(size=(seeds, prompts))
    )
    # Shares around one half, so that both sides stay in [0, 1].
    return over_seeds(np.clip(0.5 + difference_SP / 2, 0, 1), np.clip(0.5 - difference_SP / 2, 0, 1))
