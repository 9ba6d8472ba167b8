"""Reinforcement learning over rounds: RLOO or GRPO on a reward, also after refinement (section 7, future work)."""

from __future__ import annotations

from burnish.config import RlMethod
from burnish.methods.ilr import ilr
from burnish.methods.sft import start
from burnish.steps.reinforcing import PolicyRound, reinforce
from burnish.steps.reward_sources import RewardPlan, Wanted, reward_plan
from burnish.steps.setting import Round, Setting
from burnish.types import Artifact


def rl(setting: Setting, method: RlMethod) -> list[Round]:
    """Train K times on rewards of the policy's own answers. The labels never change."""
    # `after` refines the labels first. RL then continues from the last model of ILR (section 7, future work).
    rounds = ilr(setting, method.after) if method.after else [start(setting, setting.demonstrations)]
    policy, labels = rounds[-1].model, rounds[-1].demonstrations
    before = len(rounds)
    for earlier in range(method.rounds):
        k = before + earlier
        sources = _sources(setting, method, policy, labels, k)
        policy = reinforce(
            PolicyRound(setting=setting, method=method, policy=policy, sources=sources, number=k, earlier=earlier)
        )
        compared = next((one.compared for one in sources if one.compared is not None), None)
        rounds.append(Round(number=k, model=policy, demonstrations=labels, compared=compared))
    return rounds


def _sources(
    setting: Setting, method: RlMethod, policy: Artifact, labels: Artifact, number: int
) -> tuple[RewardPlan, ...]:
    """Plan the sources of the rewards of a round."""
    return tuple(
        reward_plan(
            one,
            Wanted(setting=setting, method=method, policy=policy, labels=labels, number=number, field=field),
        )
        for field, one in method.reward.placed_members("reward").items()
    )
