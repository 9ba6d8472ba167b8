"""Where a model lies: a built-in one, a folder, a GGUF file, or an id on the hub."""

from __future__ import annotations

from pathlib import Path

from burnish.config import ModelConfig, expanded, looks_like_hub_id
from burnish.errors import ConfigError

BUILTIN = "builtin:"
ADAPTER_CONFIG = "adapter_config.json"
TRY_IT = "try_it.py"
"""The program beside a finetuned model that asks it a question."""


EMBEDDED = Path(__file__).parent.parent / "embedded"


def find(model: ModelConfig, field: str = "model") -> Path | None:
    """Return where a local model lies, None for a hub id."""
    if model.source.startswith(BUILTIN):
        return EMBEDDED / model.source.removeprefix(BUILTIN)
    source = expanded(model.source, field)
    # What exists wins over a hub id of the same name. What is neither is returned as a path, so that the error can say
    # that it does not exist.
    return Path(source) if Path(source).exists() or not looks_like_hub_id(source) else None


def is_adapter(path: Path) -> bool:
    """Say whether a folder holds an adapter and no whole model."""
    return (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file()


def may_have_template(path: Path) -> bool:
    """Say whether a local model may bring a chat template; a folder is looked through without a model library."""
    # A GGUF file may hold a template among its values, which are not searched here.
    if path.is_file():
        return True
    # transformers has kept templates in four places: chat_template.jinja, chat_template.json, this folder and a field
    # of tokenizer_config.json.
    if any(path.glob("chat_template*")) or (path / "additional_chat_templates").is_dir():
        return True
    try:
        # Searched and not parsed: a wrong yes only means that a tokenizer is loaded for nothing.
        return b'"chat_template"' in (path / "tokenizer_config.json").read_bytes()
    except OSError:
        return False


def check(model: ModelConfig, field: str) -> Path | None:
    """Return a local model's path after checking that it is a model; raises ConfigError naming `field`."""
    path = find(model, field)
    if path is None:
        return None
    # First of all: `builtin:` and a name is no path, so the other errors would be misleading.
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
