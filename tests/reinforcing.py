"""A policy and rewards for tests of reinforcement learning on the built-in model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from embedded import PROBLEMS, backend, user

from burnish.algorithms.reinforcement import PolicyPlan, PolicyTrained
from burnish.config import PolicyTraining, TrainSettings
from burnish.types import Artifact, Completion, Prompt

PROMPTS = [Prompt(id=f"p{n:02d}", messages=user(one.question)) for n, one in enumerate(PROBLEMS[:12])]


class Seen:
    """Gives rewards to answers, and remembers all answers of each step."""

    def __init__(self, reward: Callable[[Completion], float | None]) -> None:
        self.reward = reward
        self.steps: list[list[Completion]] = []

    def __call__(self, answers: Sequence[Completion]) -> list[float | None]:
        self.steps.append(list(answers))
        return [self.reward(one) for one in answers]


def shortness(answer: Completion) -> float:
    """Return a reward that any policy can raise: fewer tokens."""
    return -answer.tokens / 10


def plan(new: int = 24, **training: Any) -> PolicyPlan:
    """Return a training of a few steps of 4 prompts x 4 answers."""
    settings = PolicyTraining.model_validate({"steps": 3, "prompts": 4, "samples": 4, "learning_rate": 1e-3} | training)
    return PolicyPlan(training=settings, optimising=settings.optimising(TrainSettings(lora=None)), max_new_tokens=new)


def reinforced(
    policy: Artifact,
    into: Path,
    reward: Callable[[Completion], float | None] = shortness,
    new: int = 24,
    seed: int = 0,
    **training: Any,
) -> tuple[PolicyTrained, Seen]:
    """Train a policy as `plan` says."""
    seen = Seen(reward)
    into.mkdir(parents=True, exist_ok=True)
    return backend().train_policy(policy, PROMPTS, plan(new, **training), seen, seed, into), seen
