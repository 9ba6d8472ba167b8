"""Folders with a LoRA adapter of PEFT: the base model of an adapter, and the identity of an adapter."""

from __future__ import annotations

import hashlib
from pathlib import Path

from burnish.config import AdapterUse, ModelConfig, expanded
from burnish.errors import ConfigError
from burnish.models import location
from burnish.models.checks import read_mapping
from burnish.store.files import pretty, tree_checksums, write_atomic
from burnish.store.known_hashes import KnownHashes

ADAPTER_CONFIG = location.ADAPTER_CONFIG
_BASE, _REVISION = "base_model_name_or_path", "revision"


def adapter_of(model: ModelConfig, field: str = "model") -> Path | None:
    """Return the folder of the adapter if the model is one. Return None if it is a whole model or an id on the hub."""
    path = location.find(model, field)
    return path if path is not None and location.is_adapter(path) else None


def beneath(model: ModelConfig, adapter: Path, field: str = "model") -> ModelConfig:
    """Return the whole model on which an adapter is built.

    For a base on the hub, the revision of `model` counts if there is one, and else the one in the adapter's config.
    Raises ConfigError, which names `field` and the adapter's config, if the config names no base model or one that does
    not exist.
    """
    path = adapter / ADAPTER_CONFIG
    values = read_mapping(path, field)
    named = values.get(_BASE)
    if not isinstance(named, str) or not named:
        raise ConfigError(f"{field}: {str(path)!r} names no base model; write its folder or hub id as {_BASE}")
    # PEFT looks for a relative name in the working directory, so that place comes first. If an adapter was moved
    # together with its base, the base is found from the adapter's own folder.
    beside = adapter / named
    source = str(beside.resolve()) if not Path(named).exists() and beside.is_dir() else named
    # A revision that the user or an earlier step gave comes before the commit in the adapter's own file.
    revision = model.revision or values.get(_REVISION)
    # The base is a whole model, for which `adapter: continue` would be an error.
    base = model.model_copy(update={"source": source, "revision": revision, "adapter": AdapterUse.MERGE})
    place = location.find(base, field)
    if place is not None and not place.exists():
        raise ConfigError(
            f"{field}: {str(path)!r} names the base model {named!r}, which does not exist; write its folder or hub id "
            f"as {_BASE}"
        )
    return base


def check_adapter(model: ModelConfig, adapter: Path | None, field: str) -> None:
    """Check that the settings of a model fit the model itself. `adapter` is the model's adapter folder, or None.

    Raises ConfigError, which names `field`, if a setting does not fit.
    """
    if adapter is None and model.adapter is AdapterUse.CONTINUE:
        raise ConfigError(
            f"{field}: adapter: continue found, but {model.source!r} is no adapter's folder; leave adapter out"
        )
    if adapter is not None and model.adapter is AdapterUse.MERGE and model.quantise is not None:
        raise ConfigError(
            f"{field}: quantise: {model.quantise} found, but {model.source!r} is an adapter, whose sum with its base "
            "cannot be kept in 4 bits; set adapter: continue, or leave quantise out"
        )
    if adapter is not None and model.layers is not None:
        raise ConfigError(
            f"{field}: layers: {model.layers} found, but {model.source!r} is an adapter, made for all layers of its "
            "base; leave layers out"
        )


def content_of_adapter(adapter: Path, base: str, known: KnownHashes | None = None) -> str:
    """Return the identity of an adapter together with its base model: 64 hex digits.

    `base` is the identity of the base model. The place of the base model does not count.
    """
    sums = tree_checksums(adapter) if known is None else tree_checksums(adapter, known.checksum)
    values = read_mapping(adapter / ADAPTER_CONFIG, "model")
    # The rest of the config counts: another `lora_alpha` makes another model of the same weights.
    sums[ADAPTER_CONFIG] = _hash({name: value for name, value in values.items() if name not in {_BASE, _REVISION}})
    return _hash({"adapter": sums, "base": base})


def _hash(value: object) -> str:
    return hashlib.sha256(pretty(value)).hexdigest()


def stands_alone(model: ModelConfig) -> bool:
    """Say whether the name of the base is enough to load an adapter that was trained on this model.

    Other programs know only that name. It is not enough if the base is a GGUF file, comes with burnish, is cut to its
    first layers, or is a merged adapter.
    """
    # The name of the base says none of this. A program that loads the base by its name would get other weights under
    # the adapter.
    if model.layers is not None or model.source.endswith(".gguf") or model.source.startswith(location.BUILTIN):
        return False
    return adapter_of(model) is None or model.adapter is AdapterUse.CONTINUE


def name_base(folder: Path, model: ModelConfig) -> None:
    """Write the base model into the config of an adapter: an absolute path, or a hub id with its commit.

    Nothing is written if the folder holds no adapter, or if the name of the base alone is not enough (see
    `stands_alone`).
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
