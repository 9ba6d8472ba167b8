"""How an annotator is made in an experiment: the stages before it, and what it is once they are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from burnish.config import TrainSettings
from burnish.steps.artifacts import Rows
from burnish.steps.basic import Steps
from burnish.types import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What an annotator may be made from: ground truth of half G, and the base models."""

    steps: Steps
    ground: Rows
    gold: Artifact
    bases: Mapping[str, Artifact] = field(default_factory=dict[str, Artifact])
    train: TrainSettings
