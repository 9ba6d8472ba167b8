"""The settings of an experiment on SEAM: policies and reward models of several sizes, and sources of worse answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from burnish.config.base import Count, Name, PositiveFloat, Repeats, Seed, Settings
from burnish.config.lab import Execution
from burnish.config.models import Model, TrainSettings
from burnish.config.perturbations import AnyPerturbation
from burnish.config.tasks import AnyTask

Sizes = Annotated[tuple[Count, ...], Field(min_length=1)]


class SeamStudy(Settings):
    """Every policy with every reward model, on the task's test prompts: mismatch, and SEAM by each source."""

    name: Name
    """The name of the experiment."""
    task: AnyTask
    """The prompts and their gold answers."""
    base: Model
    """The base model of the policies and of the reward models."""
    rejected_by: Model
    """The model whose wrong answers are the rejected ones of the pairs. It learns from the smallest policy's rows."""
    policies: Sizes
    """How many gold rows each policy is trained on."""
    rewards: Sizes
    """How many pairs each reward model is trained on, at most."""
    sources: Annotated[tuple[AnyPerturbation, ...], Field(min_length=1)]
    """The sources of worse answers."""
    worse: Count = 8
    """Worse answers of a prompt."""
    samples: Repeats = 8
    """Answers of a policy to a prompt, drawn at temperature 1, from which the mismatch is counted."""
    max_new_tokens: Count = 48
    """The most tokens of an answer."""
    train: TrainSettings
    """How policies are trained."""
    train_rewards: TrainSettings
    """How reward models are trained."""
    centring: PositiveFloat = 0.01
    """As in the training of a reward model."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    """Each seed has rows, trainings and samples of its own."""
    execution: Execution = Execution()
    """Settings that do not change results."""
