"""Write the pages of docs that come from the code, such as docs/cli.md: python scripts/write_docs.py."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from burnish.cli import main as cli
from burnish.config import (
    ANNOTATORS,
    PERTURBATIONS,
    AlgorithmSettings,
    AnnotatorSettings,
    Config,
    MethodSettings,
    OneOf,
    OwnConfig,
    PerturbationSettings,
    RefineConfig,
    RewardSettings,
    Settings,
    TaskSettings,
)
from burnish.config.rewards import RewardTraining
from burnish.config.seam_study import STUDIES
from burnish.config.study import ComparisonStudy, DemonstrationStudy

DOCS = Path(__file__).parent.parent / "docs"
HEAD = "<!-- Written by scripts/write_docs.py; the tests compare it with the code. -->\n"
WIDTH = 100
_BASES = (AlgorithmSettings, AnnotatorSettings, MethodSettings, PerturbationSettings, RewardSettings, TaskSettings)
"""Classes from which kinds inherit; the kinds themselves are listed instead."""


def pages() -> dict[str, str]:
    """Return {file name under docs: text}."""
    return {
        "cli.md": cli_page(),
        "config.md": config_page(),
        "refine-config.md": refine_config_page(),
        "seam-config.md": seam_config_page(),
        "seam-experiments-config.md": seam_experiments_config_page(),
        "study-config.md": study_config_page(),
    }


def cli_page() -> str:
    """Return the help of every verb."""
    parts = [HEAD, "# The command line\n", _fenced(_help(cli, "burnish"))]
    parts += [f"## {name}\n\n{_fenced(_help(command, name))}" for name, command in verbs(cli, "burnish")]
    return "\n".join(parts)


def verbs(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each verb of a group under its full name, sorted, and after a group those that it has."""
    for own, command in sorted(group.commands.items()):
        full = f"{name} {own}"
        yield full, command
        if isinstance(command, click.Group):
            yield from verbs(command, full)


def _help(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name, terminal_width=WIDTH, help_option_names=["-h", "--help"])
    return command.get_help(context)


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```\n"


def config_page() -> str:
    """Return every setting with its type, default and description."""
    intro = (
        "A config is a YAML file; `burnish run CONFIG --set a.b=c` changes a field. An unknown field is an error. "
        "`kind` chooses among the forms of `task`, `annotator` and a method. A model may be given as a text alone, "
        "its `source`; there, `${NAME}` is replaced from the environment and `~` by the home folder. "
        "A file may also have `variants` ([paper.md](paper.md)). "
        "Everything but `execution` changes results and is part of the identity of a stage ([stages.md](stages.md)).\n"
    )
    parts = [HEAD, "# Settings\n", intro, *(_section(model) for model in models(Config))]
    return "\n".join(parts)


def refine_config_page() -> str:
    """Return every setting of a refinement, its annotators included."""
    annotators = [model for model in ANNOTATORS.all().values() if model is not OwnConfig]
    intro = (
        "What `burnish refine` can be told; [refine.md](refine.md) explains it. Many fields have an option of their "
        "own, and `--set a.b=c` reaches all of them: `--set train.epochs=3`. "
        f"An annotator's YAML file has the fields of one of {', '.join(map(_link, annotators))}, chosen by its `kind`. "
        "`refined/config.yaml` records all settings of a refinement. An unknown field is an error. "
        "Everything but `execution` and what is said not to change results is part of the identity of a stage "
        "([stages.md](stages.md)).\n"
    )
    parts = [HEAD, "# Settings of a refinement\n", intro, *(_section(model) for model in models(RefineConfig))]
    return "\n".join(parts)


def seam_config_page() -> str:
    """Return every setting of the training of a reward model and of the sources of worse answers."""
    sources = list(PERTURBATIONS.all().values())
    intro = (
        "What `burnish reward train` and `burnish seam` can be told; [rewards.md](rewards.md) and [seam.md](seam.md) "
        "explain it. Many fields have an option of their own, and `--set a.b=c` reaches all of them: "
        "`burnish reward train --set train.schedule=linear`, `burnish seam score --source own --set samples=32`. "
        f"A source's YAML file has the fields of one of {', '.join(map(_link, sources))}, chosen by its `kind`. "
        "The defaults of `train` are those of docs/rewards.md and not those of TrainSettings.\n"
    )
    found = [model for root in (RewardTraining, *sources) for model in models(root)]
    sections = map(_section, dict.fromkeys(found))
    return "\n".join([HEAD, "# Settings of reward models and of SEAM\n", intro, *sections])


def seam_experiments_config_page() -> str:
    """Return every setting of the experiments on SEAM."""
    kinds = list(STUDIES.all().values())
    intro = (
        "The settings of the experiments that `make seam` computes; [seam-experiments.md](seam-experiments.md) "
        "explains them. A file of `configs/seam` with a `kind` has the fields of one of "
        f"{', '.join(map(_link, kinds))}. Without a `kind` it is a config of `burnish run` ([config.md](config.md)). "
        "An unknown field is an error.\n"
    )
    found = dict.fromkeys(model for kind in kinds for model in models(kind))
    return "\n".join([HEAD, "# Settings of the experiments on SEAM\n", intro, *map(_section, found)])


def study_config_page() -> str:
    """Return every setting of a study."""
    intro = (
        "The settings of a study are in `study.yaml` in its folder; [study.md](study.md) explains studies. `burnish "
        "study new --settings FILE` takes those that differ from the defaults. An unknown field is an error. `kind` "
        "chooses the form: what people do. All settings are frozen when the first person arrives.\n"
    )
    found = dict.fromkeys(model for kind in (DemonstrationStudy, ComparisonStudy) for model in models(kind))
    return "\n".join([HEAD, "# Settings of a study\n", intro, *map(_section, found)])


