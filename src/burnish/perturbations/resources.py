"""Everything from which sources of worse answers are built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import JsonValue

from burnish.config import ChatServerSettings, EmbeddingDiffers, EmbeddingServerDiffers
from burnish.protocols import Grader
from burnish.steps.artifacts import Rows
from burnish.steps.basic import Steps
from burnish.types import Artifact, Completion, Prompt

Writes: TypeAlias = Callable[[Iterable[Prompt]], Iterator[Sequence[Completion]]]
"""Lets a model on a server answer prompts, in any order. A prompt without an answer gets an empty one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """Says whether an answer is right. `kind` is the name by which it was chosen, and `reader` names its version."""

    kind: str
    reader: str
    grader: Grader


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedBy:
    """What turns texts into unit vectors, of the shape (texts, numbers of a vector).

    The array may be a sparse matrix of scipy. `config` and `inputs` identify it. `outside` means that a server is
    asked.
    """

    config: Mapping[str, JsonValue]
    vectors: Callable[[Sequence[str]], Any]
    inputs: Mapping[str, Artifact] = field(default_factory=dict[str, Artifact])
    outside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResources:
    """Everything from which a source is built.

    `rows` are the prompts with their gold answers as references. `most` is the number of worse answers that is wanted
    for each. `policy` is the policy's model, or None where there is none, and `model` returns the model that a config
    field names. `field` is the config field that holds the source's settings. `embedded_by` returns what makes vectors
    from the settings of an embedder, and `writer` what lets a model on a server write.
    """

    steps: Steps
    rows: Rows
    most: int
    field: str
    policy: Artifact | None
    model: Callable[[str], Artifact]
    embedded_by: Callable[[EmbeddingDiffers | EmbeddingServerDiffers], EmbeddedBy]
    writer: Callable[[ChatServerSettings], Writes]
    checker: Checker | None = None
