"""A finetuned model in the form that other programs load: weights, config and tokenizer in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from burnish.backends.load import load, located, renderer_of
from burnish.config import ModelConfig
from burnish.models.card import CARD, Weights, copy_model, read_card
from burnish.models.location import BUILTIN


def export(model: Path, into: Path, sources: Mapping[str, ModelConfig]) -> None:
    """Write a model's folder: an adapter stays one where its base can be loaded by its name alone, else it is merged.

    A GGUF file, a built-in model and one cut to its first layers cannot be.
    """
    card = located(read_card(model), sources)
    base = card.base
    plain = base.layers is None and not base.source.endswith(".gguf") and not base.source.startswith(BUILTIN)
    if card.weights is Weights.FULL or plain:
        copy_model(model, into)
        (into / CARD).unlink(missing_ok=True)
    else:
        load(model, torch.device("cpu"), sources).model.save_pretrained(into)
    renderer_of(base).tokenizer.save_pretrained(into)
