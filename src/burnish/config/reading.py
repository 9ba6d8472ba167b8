"""Reads a config from a YAML file and applies `--set` changes.

Errors name the file, the field, the value and the fix.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from burnish.config import ANNOTATORS, AnnotatorSettings, Config, RefineAnnotator, RefineConfig
from burnish.config.base import program_words
from burnish.config.wrong_fields import explained
from burnish.config.yaml_text import DEEPEST, read_yaml
from burnish.errors import ConfigError, brief
from burnish.types import is_whole

DEMO = "demo.yaml"
C = TypeVar("C")
ANNOTATOR: TypeAdapter[AnnotatorSettings] = TypeAdapter(RefineAnnotator)
EXPERIMENT, REFINEMENT = TypeAdapter(Config), TypeAdapter(RefineConfig)


def read_config(path: Path, changes: Sequence[str] = ()) -> Config:
    """Read and check the config of one experiment. Raises ConfigError, which lists everything that is wrong with it."""
    return parse_config(_text(path), str(path), changes)


def read_sweep(path: Path, changes: Sequence[str] = ()) -> list[Config]:
    """Read a config and return one checked config for each of its `variants`: {label: {dotted field: value}}.

    A config without `variants` gives one config. `changes` are applied to each config, after the changes of its
    variant. Raises ConfigError as `read_config` does.
    """
    values = _mapping(_text(path), str(path))
    variants = values.pop("variants", None)
    if variants is None:
        return [_checked(values, str(path), changes)]
    if not isinstance(variants, dict) or not variants:
        raise ConfigError(f"{path}: variants: {brief(variants)} found; write a mapping from labels to changed fields")  # pyright: ignore[reportUnknownArgumentType]
    # YAML allows labels that are not texts: 1 and "1" are two keys, but the same label.
    labels = [str(label) for label in variants]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"{path}: variants: the label {brief(label)} is used twice; change one")
    return [
        _checked(_varied(values, label, fields, path), f"{path} ({label})", changes)
        for label, fields in variants.items()  # pyright: ignore[reportUnknownVariableType]
    ]


def _varied(values: dict[str, Any], label: Any, fields: Any, path: Path) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise ConfigError(
            f"{path}: variants.{str(label)[:80]}: {brief(fields)} found; write a mapping such as {{train.epochs: 2}}"
        )
    # Copied deeply, because `_put` changes nested mappings, and all variants share them.
    varied = copy.deepcopy(values) | {"variant": str(label)}
    for field, value in fields.items():  # pyright: ignore[reportUnknownVariableType]
        _put(varied, str(field), copy.deepcopy(value), f"{path}: variants.{label}.{field}")  # pyright: ignore[reportUnknownArgumentType]
    return varied


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # reading a named pipe would wait for ever
            raise OSError("not an ordinary file")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{_named(path)}: no such config; give the path of a YAML file") from None
    except (OSError, ValueError) as error:  # ValueError: text that is not UTF-8, a name with a null character
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{_named(path)}: cannot be read ({why}); give the path of a YAML file") from None


def _named(path: Path) -> str:
    """Return a path for an error message, shortened if it is very long."""
    text = str(path)
    return text if len(text) <= 300 else f"{text[:200]}..."


def demo_config(changes: Sequence[str] = ()) -> Config:
    """Return the config of the embedded experiment, which comes with the package. Raises ConfigError for a wrong
    change."""
    text = resources.files("burnish").joinpath(DEMO).read_text(encoding="utf-8")
    # The note is about these settings. With others, it may not be true.
    return parse_config(text, DEMO, ["note=null", *changes] if changes else ())


def parse_config(text: str, name: str, changes: Sequence[str] = ()) -> Config:
    """Return the checked config of a YAML text after applying `changes`. `name` is used in errors.

    Raises ConfigError if the text or a change is wrong, or if the config has `variants`.
    """
    values = _mapping(text, name)
    if "variants" in values:
        raise ConfigError(f"{name}: variants: found, but this command takes a single setting; use `burnish run`")
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
    """Apply the change `a.b=c`. A number in the path is an index into a list (`methods.0.alpha=0.1`)."""
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {brief(change)}: write a.b=c")
    try:
        value = read_yaml(text, f"--set {brief(change)}")
    except ConfigError as error:
        raise ConfigError(f"--set {brief(change)}: {brief(text)} is not a YAML value ({_first_line(error)})") from None
    _put(values, path, value, f"--set {brief(change)}")


def _first_line(error: ConfigError) -> str:
    # PyYAML's message has several lines, and read_yaml puts the name of the change in front. Only the reason is wanted.
    return str(error).rpartition("not YAML: ")[2].splitlines()[0][:200]


def _put(values: dict[str, Any], path: str, value: Any, where: str) -> None:
    *parents, last = path.split(".")
    container: Any = values
    # A step that is missing is made, so that `--set execution.threads=2` works in a config without `execution`.
    for step in parents:
        if isinstance(container, list):
            container = _item(container, step, where)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(container, dict):
            container = container.setdefault(step, {})  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(container, list):
        _item(container, last, where)  # pyright: ignore[reportUnknownArgumentType]
        container[int(last)] = value
    elif isinstance(container, dict):
        container[last] = value
    else:
        raise ConfigError(
            f"{where}: {'.'.join(parents)[:80]} is {brief(container)} and has no field {brief(last)}; give a mapping "  # pyright: ignore[reportUnknownArgumentType]
            f"in its place, such as {{source: MODEL, {last[:80]}: VALUE}} for a model"
        )


def _item(items: list[Any], step: str, where: str) -> Any:
    # isdecimal alone accepts the digits of other scripts, and int() refuses a text of thousands of digits.
    if not (step.isascii() and step.isdecimal() and len(step) < 10) or int(step) >= len(items):
        raise ConfigError(f"{where}: {brief(step)} is not an index of a list of {len(items)}")
    return items[int(step)]


def read_annotator(text: str, field: str = "annotator", changes: Sequence[str] = ()) -> AnnotatorSettings:
    """Return the annotator that a YAML file or a short form (such as `people` or `oracle:COLUMN`) describes.

    The class of a kind says which field its short form fills (`AnnotatorSettings.short`). `changes` are applied to a
    YAML file only. Raises ConfigError, which names `field` or the file, if the annotator cannot be read.
    """
    kind, colon, rest = text.partition(":")
    # A short form is tried before a path: a file named like one can still be given as `./people`.
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
        program = f". To run it as a program, write command:{text[:200]}" if " " in text.strip() else ""
        raise ConfigError(
            f"{field}: there is no file {brief(text)}; give a YAML file, or {', '.join(short_forms())}{program}"
        )
    if path.suffix.lower() in _PROGRAMS:
        raise ConfigError(
            f"{field}: {brief(text)} is a program and no YAML file; write command: and how it is started, such as "
            f"'command:python {text[:200]}'"
        )
    values = _mapping(_text(path), str(path))
    for change in changes:
        _set(values, change)
    return checked(ANNOTATOR, values, str(path))


def read_proposals(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `proposals`: those in a YAML file, or those that name another file, which holds proposals.
    Raises ConfigError if the YAML file cannot be read."""
    if not isinstance(given, str):
        return dict(given)
    path = Path(given)
    return _mapping(_text(path), given) if path.suffix.lower() in {".yaml", ".yml"} else {"kind": "file", "path": given}


