"""The arithmetic of rewards in reinforcement learning, and what a training reports.

A source of rewards gives each answer one number. It is standardised, weighted, cut and made smaller for long answers
here. The penalty for KL is subtracted by the algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from burnish.config import PolicyTraining, TrainSettings
from burnish.types import Completion

Rewards: TypeAlias = Callable[[Sequence[Completion]], Sequence[float | None]]
"""Returns the reward of each answer of a step, or None for an answer without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPlan:
    """How a policy is trained with RL: the settings of RL, those of the optimiser, and the most tokens of an answer."""

    training: PolicyTraining
    optimising: TrainSettings
    max_new_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTrained:
    """The cost and the course of a training with RL.

    `tokens` are those of all prompts and answers that were trained on. `kls` has the mean KL(policy || reference) of an
    answer in nats for each step that was done. RLOO measures it on the answers of the step, before the policy learned
    from them, and GRPO during the passes over them. `passed_bound` is true if the training stopped because the last of
    them was above `max_kl`.
    """

    tokens: int
    kls: tuple[float, ...]
    passed_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPoint:
    """The answers of one step of RL (from 1), before the policy learned from them.

    `reward` is the mean reward that the policy is trained on, without the penalty for KL, and None if no answer has
    one. `accuracy` is the share of right answers, or None if the rows have no references. `kl` is the mean KL(policy ||
    reference) of an answer in nats, `length` its mean number of tokens with its end. `unfinished` is the share of
    answers that were cut, and `unscored` the share that has no reward. `flat` is the share of prompts whose answers all
    have the same reward, so that nothing can be learned from them.
    """

    step: int
    reward: float | None
    accuracy: float | None
    kl: float
    length: float
    unfinished: float
    unscored: float
    flat: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScale:
    """The mean and the standard deviation by which the rewards of a source are standardised."""

    mean: float = 0.0
    sd: float = 1.0

    def standardized(self, reward: float) -> float:
        """Return a reward in standard deviations from the mean."""
        return (reward - self.mean) / self.sd


def scale_of(rewards: Sequence[float]) -> RewardScale:
    """Return the scale of a source from its rewards of some answers.

    If all of them are equal, they say nothing about the scale. Then only the mean is subtracted.
    """
    mean = math.fsum(rewards) / len(rewards)
    sd = math.sqrt(math.fsum((one - mean) ** 2 for one in rewards) / len(rewards))
    # The sum of rounding errors is no spread.
    return RewardScale(mean=mean, sd=sd if sd > 1e-9 * max(1.0, abs(mean)) else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """How the rewards of the sources of an answer become the reward that the policy is trained on.

    `weights` and `scales` are those of the sources. `clip`, if given, cuts the reward to plus and minus this.
    `length_penalty` is subtracted for each token. `unfinished` is the reward of an answer that was cut.
    """

    weights: tuple[float, ...]
    scales: tuple[RewardScale, ...]
    clip: float | None
    length_penalty: float
    unfinished: float

    def shaped(self, answer: Completion, rewards: Sequence[float | None]) -> float | None:
        """Return the reward of an answer, or None if a source has no reward for it.

        `rewards` are those of the sources. They are not read if the answer was cut.
        """
        if not answer.finished:
            total = self.unfinished
        else:
            found = [one for one in rewards if one is not None]
            # A sum without one of its parts would have another scale than that of the other answers.
            if len(found) < len(self.weights):
                return None
            parts = zip(self.weights, self.scales, found, strict=True)
            total = math.fsum(weight * scale.standardized(one) for weight, scale, one in parts)
        if self.clip is not None:
            total = min(max(total, -self.clip), self.clip)
        return total - self.length_penalty * answer.tokens


def point_of(
    step: int, answers: Sequence[Completion], rewards: Sequence[float | None], right: Sequence[bool] | None, kl: float
) -> PolicyPoint:
    """Return the point of the training curve for the answers of a step."""
    scored, count = [one for one in rewards if one is not None], len(answers)
    groups: dict[str, list[float | None]] = {}
    for answer, reward in zip(answers, rewards, strict=True):
        groups.setdefault(answer.id, []).append(reward)
    return PolicyPoint(
        step=step,
        reward=math.fsum(scored) / len(scored) if scored else None,
        accuracy=None if right is None else sum(right) / count,
        kl=kl,
        length=sum(answer.tokens for answer in answers) / count,
        unfinished=sum(not answer.finished for answer in answers) / count,
        unscored=1 - len(scored) / count,
        flat=sum(is_flat(group) for group in groups.values()) / len(groups),
    )


def is_flat(rewards: Sequence[float | None]) -> bool:
    """Say whether nothing can be learned from the answers to a prompt, because those that have a reward have the
    same."""
    found = [one for one in rewards if one is not None]
    return not found or max(found) - min(found) <= 1e-9 * max(1.0, abs(found[0]))
