"""The simulation of intervals: experiments are what they are said to be, and an interval that is too short is found."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from interval_coverage import GAIN, Design, bootstrap, coverage, graded, truth


def test_simulated_grades_are_means_over_orders() -> None:
    a, b = graded(np.random.default_rng(0), Design(seeds=3, orders=2, prompts=40, luck=0.1))
    assert a.shape == b.shape == (3, 40)
    assert {*np.unique(a)} <= {0.0, 0.5, 1.0}


def test_a_bootstrap_of_equal_differences_has_no_width() -> None:
    assert bootstrap(np.zeros((2, 30)), np.random.default_rng(0)) == (0.0, 0.0)


@pytest.mark.slow
def test_the_truth_is_near_the_gain_and_short_intervals_are_found() -> None:
    assert truth(0.0) == pytest.approx(GAIN, abs=0.01)  # a little less, since chances are cut to [0, 1]
    found = coverage(Design(seeds=2, orders=1, prompts=60, luck=0.1), 60)
    assert found["burnish"]["covers"] > 0.9 > found["crossed bootstrap"]["covers"]
