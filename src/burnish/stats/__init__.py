"""Statistics of results: intervals, tests of differences, variance components, win rates. No function returns NaN."""

from __future__ import annotations

from burnish.stats.components import SETUP, Component, variance_components
from burnish.stats.contrasts import (
    NO_WIDTH,
    ByCounts,
    ByT,
    InEachWorld,
    NoisePart,
    Uncertain,
    over_seeds,
    over_worlds,
    p_alike,
    p_differs,
    p_no_gain,
    paired_interval,
)
from burnish.stats.intervals import (
    LEVEL,
    Z95,
    Interval,
    harm_bound,
    mean_interval,
    median_interval,
    paired_difference,
    ratio_interval,
    share_interval,
    share_over_items,
    shares_interval,
    stratified_share,
    wilson,
)
from burnish.stats.multiplicity import benjamini_hochberg
from burnish.stats.win_rates import length_controlled, win_rate

__all__ = [
    "LEVEL",
    "NO_WIDTH",
    "SETUP",
    "Z95",
    "ByCounts",
    "ByT",
    "Component",
    "InEachWorld",
    "Interval",
    "NoisePart",
    "Uncertain",
    "benjamini_hochberg",
    "harm_bound",
    "length_controlled",
    "mean_interval",
    "median_interval",
    "over_seeds",
    "over_worlds",
    "p_alike",
    "p_differs",
    "p_no_gain",
    "paired_difference",
    "paired_interval",
    "ratio_interval",
    "share_interval",
    "share_over_items",
    "shares_interval",
    "stratified_share",
    "variance_components",
    "wilson",
    "win_rate",
]
