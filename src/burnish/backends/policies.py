"""Policies that are trained further, on preferences or on rewards: how they are loaded and saved."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from burnish.backends.arguments import Arguments, whole_weights
from burnish.backends.device import is_first, torch_dtype
from burnish.backends.render import Renderer
from burnish.models.card import ModelCard, Weights, write_card


def trainable(policy: Path, card: ModelCard, renderer: Renderer, arguments: Arguments) -> Any:
    """Return a policy to train: all weights in float32, as in finetuning, or the adapter on its frozen base."""
    if card.weights is Weights.FULL:
        model: Any = AutoModelForCausalLM.from_pretrained(
            policy, dtype=torch.float32, **arguments.place.arguments(card.base, torch.float32)
        )
    else:
        base = arguments.start(torch_dtype(card.base.dtype), labels=None, adapter=True)
        model = PeftModel.from_pretrained(base, str(policy), is_trainable=True)
    # burnish may have given the tokenizer its pad token (see load.py). Then the model's config does not know it.
    model.config.pad_token_id = renderer.tokenizer.pad_token_id
    return model


def save(trainer: Any, card: ModelCard, into: Path) -> None:
    """Write a trained policy and its card, and remove the trainer's own folder."""
    weights = whole_weights(trainer)  # all processes bring their parts together
    if is_first():
        # TRL adds an adapter "ref", which is not saved.
        only: dict[str, Any] = {} if card.weights is Weights.FULL else {"selected_adapters": ["default"]}
        trainer.model.save_pretrained(into, **only, **weights)
        shutil.rmtree(into / "trainer", ignore_errors=True)
        write_card(into, card)
    # The other processes go on when all files are there.
    trainer.accelerator.wait_for_everyone()