def short_forms() -> list[str]:
    """Return the short forms of all annotators. Those that need no value come first."""
    known = [(kind, settings.short) for kind, settings in ANNOTATORS.all().items() if settings.short is not None]
    return [kind for kind, short in known if not short] + [f"{kind}:{short.upper()}" for kind, short in known if short]


def words_of(text: str, field: str) -> list[str]:
    """Split one line into a program and its arguments, as a shell does.

    Raises ConfigError, which names `field`, if a quote is not closed or no program is named.
    """
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
    """Say whether there is such a file. A name that the system refuses counts as no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long, or contains a null character
        return False


def refine_config(values: dict[str, Any], changes: Sequence[str] = ()) -> RefineConfig:
    """Return the checked settings of a refinement after applying `changes`.

    Raises ConfigError, which lists everything that is wrong.
    """
    return changed(REFINEMENT, values, "refine", changes)


def changed(adapter: TypeAdapter[C], values: dict[str, Any], name: str, changes: Sequence[str]) -> C:
    """Return the checked settings of `values` after applying `changes`. Raises ConfigError as `checked` does."""
    for change in changes:
        _set(values, change)
    return checked(adapter, values, name)


_PROGRAMS = frozenset({".py", ".sh", ".js", ".rb", ".pl", ".r", ".exe"})
"""How the names of programs end."""
MOST_SHOWN = 20
"""How many errors of one config are shown. Further ones are only counted."""


def checked(adapter: TypeAdapter[C], values: object, name: str, strict: bool = False) -> C:
    """Return the settings that `values` describe. `name` is used in errors.

    With `strict`, a text is not converted to a number, nor a number to a text. Raises ConfigError, which names each
    wrong field, its value and the fix.
    """
    _check_text(values, name, "")
    try:
        return adapter.validate_python(values, strict=strict or None)
    except OSError as error:  # a setting names a file, and the system refuses its name
        raise ConfigError(f"{name}: {brief(error.filename)}: {error.strerror}; check the names of files") from None
    except ValidationError as error:
        lines = explained(error, values)
        more = [f"and {len(lines) - MOST_SHOWN} more"] if len(lines) > MOST_SHOWN else []
        raise ConfigError("\n".join([f"{name}:", *lines[:MOST_SHOWN], *more])) from None


def _check_text(value: object, name: str, field: str, depth: int = 0) -> None:
    """Raise ConfigError if a text contains half a character, because no file and no tokenizer accepts it."""
    if depth > DEEPEST:
        raise ConfigError(f"{name}: {field[:80]}: more than {DEEPEST} levels of lists and mappings; write it flatter")
    match value:
        case str() if not is_whole(value):
            raise ConfigError(
                f"{name}:\n{field[:80] or 'config'}: {brief(value)} found: contains half a character (a lone "
                "surrogate); write the whole character"
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
