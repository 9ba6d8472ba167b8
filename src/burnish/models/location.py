"""Finds where a model lies. It can be built in, a folder, a GGUF file, or an id on the hub."""

from __future__ import annotations

from pathlib import Path

from burnish.config import ModelConfig, expanded, looks_like_hub_id
from burnish.errors import ConfigError

BUILTIN = "builtin:"
ADAPTER_CONFIG = "adapter_config.json"
TRY_IT = "try_it.py"
"""The program in the folder of a finetuned model that asks the model a question."""


EMBEDDED = Path(__file__).parent.parent / "embedded"
"""The folder with the models that are part of burnish."""


def find(model: ModelConfig, field: str = "model") -> Path | None:
    """Return the path of a local model, or None for an id on the hub."""
    if model.source.startswith(BUILTIN):
        return EMBEDDED / model.source.removeprefix(BUILTIN)
    source = expanded(model.source, field)
    # A path that exists comes before a hub id of the same name. If it is neither of the two, the path is returned, so
    # that the error can say that it does not exist.
    return Path(source) if Path(source).exists() or not looks_like_hub_id(source) else None


def is_adapter(path: Path) -> bool:
    """Say whether a folder holds an adapter and not a whole model."""
    return (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file()


def may_have_template(path: Path) -> bool:
    """Say whether a local model may have a chat template. Its files are looked through without a model library."""
    # A GGUF file may hold a template among its values, which are not searched here.
    if path.is_file():
        return True
    # transformers has kept templates in four places: chat_template.jinja, chat_template.json, this folder and a field
    # of tokenizer_config.json.
    if any(path.glob("chat_template*")) or (path / "additional_chat_templates").is_dir():
        return True
    try:
        # The file is searched and not parsed. A wrong answer of True only means that a tokenizer is loaded for nothing.
        return b'"chat_template"' in (path / "tokenizer_config.json").read_bytes()
    except OSError:
        return False


def check(model: ModelConfig, field: str) -> Path | None:
    """Check that a local model is a model, and return its path. Return None for an id on the hub.

    Raises ConfigError, which names `field`, if there is no model at that place.
    """
    path = find(model, field)
    if path is None:
        return None
    # This comes first. The name of a built-in model is not a path, so the other errors would be misleading.
    if model.source.startswith(BUILTIN) and not (path / "config.json").is_file():
        names = sorted(f"{BUILTIN}{place.parent.name}" for place in EMBEDDED.glob("*/config.json"))
        raise ConfigError(f"{field}: {model.source!r} is no built-in model; there are {', '.join(names)}")
    if not path.exists():
        raise ConfigError(
            f"{field}: {model.source!r} does not exist; give a folder, a GGUF file or a hub id owner/name"
        )
    if path.is_file() and path.suffix != ".gguf":
        raise ConfigError(f"{field}: {model.source!r} is a file but no .gguf; give the model's folder or a GGUF file")
    if path.is_dir() and not (path / "config.json").is_file() and not is_adapter(path):
        raise ConfigError(
            f"{field}: {model.source!r} is no model: it holds no config.json, and no {ADAPTER_CONFIG} of an adapter; "
            "give a model's folder"
        )
    return path