def models(root: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a config class and all that its fields name, in the order in which they come."""
    found: list[type[BaseModel]] = [root]
    for model in found:
        for field in model.model_fields.values():
            inside = [*_marked(field.metadata), *_inside(field.annotation)]
            found.extend(inner for inner in dict.fromkeys(inside) if inner not in found)
    return found


def _marked(metadata: Sequence[Any]) -> Iterator[type[BaseModel]]:
    """Yield the classes among which a `kind` chooses."""
    for mark in metadata:
        if isinstance(mark, OneOf):
            yield from cast(OneOf[Settings], mark).classes()


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if get_origin(annotation) is Annotated and any(isinstance(mark, OneOf) for mark in get_args(annotation)):
        yield from _marked(get_args(annotation))
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in _BASES:
        yield annotation
    for argument in get_args(annotation):
        yield from _inside(argument)


def _section(model: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {_cell(field_words(field))} | {_cell(_default(field))} | {_cell(described(name, field))} |"
        for name, field in model.model_fields.items()
    ]
    table = "\n".join(["| field | type | default | |", "|---|---|---|---|", *rows])
    return f"## {model.__name__}\n\n{inspect.cleandoc(model.__doc__ or '')}\n\n{table}\n"


def described(name: str, field: FieldInfo) -> str:
    """Return what a setting says of itself; `kind` needs no words of its own."""
    return field.description or ("Chooses this form." if name == "kind" else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    assert value is not PydanticUndefined, field
    if isinstance(value, BaseModel):
        changed = value.model_dump(mode="json", exclude_unset=True)
        said = ", ".join(f"{name}: {item}" for name, item in changed.items())
        return f"`{{{said}}}`" if said else f"as in {_link(type(value))}"
    if isinstance(value, tuple):
        return f"`{list(value)}`"  # pyright: ignore[reportUnknownArgumentType]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def field_words(field: FieldInfo) -> str:
    """Say a field's type; where a `kind` chooses, the classes among which it does."""
    if choices := list(_marked(field.metadata)):
        return " or ".join(map(_link, choices))
    return type_words(field.annotation)


def type_words(annotation: Any) -> str:
    """Say a field's type as a reader of YAML thinks of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        return _plain_type(annotation)
    if origin is Annotated:
        choices = list(_marked(arguments[1:]))
        return " or ".join(map(_link, choices)) if choices else type_words(arguments[0])
    if origin is tuple:
        return f"list of {type_words(arguments[0])}"
    if origin is dict:
        return "mapping"
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    assert origin in {Union, UnionType}, annotation
    return " or ".join(dict.fromkeys(type_words(argument) for argument in arguments))


def _plain_type(annotation: type) -> str:
    if issubclass(annotation, BaseModel):
        return _link(annotation)
    if issubclass(annotation, Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    return {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "null"}[annotation]


def _link(model: type[BaseModel]) -> str:
    return f"[{model.__name__}](#{model.__name__.lower()})"


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
