"""The models, rows and settings that the speed benchmarks share."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import torch
from bench_time import Spent, now

from burnish.backends.device import choose_dtype, torch_dtype
from burnish.backends.load import load_base, renderer_of
from burnish.config import DType, Execution, LoraConfig, ModelConfig, TrainSettings
from burnish.models.card import ModelCard, Weights, write_card
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Message, Prompt, Role, TrainingRow

CPU = torch.device("cpu")
BUILTIN = "builtin:"


class Clock:
    """Notes when each step ended, as the progress of a backend."""

    def __init__(self) -> None:
        self.ends: list[Spent] = []

    def start(self, label: str, total: int, done: int = 0) -> None:
        """A piece of work begins: only its own steps count."""
        self.ends = []

    def advance(self, amount: int) -> None:
        """A step has ended."""
        self.ends.append(now())


def backend_of(clock: Clock | None = None) -> Any:
    """Return burnish's backend on the CPU."""
    from burnish.backends.hf import HfBackend  # imported late: it needs TRL, which takes seconds

    return HfBackend(Execution(device="cpu"), clock or Clock(), {})


def prepared(source: str, into: Path) -> ModelConfig:
    """Return the model to measure: a built-in one, or a copy in a folder in the format that is fast here.

    A GGUF file takes 20 seconds to read, because its weights are turned back into ordinary numbers. A copy takes one.
    Both sides read the copy, so that a small share of the rows does not measure the reading.
    """
    if source.startswith(BUILTIN):
        return ModelConfig(source=source, dtype=DType.FLOAT32)
    given = ModelConfig(source=source, dtype=choose_dtype(CPU))
    model = load_base(given, torch_dtype(given.dtype), labels=None)
    model.save_pretrained(into)
    renderer_of(given).tokenizer.save_pretrained(into)
    return given.model_copy(update={"source": str(into)})


def as_artifact(config: ModelConfig, place: Path) -> Artifact:
    """Describe a base model in the folder `place`, as the stage `base` does."""
    place.mkdir(parents=True, exist_ok=True)
    write_card(place, ModelCard(base=config, content="", weights=Weights.BASE))
    return Artifact(path=str(place), kind="base", fingerprint=str(place))


def settings_of(config: ModelConfig, batch_size: int, epochs: float = 1) -> TrainSettings:
    """Return how a model is trained: all weights of a built-in one, an adapter of every other one."""
    lora = None if config.source.startswith(BUILTIN) else LoraConfig(r=16, alpha=32)
    return TrainSettings(epochs=epochs, learning_rate=1e-3, batch_size=batch_size, lora=lora)


def rows_of(count: int, data: Path | None = None) -> list[TrainingRow]:
    """Return generated word problems with their solutions, or a sample of a file with `question` and `answer`."""
    if data is None:
        pairs = [(problem.question, problem.solution) for problem in generate(count, 1)]
    else:
        text = gzip.decompress(data.read_bytes()) if data.suffix == ".gz" else data.read_bytes()
        found = [json.loads(line) for line in text.splitlines()]
        pairs = [(row["question"], row["answer"]) for row in random.Random(0).sample(found, count)]
    return [
        TrainingRow(id=f"{number:05d}", prompt=(Message(role=Role.USER, content=question),), completion=answer)
        for number, (question, answer) in enumerate(pairs)
    ]


def prompts_of(rows: list[TrainingRow]) -> list[Prompt]:
    """Return the rows' prompts."""
    return [Prompt(id=row.id, messages=row.prompt) for row in rows]


def tokens_of(config: ModelConfig, rows: list[TrainingRow]) -> int:
    """Return how many tokens the rows have, without padding."""
    renderer = renderer_of(config)
    return sum(len(renderer.row(row, 2**20).ids) for row in rows)
