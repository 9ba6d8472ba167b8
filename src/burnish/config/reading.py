"""A config from a YAML file and `--set` changes; errors name the file, the field, the value and the fix."""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from burnish.config import ANNOTATORS, Annotator, AnnotatorSettings, Config, RefineConfig
from burnish.config.base import program_words
from burnish.config.yaml_text import DEEPEST, read_yaml
from burnish.errors import ConfigError, brief
from burnish.types import is_whole

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
        raise ConfigError(f"{path}: variants: {brief(variants)} found; write a mapping from labels to changed fields")  # pyright: ignore[reportUnknownArgumentType]
    labels = [str(label) for label in variants]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"{path}: variants: the label {brief(label)} is there twice; change one")
    return [
        _checked(_varied(values, label, fields, path), f"{path} ({label})", changes)
        for label, fields in variants.items()  # pyright: ignore[reportUnknownVariableType]
    ]


def _varied(values: dict[str, Any], label: Any, fields: Any, path: Path) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise ConfigError(
            f"{path}: variants.{str(label)[:80]}: {brief(fields)} found; write a mapping such as {{train.epochs: 2}}"
        )
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
        raise ConfigError(f"{_named(path)}: no such config; give the path of a YAML file") from None
    except (OSError, ValueError) as error:  # ValueError: text that is not UTF-8, a name with a null character
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{_named(path)}: cannot be read ({why}); give the path of a YAML file") from None


def _named(path: Path) -> str:
    """Return a path for an error; one may have thousands of characters."""
    text = str(path)
    return text if len(text) <= 300 else f"{text[:200]}..."


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
    values = read_yaml(text, name)
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
        raise ConfigError(f"--set {brief(change)}: write a.b=c")
    try:
        value = read_yaml(text, f"--set {brief(change)}")
    except ConfigError as error:
        raise ConfigError(f"--set {brief(change)}: {brief(text)} is no YAML value ({_first_line(error)})") from None
    _put(values, path, value, f"--set {brief(change)}")


def _first_line(error: ConfigError) -> str:
    return str(error).rpartition("not YAML: ")[2].splitlines()[0][:200]


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
        raise ConfigError(f"{where}: {'.'.join(parents)[:80]} is {brief(place)} and has no field {brief(last)}")  # pyright: ignore[reportUnknownArgumentType]


def _item(items: list[Any], step: str, where: str) -> Any:
    if not (step.isascii() and step.isdecimal() and len(step) < 10) or int(step) >= len(items):
        raise ConfigError(f"{where}: {brief(step)} is no index into a list of {len(items)}")
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
            raise ConfigError(f"{field}: {brief(text)} found; write {kind}:{settings.short.upper()}")
        with _split(text, field):
            fields = settings.from_short(rest)
        return checked(ANNOTATOR, {"kind": kind, **fields}, field)
    path = Path(text)
    if not is_file(path):
        raise ConfigError(f"{field}: {brief(text)} is no file; give a YAML file, or {', '.join(short_forms())}")
    values = _mapping(_text(path), str(path))
    for change in changes:
        _set(values, change)
    return checked(ANNOTATOR, values, str(path))


def short_forms() -> list[str]:
    """Return the short forms of all annotators, those that need no value first."""
    known = [(kind, settings.short) for kind, settings in ANNOTATORS.all().items() if settings.short is not None]
    return [kind for kind, short in known if not short] + [f"{kind}:{short.upper()}" for kind, short in known if short]


def words_of(text: str, field: str) -> list[str]:
    """Return a program and its arguments out of one line, as a shell splits it. Raises ConfigError naming `field`."""
    with _split(text, field):
        return program_words(text)


@contextmanager
def _split(text: str, field: str) -> Generator[None, None, None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(
            f"{field}: {brief(text)} cannot be split into words ({str(error).lower()}); write a program and its "
            "arguments, close each quote, and write a \\ as \\\\"
        ) from None


def is_file(path: Path) -> bool:
    """Say whether there is such a file; a name that the system does not take is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def refine_config(values: dict[str, Any], changes: Sequence[str] = ()) -> RefineConfig:
    """Check the settings of a refinement after setting some of its fields. Raises ConfigError for all that is wrong."""
    for change in changes:
        _set(values, change)
    return checked(REFINEMENT, values, "refine")


MOST_SHOWN = 20
"""Errors of one config that are shown; more are counted."""
_LONGEST = 500


def checked(adapter: TypeAdapter[C], values: object, name: str, strict: bool = False) -> C:
    """Check values against a model. Raises ConfigError that names each field, its value and the fix.

    `strict`: a text is no number, nor the other way round.
    """
    _check_text(values, name, "")
    try:
        return adapter.validate_python(values, strict=strict or None)
    except OSError as error:  # a setting names a file, and the system does not even look for it
        raise ConfigError(f"{name}: {brief(error.filename)}: {error.strerror}; check the names of files") from None
    except ValidationError as error:
        lines = [_explained(item) for item in error.errors(include_url=False)]
        more = [f"and {len(lines) - MOST_SHOWN} more"] if len(lines) > MOST_SHOWN else []
        raise ConfigError("\n".join([f"{name}:", *lines[:MOST_SHOWN], *more])) from None


def _check_text(value: object, name: str, field: str, depth: int = 0) -> None:
    """Raise ConfigError where a text holds half a character: no file and no tokenizer takes it."""
    if depth > DEEPEST:
        raise ConfigError(f"{name}: {field[:80]}: more than {DEEPEST} levels of lists and mappings; write it flatter")
    match value:
        case str() if not is_whole(value):
            raise ConfigError(
                f"{name}:\n{field[:80] or 'config'}: {brief(value)} found: holds half a character (a lone surrogate); "
                "write the whole character"
            )
        case dict():
            for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
                inner = f"{field}.{key}" if field else str(key)  # pyright: ignore[reportUnknownArgumentType]
                _check_text(key, name, field, depth + 1)  # pyright: ignore[reportUnknownArgumentType]
                _check_text(item, name, inner[:200], depth + 1)  # pyright: ignore[reportUnknownArgumentType]
        case list() | tuple():
            for number, item in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
                _check_text(item, name, f"{field}.{number}", depth + 1)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return


def _explained(item: Any) -> str:
    """Say field, value and fix of one of pydantic's errors."""
    field = ".".join(str(part)[:80] for part in item["loc"]) or "config"
    match item["type"]:
        case "extra_forbidden":
            return f"{field}: no such field; remove it or correct its name"
        case "kind":
            return f"{field}.{item['msg']}"
        case "missing":
            return f"{field}: is missing; add it"
        case _:
            message = item["msg"].removeprefix("Value error, ")
            if len(message) > _LONGEST:  # it repeats the value
                message = f"{message[:100]} ... {message[-300:]}"
            if not item["loc"] and item["type"] == "value_error":  # the value is the whole config
                return message
            return f"{field}: {brief(item['input'])} found: {message[:1].lower()}{message[1:]}"
