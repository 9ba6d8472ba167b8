"""`model.json`: how the model in a directory is loaded. Written by the base stage and by every training."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from burnish.config import ModelConfig
from burnish.errors import StageError
from burnish.store.files import pretty, write_atomic

CARD = "model.json"
RECORDS = {"manifest.json", "training.json", "curve.jsonl"}
"""What stages leave beside a model that is no part of it."""


class Weights(StrEnum):
    """What lies beside the card: nothing (the base model itself), an adapter, or all weights."""

    BASE = "base"
    ADAPTER = "adapter"
    FULL = "full"


class ModelCard(BaseModel):
    """The base model with everything resolved, and what training added to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    base: ModelConfig
    """Where the base model was when this was written; a run that knows `content` elsewhere loads it from there."""
    content: str
    """What identifies the base model's weights."""
    weights: Weights
    classifier: bool = False
    """A two-way head that compares two answers stands on the model."""
    reward: bool = False
    """A head of one scalar, the reward of an answer, stands on the model."""

    @property
    def labels(self) -> int | None:
        """Outputs of the head; None for a language model."""
        return 2 if self.classifier else 1 if self.reward else None


def write_card(directory: Path, card: ModelCard) -> None:
    """Write the card into a model's directory."""
    write_atomic(directory / CARD, pretty(card.model_dump(mode="json")))


def copy_model(source: Path, directory: Path) -> None:
    """Copy a model's files; what a stage recorded beside them stays behind."""
    # Checkpoints of a training are folders. They stay behind, too.
    for path in source.iterdir():
        if path.is_file() and path.name not in RECORDS:
            shutil.copyfile(path, directory / path.name)


def read_card(directory: Path) -> ModelCard:
    """Read a model's card; raises StageError naming the file."""
    path = directory / CARD
    try:
        card = ModelCard.model_validate(orjson.loads(path.read_bytes()))
    except (FileNotFoundError, ValidationError, orjson.JSONDecodeError) as error:
        raise StageError(f"{path}: no readable model card ({error}); run again") from None
    # Checked after the reading: a card without the field has the first version.
    if card.schema_version != 1:
        raise StageError(f"{path}: schema_version {card.schema_version} found, this burnish reads 1")
    return card
