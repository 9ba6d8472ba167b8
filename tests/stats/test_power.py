"""The power of paired comparisons over seeds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from burnish.stats.power import deviation_of, paired_power, seeds_needed


def test_no_effect_is_found_as_often_as_the_level_says() -> None:
    assert paired_power(0.0, 1.0, 10) == pytest.approx(0.05, abs=1e-3)
    assert paired_power(0.0, 1.0, 10, level=0.01) == pytest.approx(0.01, abs=1e-3)
    assert paired_power(50.0, 1.0, 20) == pytest.approx(1.0)


def test_values_of_a_textbook() -> None:
    # Cohen (1988) and G*Power 3: a paired t test with effect size 0.5 and power .8 needs 34 pairs; 0.8 needs 15.
    assert seeds_needed(0.5, 1.0) == 34
    assert seeds_needed(0.8, 1.0) == 15
    assert seeds_needed(8.0, 10.0) == 15
    assert seeds_needed(0.001, 1.0) is None


def test_it_is_what_a_simulation_finds() -> None:
    drawn = np.random.default_rng(0).normal(1.0, 1.5, size=(20_000, 8))
    t: NDArray[np.float64] = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1) * np.sqrt(8)
    # 2.365 is the 0.975 quantile of t with 7 degrees of freedom.
    assert float(np.mean(np.abs(t) > 2.3646)) == pytest.approx(paired_power(1.0, 1.5, 8), abs=0.01)


def test_the_deviation_of_an_interval() -> None:
    # t with 9 degrees of freedom is 2.262; the half width of a deviation of 2 over 10 seeds is 2.262 * 2 / sqrt(10).
    assert deviation_of(2.2622 * 2 / np.sqrt(10), 10) == pytest.approx(2.0, abs=1e-3)


def test_too_few_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 seeds"):
        paired_power(1.0, 1.0, 1)
