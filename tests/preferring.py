"""Preferences on the built-in model, for tests of preference training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from embedded import PROBLEMS, QUICK, backend, user

from burnish.backends.dpo import PreferenceTraining
from burnish.config import LoraConfig, Objective, TrainSettings
from burnish.protocols import Trained
from burnish.types import Artifact, PreferenceRow

SETTINGS = TrainSettings(epochs=1, learning_rate=2e-5, batch_size=8, lora=None)
LORA = QUICK.model_copy(update={"lora": LoraConfig(r=4, alpha=8), "learning_rate": 1e-2})
PLAIN = Objective()
RIGHT_AND_WRONG = [
    PreferenceRow(id=f"{i}#0", prompt=user(p.question), chosen=p.solution, rejected=f"#### {p.answer + 1}")
    for i, p in enumerate(PROBLEMS[:32])
]


def training(
    model: Artifact, objective: Objective = PLAIN, settings: TrainSettings = SETTINGS, **execution: Any
) -> PreferenceTraining:
    return PreferenceTraining(Path(model.path), settings, objective, 0, backend(**execution).runtime)


def optimized(
    model: Artifact, into: Path, settings: TrainSettings = SETTINGS, seed: int = 0, **execution: Any
) -> Trained:
    into.mkdir()
    return backend(**execution).train_preferences(model, RIGHT_AND_WRONG, settings, PLAIN, seed, into)
