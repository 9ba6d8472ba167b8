"""The settings of the training of a reward model."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from burnish.config.base import NotNegative, Seed, Settings, number_from_text
from burnish.config.lab import Execution
from burnish.config.models import LoraConfig, Model, TrainSettings


class RewardTraining(Settings):
    """How a reward model is trained and tested."""

    model: Model
    """The base model. It gets a head with one number."""
    train: TrainSettings
    """How it is trained. A row is a pair of answers."""
    centring: NotNegative = 0.01
    """The weight of the square of the sum of both rewards in the loss, which keeps rewards near 0 (Eisenstein et al.,
    arXiv 2312.09244). 0 leaves it out."""
    held_out: Annotated[float, BeforeValidator(number_from_text), Field(ge=0, lt=1)] = 0.1
    """The share of the prompts whose pairs are not trained on. The reward model is tested on them."""
    seed: Seed = 0
    """The seed of the new head, of the order of the pairs and of which prompts are held out."""
    execution: Execution = Execution()
    """Settings that do not change results."""


BUILTIN = TrainSettings(epochs=3, learning_rate=2e-3, batch_size=32, lora=None)
"""The defaults for built-in models. All weights are trained."""
REAL = TrainSettings(epochs=1, learning_rate=1e-4, batch_size=32, lora=LoraConfig(r=16, alpha=32))
"""The defaults for other models: one pass, as in the released code of the SEAM paper, and TRL's learning rate."""
