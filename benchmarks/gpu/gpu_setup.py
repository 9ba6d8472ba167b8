"""What all steps of the GPU check share: the device, the models, the rows, and the share of everything."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from split_weights import join

from burnish.backends.device import torch_dtype
from burnish.backends.hf import HfBackend
from burnish.backends.load import load_base, renderer_of
from burnish.backends.machine import peak_memory
from burnish.config import DType, Execution, ModelConfig
from burnish.models.card import ModelCard, Weights, write_card
from burnish.types import Artifact, Message, Prompt, Role, TrainingRow

MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Where the check runs, on what, and with which share of all rows. `place` is a folder for everything it makes.

    `new_tokens` are the most tokens of an answer in the rounds.
    """

    device: torch.device
    share: float
    new_tokens: int
    data: Path
    place: Path
    backends: dict[str, HfBackend] = field(default_factory=dict[str, HfBackend])

    @property
    def model(self) -> Path:
        """The folder with the model in float32, which `prepare` writes."""
        return self.place / MODEL

    def count(self, number: int, least: int = 1) -> int:
        """Return the share of a number of rows, at least `least`."""
        return max(least, round(self.share * number))

    def config(self, dtype: DType) -> ModelConfig:
        """Return the model as settings."""
        return ModelConfig(source=str(self.model), dtype=dtype)

    def base(self, dtype: DType) -> Artifact:
        """Return the model as the artifact of a base model."""
        folder = self.place / f"base-{dtype}"
        if not folder.is_dir():
            folder.mkdir()
            write_card(folder, ModelCard(base=self.config(dtype), content="", weights=Weights.BASE))
        return Artifact(path=str(folder), kind="base", fingerprint=str(folder))

    def rows(self, count: int, split: str = "train") -> list[TrainingRow]:
        """Return the first rows of a split of GSM8K."""
        return [
            TrainingRow(id=f"{number:05d}", prompt=(Message(role=Role.USER, content=question),), completion=answer)
            for number, (question, answer) in enumerate(_gsm8k(self.data, split)[:count])
        ]

    def backend(self, device: torch.device, progress: Any = None) -> HfBackend:
        """Return burnish's backend on a device. Without a progress of its own, it is kept, with the model it loaded."""
        if progress is not None:
            return HfBackend(Execution(device=kind(device)), progress, {})
        if device.type not in self.backends:
            self.backends[device.type] = HfBackend(Execution(device=kind(device)), Silent(), {})
        return self.backends[device.type]

    def synchronize(self) -> None:
        """Wait until the device has done everything that it was asked to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def forget_peak(self) -> None:
        """Begin to measure the peak memory again. On the CPU it cannot be forgotten."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int:
        """Return the most memory that tensors held on the card since `forget_peak`, or that this process ever held."""
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else peak_memory()


class Silent:
    """Reports no progress."""

    def start(self, label: str, total: int, done: int = 0) -> None:
        """A piece of work begins."""

    def advance(self, amount: int) -> None:
        """A unit is done."""


def kind(device: torch.device) -> Any:
    """Return a device's name for burnish's settings."""
    return device.type


def prompts_of(rows: Sequence[TrainingRow]) -> list[Prompt]:
    """Return the rows' prompts."""
    return [Prompt(id=row.id, messages=row.prompt) for row in rows]


def _gsm8k(data: Path, split: str) -> list[tuple[str, str]]:
    packed, plain = data / f"{split}.jsonl.gz", data / f"{split}.jsonl"
    text = gzip.decompress(packed.read_bytes()) if packed.is_file() else plain.read_bytes()
    return [(row["question"], row["answer"]) for row in map(json.loads, text.splitlines())]


def prepare(setup: Setup, weights: Path, report: dict[str, Any]) -> None:
    """Write the model as a folder in float32, from a GGUF file, from its parts, or from another folder.

    All later steps read the folder, because turning a GGUF file into ordinary numbers takes long.
    """
    setup.place.mkdir(parents=True, exist_ok=True)
    if weights.is_dir() and (weights / "parts.json").is_file():
        weights = join(weights, setup.place / "model.gguf")
    given = ModelConfig(source=str(weights), dtype=DType.FLOAT32)
    model = load_base(given, torch_dtype(DType.FLOAT32), labels=None)
    model.save_pretrained(setup.model)
    renderer_of(given).tokenizer.save_pretrained(setup.model)
    report["parameters"] = sum(parameter.numel() for parameter in model.parameters())
