"""Methods: one settings class for each."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, field_validator

from burnish.config.base import (
    MOST_REPEATS,
    Name,
    PositiveFloat,
    Probability,
    Repeats,
    Settings,
    Share,
    number_from_text,
)
from burnish.config.kinds import Kinds, OneOf
from burnish.config.models import Loss, Objective, Optimizer, TrainSettings
from burnish.types import Accept

Gate: TypeAlias = Annotated[float, BeforeValidator(number_from_text), Field(ge=0.5, le=1)]
"""A probability that is no less than one half."""


class MethodSettings(Settings):
    """Base of all methods. What others have to know of a kind of method stands on its class."""

    kind: Any  # (each class narrows it to its one name)
    name: Name
    label: ClassVar[str | None] = None
    """What reports call the method under its usual name; None shows the name itself."""
    asks_annotator: ClassVar[bool] = False
    """Whether it compares proposals by asking an annotator."""
    refines: ClassVar[bool] = False
    """Whether it changes labels, so that `burnish refine` can use it."""
    experiments: ClassVar[bool] = True
    """Whether an experiment can use it."""

    @property
    def last_round(self) -> int:
        """The number of the last round; 0 for a method without rounds."""
        return int(getattr(self, "rounds", 0))

    @property
    def proposers_passes(self) -> int:
        """How often all rows are trained on in a round, so that models can propose."""
        return 1

    @property
    def samples_per_row(self) -> int:
        """How many answers a row gets in a round."""
        return 1

    @property
    def comparisons_per_row(self) -> int:
        """The most comparisons that an annotator is asked for a row in a round."""
        return 1 if self.asks_annotator else 0

    @property
    def program(self) -> tuple[str, ...] | None:
        """The user's program that the method asks instead of an annotator, None where it asks none."""
        return None

    def for_refinement(self) -> Self:
        """Return the settings with the defaults of `burnish refine`, where they are not those of an experiment."""
        return self


class GatedMethod(MethodSettings):
    """Base of the methods that choose by P(the proposal is better)."""

    unwritten: ClassVar[frozenset[str]] = frozenset({"gate"})
    gate: Gate = 0.5
    """The least P(the proposal is better) that is accepted."""


class ComparingMethod(GatedMethod):
    """Base of the methods that ask an annotator, who may be shown a pair in two orders."""

    asks_annotator: ClassVar[bool] = True
    unwritten: ClassVar[frozenset[str]] = frozenset({"accept", "gate"})
    accept: Accept | None = None
    """What two orders of a pair come to. `mean`: their mean decides (the paper). `both-orders`: a proposal is accepted
    only if each order prefers it. If not given: `mean` in an experiment, `both-orders` in a refinement."""

    def for_refinement(self) -> Self:
        """Return the settings with `both-orders` where nothing is said of it."""
        return self if self.accept is not None else self.model_copy(update={"accept": Accept.BOTH_ORDERS})


METHODS = Kinds("method", MethodSettings)


@METHODS.add
class SftMethod(MethodSettings):
    """One finetuning on the demonstrations as they are."""

    label: ClassVar[str | None] = "SFT"

    kind: Literal["sft"]
    name: Name = "sft"
    """How the method is called in results."""
    demonstrations: Literal["given", "gold"] = "given"
    """`gold` trains on the references of the same rows: the ceiling."""


@METHODS.add
class NaiveMethod(MethodSettings):
    """Replace a random share alpha by proposals, without feedback (appendix E.2)."""

    label: ClassVar[str | None] = "naive (no feedback)"
    refines: ClassVar[bool] = True

    kind: Literal["naive"]
    name: Name = "naive"
    """How the method is called in results."""
    rounds: Repeats = 4
    """Rounds K."""
    alpha: Share = 0.15
    """Share of the rows replaced in each round."""


@METHODS.add
class IlrMethod(ComparingMethod):
    """Iterative label refinement (Algorithm 1)."""

    label: ClassVar[str | None] = "ILR"
    refines: ClassVar[bool] = True

    kind: Literal["ilr"]
    name: Name = "ilr"
    """How the method is called in results."""
    rounds: Repeats = 4
    """Rounds K."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round (section 5.1)."""
    splits: Annotated[int, Field(ge=2, le=MOST_REPEATS, strict=True)] = 2
    """Parts into which the rows are cut; each is answered by a model that was trained on all the others."""
    cross_label: bool = True
    """false: each model proposes for the rows that it was trained on, to see what the split buys."""

    @property
    def proposers_passes(self) -> int:
        """Each row is trained on by the models of all other parts."""
        return self.splits - 1


class PairsFrom(StrEnum):
    """Where the two answers of a pair come from.

    policy: two samples of the policy that the round starts from (DPO). halves: two samples of a model that was trained
    on the other half of the demonstrations (sDPO, appendix E.4). labels: the demonstration and a sample of the policy
    (wsDPO).
    """

    POLICY = "policy"
    HALVES = "halves"
    LABELS = "labels"


