"""The results of experiments with reinforcement learning (RL): one row for each arm and seed."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from burnish.results import Metric, Natural, Record

TRUTH = "truth"
"""What stands in the place of a reward model for the true reward, which the checker gives."""


class PolicyAnswers(Record):
    """What a policy answers to the test prompts."""

    sampled: Metric
    """Share of right answers among samples at temperature 1."""
    greedy: Metric
    """Share of right greedy answers."""
    mismatch: Metric | None
    """Share of pairs of a right and a wrong sample that the reward model misjudges; null for the true reward."""


class StepPoint(Record):
    """One step of a training with RL, on the answers before the policy learned from them."""

    step: Natural
    """The number of the step."""
    reward: float | None
    """Their mean reward, standardised by the answers of the first policy."""
    accuracy: float | None
    """The share that is right."""
    kl: float
    """The mean KL of an answer from the first policy, in nats."""


class ArmResult(Record):
    """A policy that was trained with RL in one way, of one seed."""

    seed: int
    policy: Natural
    """How many gold rows the policy was trained on before."""
    reward: str
    """What rewarded it: the number of pairs of the reward model, or `truth`."""
    arm: str
    """The name of the arm, or "" where policy and reward say all."""
    prompts: Natural
    """How many prompts it was trained on."""
    off_policy: Metric | None
    """Accuracy of the reward model on held-out pairs of the kind on which it was trained; null for the true reward."""
    before: PolicyAnswers
    """The policy before RL."""
    after: PolicyAnswers
    """The policy after RL."""
    steps: Natural
    """Steps that were done. They are fewer than those of the config if the KL passed its bound."""
    curve: list[StepPoint]
    """Some steps of the training, evenly spaced, with the first one and the last one."""


class ArmResults(Record):
    """All arms of an experiment."""

    name: str
    """The name of the experiment."""
    arms: list[ArmResult]
    """The arms, by seed."""


class Quantity(StrEnum):
    """A number of an arm."""

    SAMPLED = "sampled"
    """Accuracy of samples after RL."""
    GREEDY = "greedy"
    """Accuracy of greedy answers after RL."""
    GAIN = "gain"
    """Accuracy of samples after RL minus that before."""
    MISMATCH = "mismatch"
    """The mismatch on the samples of the policy before RL."""
    MISMATCH_RISE = "mismatch_rise"
    """The mismatch after RL minus that before."""
    OFF_POLICY = "off_policy"
    """Accuracy of the reward model on held-out pairs."""


def quantity(arm: ArmResult, wanted: Quantity) -> float | None:
    """Return a number of an arm, or None if it could not be measured."""
    match wanted:
        case Quantity.SAMPLED:
            found = arm.after.sampled.value
        case Quantity.GREEDY:
            found = arm.after.greedy.value
        case Quantity.GAIN:
            found = _difference(arm.after.sampled, arm.before.sampled)
        case Quantity.MISMATCH:
            found = None if arm.before.mismatch is None else arm.before.mismatch.value
        case Quantity.MISMATCH_RISE:
            found = _difference(arm.after.mismatch, arm.before.mismatch)
        case Quantity.OFF_POLICY:
            found = None if arm.off_policy is None else arm.off_policy.value
        case _:
            assert_never(wanted)
    return found


def _difference(one: Metric | None, other: Metric | None) -> float | None:
    if one is None or other is None or one.value is None or other.value is None:
        return None
    return one.value - other.value
