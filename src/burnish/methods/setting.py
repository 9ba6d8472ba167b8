"""What every method is given, and what it returns for a round."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.annotators import AnnotatorPlan
from burnish.artifacts import Rows
from burnish.config import Decoding, TrainSettings
from burnish.steps import Steps
from burnish.types import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One seed's unreliable supervision: rows without ground truth, their demonstrations, who compares, who learns."""

    steps: Steps
    rows: Rows
    demonstrations: Artifact
    gold: Artifact
    annotator: AnnotatorPlan
    base: Artifact
    train: TrainSettings
    decode: Decoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """How a round's labels came about: from which labels, with whose proposals, by which stage."""

    previous: Artifact
    proposals: tuple[Artifact, Artifact]
    stage: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a method has after a round: a model and the labels it was trained on; round 0 refined nothing."""

    number: int
    model: Artifact
    demonstrations: Artifact
    refined: Refined | None = None
