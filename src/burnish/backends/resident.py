"""Keeps one base model in memory over the stages of a process, and lets adapters come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Resident:
    """The last base model whose finetuned adapters stay beside it, or nothing.

    Its weights are frozen in every use, so that after an adapter is taken away, it is the model that was read.
    """

    def __init__(self) -> None:
        self._key, self._model = "", None
        self.read = 0
        """How often a base was read."""

    def base(self, key: str, read: Callable[[], Any]) -> Any:
        """Return the base model of this key without adapters. It is read if it is not in memory."""
        if self._key != key:
            self.drop()  # there are never two of them in memory
            self._model = read()
            self._key = key
            self.read += 1
        _take_adapters_away(self._model)
        return self._model

    def drop(self) -> None:
        """Forget the base model, so that its memory is free."""
        self._key, self._model = "", None


def attached(model: Any, adapter: str) -> Any:
    """Return the model itself, with an adapter beside its weights."""
    from peft import PeftModel  # noqa: PLC0415 it is slow to import, and a look at the chat template needs none

    # Not PEFT's wrapper, whose `base_model` and `forward` are others than those of transformers.
    return PeftModel.from_pretrained(model, adapter).base_model.model


def _take_adapters_away(model: Any) -> None:
    """Put the layers below adapters back into their places."""
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415

    for name, part in list(model.named_modules()):
        if isinstance(part, BaseTunerLayer):
            owner, _, own_name = name.rpartition(".")
            setattr(model.get_submodule(owner), own_name, part.get_base_layer())
    # PEFT's record of the adapters that it put in. With it, it would warn of a second one.
    for record in ("peft_config", "_hf_peft_config_loaded"):
        if record in vars(model):
            delattr(model, record)
    model.requires_grad_(False)
