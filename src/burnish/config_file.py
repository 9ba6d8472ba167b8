"""A config from a YAML file and `--set` changes; errors name the file, the field, the value and the fix."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from burnish.config import Config
from burnish.errors import ConfigError

DEMO = "demo.yaml"


def read_config(path: Path, changes: Sequence[str] = ()) -> Config:
    """Read and check a config. Raises ConfigError for all that is wrong with it, at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config; give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give the path of a YAML file") from None
    return parse_config(text, str(path), changes)


def demo_config(changes: Sequence[str] = ()) -> Config:
    """Return the embedded experiment's config, which is shipped in the package."""
    text = resources.files("burnish").joinpath(DEMO).read_text(encoding="utf-8")
    return parse_config(text, DEMO, changes)


def parse_config(text: str, name: str, changes: Sequence[str] = ()) -> Config:
    """Check the YAML text of a config after setting some of its fields."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: {type(values).__name__} found; a config is a mapping of fields, see docs/config.md")
    for change in changes:
        _set(values, change)  # pyright: ignore[reportUnknownArgumentType]
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join([f"{name}:", *(_explained(item) for item in error.errors())])) from None


def _set(values: dict[str, Any], change: str) -> None:
    """Apply `a.b=c`; a number steps into a list (`methods.0.alpha=0.1`)."""
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {change!r}: write a.b=c")
    *parents, last = path.split(".")
    place: Any = values
    for step in parents:
        if isinstance(place, list):
            place = _item(place, step, change)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(place, dict):
            place = place.setdefault(step, {})  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {change!r}: {text!r} is no YAML value") from None
    if isinstance(place, list):
        _item(place, last, change)  # pyright: ignore[reportUnknownArgumentType]
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise ConfigError(f"--set {change!r}: {'.'.join(parents)} is {place!r} and has no field {last!r}")


def _item(items: list[Any], step: str, change: str) -> Any:
    if not step.isdecimal() or int(step) >= len(items):
        raise ConfigError(f"--set {change!r}: {step!r} is no index into a list of {len(items)}")
    return items[int(step)]


def _explained(item: Any) -> str:
    """Say field, value and fix of one of pydantic's errors."""
    field = ".".join(str(part) for part in item["loc"]) or "config"
    match item["type"]:
        case "extra_forbidden":
            return f"{field}: no such field; remove it or correct its name"
        case "missing":
            return f"{field}: is missing; add it"
        case _:
            message = item["msg"].removeprefix("Value error, ")
            return f"{field}: {item['input']!r} found: {message[:1].lower()}{message[1:]}"
