"""Where a model lies: a built-in one, a folder, a GGUF file, or an id on the hub."""

from __future__ import annotations

from pathlib import Path

from burnish.config import ModelConfig, expanded, looks_like_hub_id
from burnish.errors import ConfigError

BUILTIN = "builtin:"


EMBEDDED = Path(__file__).parent.parent / "embedded"


def find(model: ModelConfig, field: str = "model") -> Path | None:
    """Return where a local model lies, None for a hub id."""
    if model.source.startswith(BUILTIN):
        return EMBEDDED / model.source.removeprefix(BUILTIN)
    source = expanded(model.source, field)
    return Path(source) if Path(source).exists() or not looks_like_hub_id(source) else None


def check(model: ModelConfig, field: str) -> Path | None:
    """Return a local model's path after checking that it is a model; raises ConfigError naming `field`."""
    path = find(model, field)
    if path is None:
        return None
    if model.source.startswith(BUILTIN) and not (path / "config.json").is_file():
        names = sorted(f"{BUILTIN}{place.parent.name}" for place in EMBEDDED.glob("*/config.json"))
        raise ConfigError(f"{field}: {model.source!r} is no built-in model; there are {', '.join(names)}")
    if not path.exists():
        raise ConfigError(
            f"{field}: {model.source!r} does not exist; give a folder, a GGUF file or a hub id owner/name"
        )
    if path.is_file() and path.suffix != ".gguf":
        raise ConfigError(f"{field}: {model.source!r} is a file but no .gguf; give the model's folder or a GGUF file")
    if path.is_dir() and not (path / "config.json").is_file():
        raise ConfigError(f"{field}: {model.source!r} is no model: it holds no config.json; give a model's folder")
    return path
