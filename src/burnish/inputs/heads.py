"""Refuses a model that cannot do what it is named for, before anything is spent: to score, or to write answers."""

from __future__ import annotations

from burnish.errors import ConfigError, brief
from burnish.inputs.found import FoundModel
from burnish.inputs.models import FoundModels
from burnish.models import location
from burnish.models.weights import FlawError, tensor_names
from burnish.types import Head

_HEADS = frozenset({"score", "classifier", "classification_head", "logits_proj", "sequence_summary", "pre_classifier"})
"""The names of the parts of transformers' sequence classifiers that are no part of a language model: `score` of Llama,
GPT-2, Qwen and their relatives, `classifier` of BERT and its relatives, and those of BART, T5, XLNet, XLM and
DistilBERT."""


def check_heads(models: FoundModels) -> None:
    """Raise ConfigError, which names the field, if a model that is used as it is needs a head and its files have none,
    or if a language model is needed and the files have a head in the place of its output.

    Nothing is known of models on the hub that are not on this machine, and of files of other formats than safetensors.
    Such a model is refused when it is loaded.
    """
    for field, found in models.by_field.items():
        if found.trained:
            continue
        names = _parts(found)
        heads = sorted(_HEADS & names)
        if found.as_it_is and found.head is not Head.NONE and names and not heads:
            labels = "1 label" if found.head is Head.REWARD else "2 labels"
            raise ConfigError(
                f"{field}: {brief(found.model.source)} has no trained head (its files have no weights named score or "
                f"classifier), so its scores would be noise; give a model that burnish trained for this, or a sequence "
                f"classifier with {labels}"
            )
        if found.head is Head.NONE and heads and "lm_head" not in names:
            raise ConfigError(
                f"{field}: {brief(found.model.source)} is no language model (its files have weights named {heads[0]} "
                "and none named lm_head): it scores answers and cannot write any; give a language model"
            )


def _parts(found: FoundModel) -> set[str]:
    """Return the parts of the names of all weights in the safetensors files of a local model. There are none if nothing
    is known of them."""
    path = location.find(found.model)
    if path is None or not path.is_dir():
        return set()
    try:
        names = [name for file in sorted(path.glob("*.safetensors")) for name in tensor_names(file)]
    except (FlawError, OSError):
        return set()  # what is wrong with the file is said where it is checked
    return {part for name in names for part in name.split(".")}
