"""Refuses a model without a trained head where only a head can score, before anything is spent."""

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
    """Raise ConfigError, which names the field, if a model that is used as it is needs a head and its files have none.

    Nothing is known of models on the hub that are not on this machine, and of files of other formats than safetensors.
    Such a model is refused when it is loaded.
    """
    for field, found in models.by_field.items():
        if found.as_it_is and found.head is not Head.NONE and not found.trained and _lacks_head(found):
            labels = "1 label" if found.head is Head.REWARD else "2 labels"
            raise ConfigError(
                f"{field}: {brief(found.model.source)} has no trained head (its files have no weights named score or "
                f"classifier), so its scores would be noise; give a model that burnish trained for this, or a sequence "
                f"classifier with {labels}"
            )


def _lacks_head(found: FoundModel) -> bool:
    """Say whether the safetensors files of a local model name no weight of a head."""
    path = location.find(found.model)
    if path is None or not path.is_dir():
        return False
    files = sorted(path.glob("*.safetensors"))
    try:
        names = [name for file in files for name in tensor_names(file)]
    except (FlawError, OSError):
        return False  # what is wrong with the file is said where it is checked
    return bool(names) and not any(_HEADS.intersection(name.split(".")) for name in names)
