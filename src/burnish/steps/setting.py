"""What every method is given, and what it returns for a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from burnish.config import Budget, Compat, Decoding, TrainSettings
from burnish.protocols import Score
from burnish.steps.artifacts import Rows
from burnish.steps.basic import Steps
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Artifact, Message

PAPER_BUDGET, PAPER_WAYS = Budget(), Compat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """How far apart two texts are, where that is more than a look at their final answers: a stage of its own.

    `measure` takes (id, prompt, current, proposal) and yields scores; only proposals above 0 and, with `share`, only
    that share of them, the most distant, are compared.
    """

    config: Mapping[str, JsonValue]
    inputs: Mapping[str, Artifact]
    measure: Callable[[Sequence[TextPair]], Iterator[Sequence[Score]]]
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPair:
    """An example's current answer and a proposal."""

    id: str
    prompt: tuple[Message, ...]
    current: str
    proposal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Judge up to `size` of a round's accepted changes again; `rounds` share the 5 % of error."""

    size: int
    rounds: int
    max_harm: float | None
    auditor: AnnotatorPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One seed's unreliable supervision: rows without ground truth, their demonstrations, who compares, who learns.

    `models`: with `last`, only the last round's model is trained, since nobody measures the others; their rounds name
    the base in its place.
    """

    steps: Steps
    rows: Rows
    demonstrations: Artifact
    gold: Artifact | None
    annotator: AnnotatorPlan
    base: Artifact
    train: TrainSettings
    decode: Decoding
    budget: Budget = PAPER_BUDGET
    compat: Compat = PAPER_WAYS
    differing: Differing | None = None
    checker: AnnotatorPlan | None = None
    audit: Audit | None = None
    models: Literal["every", "last"] = "every"

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
