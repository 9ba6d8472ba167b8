"""Checks of the arguments of `burnish.refine` that are no settings. A wrong type is reported before anything is read or
written."""

from __future__ import annotations

from pathlib import Path, PurePath

from burnish.errors import ConfigError, brief
from burnish.services.calls import CallBudget


def given_text(value: object, field: str) -> str:
    """Return an argument that names something, as text. Raises ConfigError naming `field` if it is neither a text nor a
    path, or is empty."""
    name = str(value) if isinstance(value, PurePath) else value
    # The operating system refuses a null character in a name, with an error that does not name the field.
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError(f"burnish.refine: {field}: {brief(name)} found; give a text or a pathlib.Path")
    return name


def given_path(value: object, field: str) -> Path:
    """Return an argument that names a file or folder. Raises ConfigError as `given_text` does."""
    return Path(given_text(value, field))


def given_budget(max_calls: object, max_cost: object) -> CallBudget:
    """Return the budget for calls to servers. None means no limit. Raises ConfigError if a limit is not a number, or
    below 0."""
    # bool is a subclass of int in Python, so True would pass for 1.
    if max_calls is not None and (not isinstance(max_calls, int) or isinstance(max_calls, bool)):
        raise ConfigError(f"burnish.refine: max_calls: {brief(max_calls)} found; give a number of calls, 0 or more")
    if max_cost is not None and (not isinstance(max_cost, int | float) or isinstance(max_cost, bool)):
        raise ConfigError(f"burnish.refine: max_cost: {brief(max_cost)} found; give an amount of money, 0 or more")
    return CallBudget(max_calls=max_calls, max_cost=max_cost)


def check_switches(**switches: object) -> None:
    """Raise ConfigError if one of the values is neither True nor False."""
    for field, value in switches.items():
        if isinstance(value, bool):
            continue
        raise ConfigError(f"burnish.refine: {field}: {brief(value)} found; give True or False")
