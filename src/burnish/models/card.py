"""The card `model.json`. It says how the model in its folder is loaded. The base stage and every training write one."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from burnish.config import ModelConfig
from burnish.errors import StageError
from burnish.models.location import ADAPTER_CONFIG
from burnish.store.files import pretty, write_atomic
from burnish.store.manifest import MANIFEST

CARD = "model.json"
RECORDS = {"manifest.json", "training.json", "curve.jsonl", "policy_curve.jsonl"}
"""Files that stages write beside a model. They are not part of the model."""


class Weights(StrEnum):
    """The weights that lie beside a card: none (the model is the base model itself), an adapter, or all weights."""

    BASE = "base"
    ADAPTER = "adapter"
    FULL = "full"


class ModelCard(BaseModel):
    """Describes a model: the base model with all settings resolved, and what training added to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    base: ModelConfig
    """The base model, with its place when the card was written.

    If a run knows another place with the same `content`, it loads the base model from there.
    """
    content: str
    """The identity of the base model's weights."""
    weights: Weights
    classifier: bool = False
    """Whether the model has a head with two classes, which compares two answers."""
    reward: bool = False
    """Whether the model has a head with one number, the reward of an answer."""
    pad: int | None = None
    """The token that fills the rows of a batch for the model's head, or None for the tokenizer's own pad token."""

    @property
    def labels(self) -> int | None:
        """The number of outputs of the head, or None for a language model."""
        return 2 if self.classifier else 1 if self.reward else None


def write_card(directory: Path, card: ModelCard) -> None:
    """Write the card into the folder of a model."""
    # The field came later. Without it, cards of all other models keep their bytes.
    unwritten = {"pad"} if card.pad is None else set[str]()
    write_atomic(directory / CARD, pretty(card.model_dump(mode="json", exclude=unwritten)))


def copy_model(source: Path, directory: Path) -> None:
    """Copy the files of a model into a folder. What stages recorded beside them is not copied."""
    # Checkpoints of a training are folders. They are not copied.
    for path in source.iterdir():
        if path.is_file() and path.name not in RECORDS:
            shutil.copyfile(path, directory / path.name)


def remove_model(directory: Path) -> None:
    """Remove what makes a folder a model. Other files stay.

    Without this, the weights of an earlier model could be read in place of those of the new one: an adapter, all
    weights, or some of several files.
    """
    for name in (CARD, "config.json", ADAPTER_CONFIG):
        (directory / name).unlink(missing_ok=True)
    for path in [*directory.glob("*.safetensors"), *directory.glob("*.safetensors.index.json")]:
        path.unlink()


def take_files(source: Path, directory: Path) -> None:
    """Put the files of a finished training into another folder of the store, with what was recorded beside the model.

    Checkpoints and the manifest are left out. Both folders share the bytes where the file system allows it, because
    nothing in the store is ever changed.
    """
    for path in source.iterdir():
        if path.is_file() and path.name != MANIFEST:
            try:
                (directory / path.name).hardlink_to(path)
            except OSError:  # file systems without hard links, and limits on their number
                shutil.copyfile(path, directory / path.name)


def read_card(directory: Path) -> ModelCard:
    """Read the card of a model.

    Raises StageError, which names the file, if it cannot be read or has another version.
    """
    path = directory / CARD
    try:
        card = ModelCard.model_validate(orjson.loads(path.read_bytes()))
    except (FileNotFoundError, ValidationError, orjson.JSONDecodeError) as error:
        raise StageError(f"{path}: no readable model card ({error}); run again") from None
    # The version is checked after the reading, because a card without this field has the first version.
    if card.schema_version != 1:
        raise StageError(
            f"{path}: schema_version {card.schema_version} found, this burnish reads 1; install a newer burnish, or "
            "delete the folder and run again"
        )
    return card
