"""What results say about the course of a training with reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from burnish.lab.experiment import Outcome
from burnish.report.policies import STOPPED
from burnish.results import RlPoint
from burnish.steps.reinforcing import read_policy_curve
from burnish.store.files import as_mapping

P = TypeVar("P")
RL_POINTS = 100
"""How many points of the training curve of RL are kept in the results. A suite has thousands of steps."""


def thinned(points: Sequence[P], most: int) -> Sequence[P]:
    """Return at most `most` of the points, evenly spaced. The last point is always among them."""
    # Ceiling division, so that no more than `most` remain. `or 1` serves an empty curve, since a step of 0 is an error.
    step = -(-len(points) // most) or 1
    # Counted from the end, so that the last point stays.
    return points[::-1][::step][::-1]


def rl_curve(outcome: Outcome) -> tuple[RlPoint, ...]:
    """Return the training curve of RL, rounded to four decimals. It is empty for other trainings."""
    return tuple(
        RlPoint.model_validate(
            {name: round(value, 4) if isinstance(value, float) else value for name, value in as_mapping(point).items()}
        )
        for point in thinned(read_policy_curve(outcome.training), RL_POINTS)
    )


def rl_counts(training: Mapping[str, Any], outcome: Outcome) -> dict[str, int]:
    """Return the counts of a training with RL: its steps, whether it stopped at the bound of the KL, and how many
    comparisons rewarded its answers and gave the scale of the rewards. Other trainings have none.

    `training` is the record of the training.
    """
    if "passed_bound" not in training:
        return {}
    counts = {"rl_steps": len(read_policy_curve(outcome.training)), STOPPED: int(training["passed_bound"])}
    # Records from before the scale's comparisons were counted have no number of them.
    asked = training["asked"] + training.get("asked_for_scale", 0)
    return counts | ({"rewards_asked": asked} if asked else {})
