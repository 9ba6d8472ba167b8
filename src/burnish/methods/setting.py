"""What every method is given, and what it returns for a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from burnish.annotators import AnnotatorPlan
from burnish.artifacts import Rows
from burnish.config import Budget, Compat, Decoding, TrainSettings
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
    budget: Budget
    compat: Compat

    @property
    def comparisons(self) -> int | Literal["rows"] | None:
        """How many comparisons a round may cost: so many, as many as there are rows, or (None) all that there are."""
        return None if self.budget.kind == "paper" else self.budget.comparisons or "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a round compared: the stage that holds its ledger, and the answers that stand on the ledger's sides."""

    ledger: Artifact
    sides: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a method has after a round: a model and the labels it was trained on; round 0 compared nothing.

    `relabelled`: the round changed labels (refinement) rather than the model (preference optimisation).
    """

    number: int
    model: Artifact
    demonstrations: Artifact
    compared: Compared | None = None
    relabelled: bool = False
