"""Built-in models on the real backend, for tests of it: bases, short finetunings and a few problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from burnish.backends import Progress
from burnish.config import DType, Execution, ModelConfig, TrainSettings
from burnish.models.card import ModelCard, Weights, write_card
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Message, Role, TrainingRow

pytest.importorskip("torch")

from burnish.backends.hf import HfBackend

STRONG = ModelConfig(source="builtin:strong", dtype=DType.FLOAT32)
QUICK = TrainSettings(epochs=1, learning_rate=1e-3, batch_size=16, lora=None)


class NoProgress:
    """Shows nothing."""

    def start(self, label: str, total: int, done: int = 0) -> None: ...

    def advance(self, amount: int) -> None: ...


def backend(progress: Progress | None = None, **execution: Any) -> HfBackend:
    """Return the backend on one thread of the CPU."""
    return HfBackend(Execution(device="cpu", threads=1, **execution), progress or NoProgress(), {})


def base(where: Path, model: ModelConfig = STRONG) -> Artifact:
    """Describe a base model in the folder `where`."""
    where.mkdir(parents=True, exist_ok=True)
    write_card(where, ModelCard(base=model, content="c", weights=Weights.BASE))
    return Artifact(path=str(where), kind="base", fingerprint="base")


def user(text: str) -> tuple[Message, ...]:
    """Return a prompt of one turn."""
    return (Message(role=Role.USER, content=text),)


PROBLEMS = generate(64, seed=5)
ROWS = [TrainingRow(id=str(i), prompt=user(p.question), completion=p.solution) for i, p in enumerate(PROBLEMS)]


def trained(where: Path, settings: TrainSettings = QUICK, model: ModelConfig = STRONG, **more: Any) -> Artifact:
    """Finetune a base model on the problems' solutions, into a folder below `where`."""
    start = base(where / "base", model)
    into = where / "model"
    into.mkdir()
    backend().train(start, ROWS, settings, 0, into, **more)
    return Artifact(path=str(into), kind="train", fingerprint="model")
