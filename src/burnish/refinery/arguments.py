"""The arguments of `burnish.refine` that are no settings: a wrong type is said before anything is read or written."""

from __future__ import annotations

from pathlib import Path, PurePath

from burnish.errors import ConfigError, brief
from burnish.services.calls import Budget


def given_text(value: object, field: str) -> str:
    """Return an argument that names something, as it is written. Raises ConfigError naming `field` for anything but a
    text or a path."""
    name = str(value) if isinstance(value, PurePath) else value
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError(f"burnish.refine: {field}: {brief(name)} found; give a text or a pathlib.Path")
    return name


def given_path(value: object, field: str) -> Path:
    """Return an argument that names a place. Raises ConfigError as `given_text` does."""
    return Path(given_text(value, field))


def given_budget(max_calls: object, max_cost: object) -> Budget:
    """Return what may be spent. Raises ConfigError for anything but numbers from 0 on, and None."""
    if max_calls is not None and (not isinstance(max_calls, int) or isinstance(max_calls, bool)):
        raise ConfigError(f"burnish.refine: max_calls: {brief(max_calls)} found; give a number of calls, 0 or more")
    if max_cost is not None and (not isinstance(max_cost, int | float) or isinstance(max_cost, bool)):
        raise ConfigError(f"burnish.refine: max_cost: {brief(max_cost)} found; give an amount of money, 0 or more")
    return Budget(max_calls=max_calls, max_cost=max_cost)


def check_switch(value: object, field: str) -> None:
    """Raise ConfigError for anything but True and False."""
    if not isinstance(value, bool):
        raise ConfigError(f"burnish.refine: {field}: {brief(value)} found; give True or False")


NEEDED = (*("train", "train_classifier", "train_preferences", "generate", "logprobs", "classify", "rewards", "export"),)
"""The methods of a backend."""


def check_backend(backend: object) -> None:
    """Raise ConfigError for an object that has not the methods of a backend."""
    missing = [name for name in NEEDED if not callable(getattr(backend, name, None))]
    if backend is not None and missing:
        raise ConfigError(
            f"burnish.refine: backend: {brief(backend)} has no method {missing[0]}; give an object with all methods of "
            "burnish.protocols.Backend"
        )