@METHODS.add
class DpoMethod(ComparingMethod):
    """Multi-round direct preference optimisation and its variants (section 3, appendices C and E.4, E.5)."""

    label: ClassVar[str | None] = "DPO"

    kind: Literal["dpo"]
    name: Name = "dpo"
    """How the method is called in results."""
    rounds: Repeats = 4
    """Rounds K; in each, the reference is the policy that the round starts from (released code)."""
    after: IlrMethod | None = None
    """Refine the labels first: DPO then starts from the last round's model (section 7, future work)."""
    pairs_from: PairsFrom = PairsFrom.POLICY
    """DPO, sDPO or wsDPO."""
    samples: Annotated[int, Field(ge=2, le=MOST_REPEATS, multiple_of=2, strict=True)] = 6
    """Answers sampled for a prompt; each two make a pair (appendix C: 6, so 3 pairs). wsDPO samples half as many, so
    that there are as many pairs."""
    temperature: PositiveFloat = 0.7
    """At which the policy is sampled (released code: 0.7 on GSM8K and BIRD)."""
    pairs: Literal["all", "differing"] = "all"
    """`differing`: a pair whose final answers agree is not judged. Equal texts never are."""
    keep: Share = 0.15
    """At most this share of all pairs, the most confident, is trained on (appendix C)."""
    loss: Loss = Loss.SIGMOID
    """DPO's own, or one that is meant for noisy preferences (appendix E.5)."""
    beta: PositiveFloat = 0.1
    """How strongly the policy is held to the reference."""
    flip_rate: Probability = 0.1
    """The share of preferences that cdpo and rdpo take to be wrong, below 0.5."""
    learning_rate: PositiveFloat = 1e-6
    """Highest learning rate (appendix C)."""
    optimizer: Optimizer = Optimizer.RMSPROP
    """Which optimiser (appendix C)."""
    epochs: PositiveFloat | None = None
    """Passes over the pairs; as many as the strong model's finetuning if not given (appendix C)."""

    @field_validator("flip_rate")
    @classmethod
    def _below_half(cls, value: float) -> float:
        if value >= 0.5:
            raise ValueError("must be below 0.5: preferences that are wrong more often say nothing")
        return value

    @property
    def samples_per_row(self) -> int:
        """Answers that the policy writes for a prompt; wsDPO takes half as many."""
        return self.samples // 2 if self.pairs_from is PairsFrom.LABELS else self.samples

    @property
    def comparisons_per_row(self) -> int:
        """Each two answers make a pair."""
        return self.samples // 2

    @property
    def objective(self) -> Objective:
        """What training minimises."""
        return Objective(loss=self.loss, beta=self.beta, flip_rate=self.flip_rate)

    def training(self, sft: TrainSettings) -> TrainSettings:
        """Return how the policy is trained, given how the model before it was finetuned."""
        changed = {"learning_rate": self.learning_rate, "optimizer": self.optimizer}
        return sft.model_copy(update=changed | ({"epochs": self.epochs} if self.epochs else {}))


@METHODS.add
class ClearMethod(ComparingMethod):
    """A confidence gate without cross-labelling (CLEAR, Chen & Mueller, arXiv 2403.12776): the model trained on all
    rows proposes for all of them, and a proposal is taken where the annotator is sure enough."""

    unwritten: ClassVar[frozenset[str]] = frozenset({"accept"})
    refines: ClassVar[bool] = True
    kind: Literal["clear"]
    name: Name = "clear"
    """How the method is called in results."""
    rounds: Repeats = 1
    """Rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round: the same cap for every method."""
    gate: Gate = 0.8
    """The least P(the proposal is better) that is accepted."""


@METHODS.add
class MajorityMethod(GatedMethod):
    """The most frequent of several sampled answers is the proposal, its share of the votes the confidence
    (self-consistency, Wang et al., arXiv 2203.11171); no annotator is asked."""

    refines: ClassVar[bool] = True
    kind: Literal["majority"]
    name: Name = "majority"
    """How the method is called in results."""
    rounds: Repeats = 2
    """Rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round."""
    samples: Annotated[int, Field(ge=2, le=MOST_REPEATS, strict=True)] = 8
    """Answers sampled for a prompt."""
    temperature: PositiveFloat = 0.7
    """At which they are sampled."""

    @property
    def samples_per_row(self) -> int:
        """Answers that are sampled for a prompt."""
        return self.samples


@METHODS.add
class VerifiedMethod(GatedMethod):
    """A checker accepts: a proposal replaces a label where the checker passes it and not the label."""

    refines: ClassVar[bool] = True
    experiments: ClassVar[bool] = False
    kind: Literal["verified"]
    name: Name = "verified"
    """How the method is called in results."""
    rounds: Repeats = 2
    """Rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round."""
    checker: Annotated[tuple[str, ...], Field(min_length=1)]
    """A program and its arguments, without a shell: it reads {id, prompt, answer} as JSON lines on stdin and writes
    {id, passed: true or false}."""

    @property
    def program(self) -> tuple[str, ...] | None:
        """The checker."""
        return self.checker

    @property
    def comparisons_per_row(self) -> int:
        """The checker looks at a proposal and its label."""
        return 1


Method: TypeAlias = Annotated[MethodSettings, OneOf(METHODS, where=lambda one: one.experiments)]
"""A method of an experiment."""
RefineMethod: TypeAlias = Annotated[MethodSettings, OneOf(METHODS, where=lambda one: one.refines)]
"""A method of `burnish refine`."""
