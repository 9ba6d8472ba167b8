"""What the verbs of `seam` can be told, from the texts of the command line: sources, checkers and models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from burnish.config import PERTURBATIONS, AnyPerturbation, PerturbationSettings
from burnish.config.kinds import load_plugins
from burnish.config.reading import changed, is_file
from burnish.config.yaml_text import read_yaml
from burnish.errors import ConfigError, brief
from burnish.perturbations import Checker
from burnish.protocols import Executes
from burnish.tasks import task_named
from burnish.tasks.own import TextAnswers, number_of
from burnish.tasks.readers import reader_of

_SOURCE: TypeAdapter[PerturbationSettings] = TypeAdapter(AnyPerturbation)


def source_of(text: str, changes: Sequence[str] = ()) -> PerturbationSettings:
    """Return the source that a YAML file or a short form (such as `own` or `weaker:MODEL`) describes.

    `changes` (`a.b=c`) are applied to both. Raises ConfigError, which names the field or the file.
    """
    kind, colon, rest = text.partition(":")
    settings = PERTURBATIONS.get(kind)
    if settings is not None:
        if colon and not (settings.short and rest):
            raise ConfigError(f"--source: {brief(text)} found; write {_short_form(kind, settings)}")
        values: dict[str, Any] = {"kind": kind} | ({settings.short: rest} if colon else {})
        return changed(_SOURCE, values, "--source", changes)
    path = Path(text)
    if not is_file(path):
        load_plugins()
        forms = ", ".join(_short_form(name, known) for name, known in PERTURBATIONS.all().items())
        raise ConfigError(f"--source: {brief(text)} found; write {forms}, or the name of a YAML file")
    read = read_yaml(path.read_text(encoding="utf-8", errors="replace"), text)
    if not isinstance(read, dict):
        raise ConfigError(f"{text}: {type(read).__name__} found; write a mapping that has a kind")
    return changed(_SOURCE, dict(read), text, changes)  # pyright: ignore[reportUnknownArgumentType]


def _short_form(kind: str, settings: type[PerturbationSettings]) -> str:
    if not settings.short:
        return kind
    required = settings.model_fields[settings.short].is_required()
    value = f":{settings.short.upper()}"
    return f"{kind}{value}" if required else f"{kind}[{value}]"


def checker_of(kind: str) -> Checker:
    """Return the checker of a kind: number, marked (a number after `####`), text, or the kind of a task.

    Raises ConfigError for an unknown kind, and for a task that must execute answers.
    """
    match kind:
        case "number" | "marked":
            known = number_of(kind == "marked")
            return Checker(kind=kind, reader=known.reader, grader=known.grader)
        case "text":
            return Checker(kind=kind, reader=kind, grader=TextAnswers())
        case _:
            try:
                grader = task_named(kind)
            except ConfigError as error:
                found = str(error).removeprefix("task: ")
                raise ConfigError(f"--checker: {found}; or choose number, marked or text") from None
            if isinstance(grader, Executes):
                raise ConfigError(
                    f"--checker: {kind!r} executes answers on databases, which a dataset of prompts does not name; "
                    "leave the checker out (--source adversarial:sql edits queries without one)"
                )
            return Checker(kind=kind, reader=reader_of(kind, grader), grader=grader)
