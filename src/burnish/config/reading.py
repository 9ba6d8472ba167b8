"""A config from a YAML file and `--set` changes; errors name the file, the field, the value and the fix."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from burnish.config import ANNOTATORS, Annotator, AnnotatorSettings, Config, RefineConfig
from burnish.errors import ConfigError

DEMO = "demo.yaml"
C = TypeVar("C")
ANNOTATOR: TypeAdapter[AnnotatorSettings] = TypeAdapter(Annotator)
EXPERIMENT, REFINEMENT = TypeAdapter(Config), TypeAdapter(RefineConfig)


def read_config(path: Path, changes: Sequence[str] = ()) -> Config:
    """Read and check a config of one setting. Raises ConfigError for all that is wrong with it, at once."""
    return parse_config(_text(path), str(path), changes)


def read_sweep(path: Path, changes: Sequence[str] = ()) -> list[Config]:
    """Read a config whose `variants` ({label: {dotted field: value}}) are its settings; without them it is one.

    `changes` go into each setting, after its own. Raises ConfigError as `read_config` does.
    """
    values = _mapping(_text(path), str(path))
    variants = values.pop("variants", None)
    if variants is None:
        return [_checked(values, str(path), changes)]
    if not isinstance(variants, dict) or not variants:
        raise ConfigError(f"{path}: variants: {variants!r} found; write a mapping from labels to changed fields")
    labels = [str(label) for label in variants]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"{path}: variants: the label {label!r} is there twice; change one")
    return [
        _checked(_varied(values, label, fields, path), f"{path} ({label})", changes)
        for label, fields in variants.items()  # pyright: ignore[reportUnknownVariableType]
    ]


def _varied(values: dict[str, Any], label: Any, fields: Any, path: Path) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}: variants.{label}: {fields!r} found; write a mapping such as {{train.epochs: 2}}")
    varied = copy.deepcopy(values) | {"variant": str(label)}
    for field, value in fields.items():  # pyright: ignore[reportUnknownVariableType]
        _put(varied, str(field), copy.deepcopy(value), f"{path}: variants.{label}.{field}")  # pyright: ignore[reportUnknownArgumentType]
    return varied


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError("no ordinary file")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config; give the path of a YAML file") from None
    except (OSError, ValueError) as error:  # no UTF-8, or a name with a zero byte
        raise ConfigError(f"{path!s:.300}: cannot be read ({error!s:.300}); give the path of a YAML file") from None


def demo_config(changes: Sequence[str] = ()) -> Config:
    """Return the embedded experiment's config, which is shipped in the package."""
    text = resources.files("burnish").joinpath(DEMO).read_text(encoding="utf-8")
    return parse_config(text, DEMO, changes)


def parse_config(text: str, name: str, changes: Sequence[str] = ()) -> Config:
    """Check the YAML text of a config after setting some of its fields."""
    values = _mapping(text, name)
    if "variants" in values:
        raise ConfigError(f"{name}: variants: a sweep of settings found where one is wanted; use `burnish run`")
    return _checked(values, name, changes)


def _mapping(text: str, name: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: {type(values).__name__} found; a config is a mapping of fields, see docs/config.md")
    return values  # pyright: ignore[reportUnknownVariableType]


def _checked(values: dict[str, Any], name: str, changes: Sequence[str]) -> Config:
    for change in changes:
        _set(values, change)
    return checked(EXPERIMENT, values, name)


def _set(values: dict[str, Any], change: str) -> None:
    """Apply `a.b=c`; a number steps into a list (`methods.0.alpha=0.1`)."""
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {change!r}: write a.b=c")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {change!r}: {text!r} is no YAML value") from None
    _put(values, path, value, f"--set {change!r}")


def _put(values: dict[str, Any], path: str, value: Any, where: str) -> None:
    *parents, last = path.split(".")
    place: Any = values
    for step in parents:
        if isinstance(place, list):
            place = _item(place, step, where)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(place, dict):
            place = place.setdefault(step, {})  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(place, list):
        _item(place, last, where)  # pyright: ignore[reportUnknownArgumentType]
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise ConfigError(f"{where}: {'.'.join(parents)} is {place!r} and has no field {last!r}")


def _item(items: list[Any], step: str, where: str) -> Any:
    if not step.isdecimal() or int(step) >= len(items):
        raise ConfigError(f"{where}: {step!r} is no index into a list of {len(items)}")
    return items[int(step)]


def read_annotator(text: str, field: str = "annotator", changes: Sequence[str] = ()) -> AnnotatorSettings:
    """Return the annotator that a YAML file or a short form describes, such as `people` or `oracle:COLUMN`.

    A kind's class says which field its short form fills (`AnnotatorSettings.short`). Raises ConfigError naming `field`.
    """
    kind, colon, rest = text.partition(":")
    settings = ANNOTATORS.get(kind)
    if settings is not None and settings.short == "" and not colon:
        return checked(ANNOTATOR, {"kind": kind}, field)
    if settings is not None and settings.short and colon:
        if not rest:
            raise ConfigError(f"{field}: {text!r} found; write {kind}:{settings.short.upper()}")
        try:
            fields = settings.from_short(rest)
        except ValueError as error:
            raise ConfigError(f"{field}: {text!r} cannot be read ({error}); close the quote") from None
        return checked(ANNOTATOR, {"kind": kind, **fields}, field)
    path = Path(text)
    if not os.path.isfile(path):  # pathlib's raises for a name that is too long
        raise ConfigError(f"{field}: {text!r:.300} is no file; give a YAML file, or {', '.join(short_forms())}")
    values = _mapping(_text(path), str(path))
    for change in changes:
        _set(values, change)
    return checked(ANNOTATOR, values, str(path))


def short_forms() -> list[str]:
    """Return the short forms of all annotators, those that need no value first."""
    known = [(kind, settings.short) for kind, settings in ANNOTATORS.all().items() if settings.short is not None]
    return [kind for kind, short in known if not short] + [f"{kind}:{short.upper()}" for kind, short in known if short]


def refine_config(values: dict[str, Any], changes: Sequence[str] = ()) -> RefineConfig:
    """Check the settings of a refinement after setting some of its fields. Raises ConfigError for all that is wrong."""
    for change in changes:
        _set(values, change)
    return checked(REFINEMENT, values, "refine")


def checked(adapter: TypeAdapter[C], values: object, name: str) -> C:
    """Check values against a model. Raises ConfigError that names each field, its value and the fix."""
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise ConfigError("\n".join([f"{name}:", *(_explained(item) for item in error.errors())])) from None


def _explained(item: Any) -> str:
    """Say field, value and fix of one of pydantic's errors."""
    field = ".".join(str(part) for part in item["loc"]) or "config"
    match item["type"]:
        case "extra_forbidden":
            return f"{field}: no such field; remove it or correct its name"
        case "kind":
            return f"{field}.{item['msg']}"
        case "missing":
            return f"{field}: is missing; add it"
        case _:
            message = item["msg"].removeprefix("Value error, ")
            return f"{field}: {item['input']!r} found: {message[:1].lower()}{message[1:]}"
