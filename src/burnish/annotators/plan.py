"""How an annotator is made in an experiment: the stages before it, and what it is once they are done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from burnish.artifacts import Rows
from burnish.config import TrainSettings
from burnish.protocols import Annotator
from burnish.steps import Steps
from burnish.types import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorPlan:
    """An annotator that is ready once its inputs are there: `make` takes the rows whose answers it is to judge.

    `shares` of the cap by source, for mixed feedback. The oracle reads the rows' references, the others the prompts.
    With `members` it is they that judge, each in a stage of its own, and then vote.
    """

    kind: str
    config: Mapping[str, JsonValue]
    inputs: Mapping[str, Artifact]
    make: Callable[[Rows], Annotator]
    shares: Mapping[str, float] | None = None
    members: tuple[AnnotatorPlan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What an annotator may be made from: ground truth of half G, and the base models."""

    steps: Steps
    ground: Rows
    gold: Artifact
    bases: Mapping[str, Artifact] = field(default_factory=dict[str, Artifact])
    train: TrainSettings
