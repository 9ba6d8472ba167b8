"""What every method receives, and what it returns for each round."""

from __future__ import annotations

import dataclasses
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
    """How to measure the distance of two texts, where comparing their final answers is not enough.

    The measurement is a stage of its own. `measure` takes pairs of texts and yields their scores. Only proposals with a
    score above 0 are compared. With `share`, only that share of them is compared: the most distant ones. `outside`
    means that a server or a user's program measures.
    """

    config: Mapping[str, JsonValue]
    inputs: Mapping[str, Artifact]
    measure: Callable[[Sequence[TextPair]], Iterator[Sequence[Score]]]
    share: float | None = None
    outside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPair:
    """An example's current answer and its proposal."""

    id: str
    prompt: tuple[Message, ...]
    current: str
    proposal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The settings of an audit: judge up to `size` of each round's accepted changes again.

    The 5 % of allowed error is divided among `rounds`. If the bound on harm is above `max_harm`, the round's changes
    are taken back; None means that they are always kept.
    """

    size: int
    rounds: int
    max_harm: float | None
    auditor: AnnotatorPlan


def no_model(field: str) -> Artifact:
    """Stand for the models of a method that names none."""
    raise AssertionError(f"{field}: the method names no model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One seed's unreliable supervision: what every method receives.

    It names the rows without ground truth, their demonstrations, the annotator that compares and the model that learns.
    `train_proposers` says how the models that propose answers are trained, if that differs from `train`. `proposals`
    are answers that came from elsewhere: then no model is trained to propose any.
    If `models` is `last`, only the last round's model is trained, because nobody measures the others; with `ends` that
    of round 0 is trained, too. The other rounds then name the base model in its place. If it is `none`, no round has a
    model, and `base` stands for none.

    `model` returns the model that a field of the method's settings names, such as that of a reward model.

    `per_row` is how many comparisons a round may make for each row that it compares: more than one if the annotator is
    also asked about edits of the proposal.

    `tested` is the annotator's self-test. Its temperature scales the probabilities that are compared with a gate; with
    None they stay as they are.
    """

    steps: Steps
    rows: Rows
    demonstrations: Artifact
    gold: Artifact | None
    annotator: AnnotatorPlan
    base: Artifact
    train: TrainSettings
    decode: Decoding
    train_proposers: TrainSettings | None = None
    budget: Budget = PAPER_BUDGET
    compat: Compat = PAPER_WAYS
    differing: Differing | None = None
    checker: AnnotatorPlan | None = None
    audit: Audit | None = None
    models: Literal["every", "ends", "last", "none"] = "every"
    proposals: Artifact | None = None
    tested: Artifact | None = None
    per_row: int = 1
    model: Callable[[str], Artifact] = no_model

    @property
    def comparisons(self) -> int | Literal["rows"] | None:
        """The limit on a round's comparisons: a number, `rows` for as many as there are rows, or None for no limit."""
        return self.budget.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a round compared: the stage with its ledger, and the artifacts with the answers that the ledger names.

    `before` are the stages with comparisons that were judged before those of the ledger, as in a tournament. `judged`
    is the stage with the judgements, if a report needs them.
    """

    ledger: Artifact
    sides: tuple[Artifact, ...]
    before: tuple[Artifact, ...] = ()
    judged: Artifact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The result of one round: a model and the labels that it was trained on. Round 0 compares nothing.

    `relabelled` is true if the round changed labels (refinement) and false if it changed the model (preference
    optimisation). `rows` are the rows that have a label; with None all rows have one.
    """

    number: int
    model: Artifact
    demonstrations: Artifact
    compared: Compared | None = None
    relabelled: bool = False
    rows: Rows | None = None


def counted(setting: Setting, of: Literal["all", "compared"] | None) -> Setting:
    """Return the setting in which a method's largest share is a share of all rows or of what was compared.

    None leaves it as the config's `compat.cap` has it: the released code's cap is a share of what was compared, too.
    """
    if of is None:
        return setting
    cap: Literal["rows", "differing"] = "differing" if of == "compared" else "rows"
    return dataclasses.replace(setting, compat=setting.compat.model_copy(update={"cap": cap}))
