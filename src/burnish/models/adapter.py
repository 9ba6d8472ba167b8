"""A folder with a LoRA adapter of PEFT: what it stands on, and what identifies it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from burnish.config import AdapterUse, ModelConfig, expanded
from burnish.errors import ConfigError
from burnish.models import location
from burnish.models.checks import read_mapping
from burnish.store.files import pretty, tree_checksums, write_atomic

ADAPTER_CONFIG = location.ADAPTER_CONFIG
_BASE, _REVISION = "base_model_name_or_path", "revision"


def adapter_of(model: ModelConfig, field: str = "model") -> Path | None:
    """Return the folder of the adapter that a model is, None where it is a whole model."""
    path = location.find(model, field)
    return path if path is not None and location.is_adapter(path) else None


def beneath(model: ModelConfig, adapter: Path, field: str = "model") -> ModelConfig:
    """Return the whole model that an adapter stands on; a base on the hub has the commit that was found for it.

    Raises ConfigError naming `field` and the adapter's config where it names no base that is there.
    """
    path = adapter / ADAPTER_CONFIG
    values = read_mapping(path, field)
    named = values.get(_BASE)
    if not isinstance(named, str) or not named:
        raise ConfigError(f"{field}: {str(path)!r} names no base model; write its folder or hub id as {_BASE}")
    # PEFT takes a relative name from the working directory, so that one wins. An adapter that was moved together with
    # its base is found by the place beside it.
    beside = adapter / named
    source = str(beside.resolve()) if not Path(named).exists() and beside.is_dir() else named
    # What the user or an earlier step resolved wins over the commit in the adapter's own file.
    revision = model.revision or values.get(_REVISION)
    # The base is a whole model, for which `adapter: continue` would be an error.
    base = model.model_copy(update={"source": source, "revision": revision, "adapter": AdapterUse.MERGE})
    place = location.find(base, field)
    if place is not None and not place.exists():
        raise ConfigError(
            f"{field}: {str(path)!r} names the base model {named!r}, which is not there; write where it is as {_BASE}"
        )
    return base


def check_adapter(model: ModelConfig, adapter: Path | None, field: str) -> None:
    """Check that the settings of a model fit what it is. Raises ConfigError naming `field`."""
    if adapter is None and model.adapter is AdapterUse.CONTINUE:
        raise ConfigError(
            f"{field}: adapter: continue found, but {model.source!r} is no adapter's folder; leave adapter out"
        )
    if adapter is not None and model.layers is not None:
        raise ConfigError(
            f"{field}: layers: {model.layers} found, but {model.source!r} is an adapter, made for all layers of its "
            "base; leave layers out"
        )


def content_of_adapter(adapter: Path, base: str) -> str:
    """Identify an adapter on the base that is known by `base`; where the base lies is no part of it."""
    sums = tree_checksums(adapter)
    values = read_mapping(adapter / ADAPTER_CONFIG, "model")
    # The rest of the config counts: another `lora_alpha` makes another model of the same weights.
    sums[ADAPTER_CONFIG] = _hash({name: value for name, value in values.items() if name not in {_BASE, _REVISION}})
    return _hash({"adapter": sums, "base": base})


def _hash(value: object) -> str:
    return hashlib.sha256(pretty(value)).hexdigest()


def stands_alone(model: ModelConfig) -> bool:
    """Say whether an adapter trained on a model can be loaded by others on the name of its base alone.

    It cannot where the base is a GGUF file, comes with burnish, is cut to its first layers, or is a merged adapter.
    """
    # The name of the base does not say any of this, so whoever loads it by name gets other weights beneath the adapter.
    if model.layers is not None or model.source.endswith(".gguf") or model.source.startswith(location.BUILTIN):
        return False
    return adapter_of(model) is None or model.adapter is AdapterUse.CONTINUE


def name_base(folder: Path, model: ModelConfig) -> None:
    """Write into an adapter's folder what it stands on: an absolute path, or a hub id with its commit.

    Nothing happens where the folder holds no adapter, or one that does not stand on `model` alone.
    """
    path = folder / ADAPTER_CONFIG
    if not path.is_file() or not stands_alone(model):
        return
    adapter = adapter_of(model)
    base = model if adapter is None else beneath(model, adapter)
    place = location.find(base)
    # An absolute path, because other programs would take a relative one from the folder in which they are started.
    named: dict[str, str | None] = (
        {_BASE: expanded(base.source, "model"), _REVISION: base.revision}
        if place is None
        else {_BASE: str(place.resolve()), _REVISION: None}
    )
    values = read_mapping(path, "model")
    # A file that is right already is not written again, so that its bytes and its time stay.
    if {name: values.get(name) for name in named} != named:
        write_atomic(path, pretty(values | named))
