"""The settings of methods: one settings class for each method."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field, field_validator, model_validator

from burnish.config.base import MOST_REPEATS, Name, PositiveFloat, Probability, Repeats, Share
from burnish.config.distrust import Distrust
from burnish.config.kinds import OneOf
from burnish.config.method_settings import (
    METHODS,
    Cap,
    ComparingMethod,
    GatedMethod,
    MethodRole,
    MethodSettings,
    Rounds,
)
from burnish.config.models import Loss, Objective, Optimizer, TrainSettings

__all__ = [
    "METHODS",
    "Cap",
    "ComparingMethod",
    "DpoMethod",
    "ExperimentMethod",
    "GatedMethod",
    "IlrMethod",
    "MethodRole",
    "MethodSettings",
    "NaiveMethod",
    "PairsFrom",
    "RefineMethod",
    "SftMethod",
    "VerifiedMethod",
]


@METHODS.add
class SftMethod(MethodSettings):
    """One finetuning on the demonstrations as they are."""

    label: ClassVar[str | None] = "SFT"
    role: ClassVar[MethodRole] = MethodRole.SFT

    kind: Literal["sft"]
    name: Name = "sft"
    """The name of the method in results."""
    demonstrations: Literal["given", "gold"] = "given"
    """`given` trains on the given labels. `gold` trains on the references of the same rows, which gives an upper
    bound."""


@METHODS.add
class NaiveMethod(MethodSettings):
    """Replace a random share alpha of the labels by proposals, without any feedback (appendix E.2)."""

    label: ClassVar[str | None] = "naive (no feedback)"
    role: ClassVar[MethodRole] = MethodRole.NAIVE
    refines: ClassVar[bool] = True
    cap_field: ClassVar[str | None] = "alpha"

    kind: Literal["naive"]
    name: Name = "naive"
    """The name of the method in results."""
    rounds: Repeats = 4
    """The number of rounds, K."""
    alpha: Share = 0.15
    """The share of all rows that is replaced in each round."""

    @property
    def parts(self) -> int:
        """The two halves of cross-labelling."""
        return 2


@METHODS.add
class IlrMethod(ComparingMethod):
    """Iterative label refinement (Algorithm 1)."""

    label: ClassVar[str | None] = "ILR"
    role: ClassVar[MethodRole] = MethodRole.ILR
    # Two rounds, as in the paper's human study. In the embedded world, too, ILR gains in two rounds and then loses
    # again (docs/lab-log.md).
    refine_defaults: ClassVar[Mapping[str, int]] = MappingProxyType({"rounds": 2})
    refines: ClassVar[bool] = True
    cap_field: ClassVar[str | None] = "alpha"
    unwritten: ClassVar[frozenset[str]] = ComparingMethod.unwritten | {
        "max_rounds",
        "samples",
        "temperature",
        "distrust",
    }

    kind: Literal["ilr"]
    name: Name = "ilr"
    """The name of the method in results."""
    rounds: Rounds = 4
    """The number of rounds, K. `auto` ends the refinement before a round in which too few of the preferred proposals
    hold: in both orders with `accept: both-orders`, above the `gate`, and with `distrust`. It needs one of these."""
    max_rounds: Repeats = 6
    """The most rounds with `rounds: auto`. With a number of rounds it is not used."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round (section 5.1)."""
    # With one part there would be no other rows to train on.
    splits: Annotated[int, Field(ge=2, le=MOST_REPEATS, strict=True)] = 2
    """The number of parts into which the rows are divided. A model that was trained on all other parts proposes answers
    for a part."""
    cross_label: bool = True
    """With false, each model proposes for the rows on which it was trained. This shows what the split is worth."""
    samples: Repeats = 1
    """The number of answers that are sampled for each row. With 1, nothing is sampled: the proposal is the answer of
    `decode`. With more, they vote first: the most frequent answer is the proposal (section 7, future work)."""
    temperature: PositiveFloat = 0.7
    """The temperature of several samples. It is not used with `samples: 1`."""
    distrust: Distrust | None = None
    """Ask the annotator about edits of each proposal that it prefers, too, and turn the proposal down if it prefers too
    many of them (SEAM inside ILR). If not given, nobody is asked about edits."""

    @model_validator(mode="after")
    def _read(self) -> IlrMethod:
        # A number that nothing reads is a mistake. Passed over, it would let the user believe in a temperature.
        if self.samples == 1 and self.temperature != 0.7:
            raise ValueError(
                f"temperature: {self.temperature:g} has no effect with samples: 1; set samples to 2 or more, or "
                "decode.temperature"
            )
        return self

    @property
    def stops_itself(self) -> bool:
        """Whether a rule decides how many rounds there are."""
        return self.rounds == "auto"

    @property
    def last_round(self) -> int:
        """The number of the last round. With `rounds: auto` it is the largest possible one."""
        return self.max_rounds if self.rounds == "auto" else self.rounds

    @property
    def parts(self) -> int:
        """The parts into which the rows are divided."""
        return self.splits

    @property
    def proposers_passes(self) -> int:
        """How many models of a round are trained on each row: those of all other parts."""
        return self.splits - 1

    @property
    def samples_per_row(self) -> int:
        """How many answers are generated for each row."""
        return self.samples

    @property
    def comparisons_per_row(self) -> int:
        """The comparison with the label, and those with the edits of the proposal."""
        return 1 + (0 if self.distrust is None else self.distrust.worse)


def _counts_rounds(value: IlrMethod) -> IlrMethod:
    # The rounds of the method are numbered from the last round of the refinement, so that number must be known.
    if value.stops_itself:
        raise ValueError("rounds: auto cannot be used before another method; give a number of rounds")
    return value


Before: TypeAlias = Annotated[IlrMethod, AfterValidator(_counts_rounds)]
"""A refinement that comes before another method."""


class PairsFrom(StrEnum):
    """Where the two answers of a pair come from.

    `policy`: both are samples of the policy with which the round starts (DPO). `halves`: both are samples of a model
    that was trained on the other half of the demonstrations (sDPO, appendix E.4). `labels`: one is the demonstration
    and one is a sample of the policy (wsDPO).
    """

    POLICY = "policy"
    HALVES = "halves"
    LABELS = "labels"


@METHODS.add
class DpoMethod(ComparingMethod):
    """Multi-round direct preference optimisation and its variants (section 3, appendices C and E.4, E.5)."""

    label: ClassVar[str | None] = "DPO"
    role: ClassVar[MethodRole] = MethodRole.DPO
    unwritten: ClassVar[frozenset[str]] = ComparingMethod.unwritten | {"pairs_beta"}

    kind: Literal["dpo"]
    name: Name = "dpo"
    """The name of the method in results."""
    rounds: Repeats = 4
    """The number of rounds, K. In each round, the reference is the policy with which the round starts (released
    code)."""
    after: Before | None = None
    """Refine the labels first with these settings of ILR. DPO then starts from the model of the last ILR round (section
    7, future work)."""
    pairs_from: PairsFrom = PairsFrom.POLICY
    """Where the two answers of a pair come from: `policy` is DPO, `halves` is sDPO, `labels` is wsDPO."""
    # An even number, because each two answers make a pair.
    samples: Annotated[int, Field(ge=2, le=MOST_REPEATS, multiple_of=2, strict=True)] = 6
    """The number of answers that are sampled for each prompt. Two answers make a pair (appendix C: 6 answers, so 3
    pairs). wsDPO samples half as many, so that it has the same number of pairs."""
    temperature: PositiveFloat = 0.7
    """The temperature at which the policy is sampled (released code: 0.7 on GSM8K and BIRD)."""
    pairs: Literal["all", "differing"] = "all"
    """`differing` does not judge a pair whose final answers agree. A pair of two equal texts is never judged."""
    keep: Share = 0.15
    """At most this share of all pairs is used for training: the pairs with the most confident preferences (appendix
    C)."""
    loss: Loss = Loss.SIGMOID
    """The loss: DPO's own (`sigmoid`), or one that is meant for noisy preferences (appendix E.5)."""
    beta: PositiveFloat = 0.1
    """How strongly the policy is kept close to the reference."""
    pairs_beta: PositiveFloat | None = None
    """Train on the pairs of the policy with this beta: it writes the answers of all rounds. So several values of beta
    need the comparisons of one (section 6: 0.1). If not given, the policy itself writes them."""
    flip_rate: Probability = 0.1
    """The share of preferences that cdpo and rdpo assume to be wrong. It must be below 0.5."""
    learning_rate: PositiveFloat = 1e-6
    """The highest learning rate (appendix C)."""
    optimizer: Optimizer = Optimizer.RMSPROP
    """The optimiser (appendix C)."""
    epochs: PositiveFloat | None = None
    """The number of passes over the pairs. If not given, as many as in the finetuning of the strong model (appendix
    C)."""

    @field_validator("flip_rate")
    @classmethod
    def _below_half(cls, value: float) -> float:
        # rdpo divides by 1 - 2 eps, which is 0 at one half and negative above it.
        if value >= 0.5:
            raise ValueError("must be below 0.5: preferences that are wrong half of the time say nothing")
        return value

    @model_validator(mode="after")
    def _reads_pairs_beta(self) -> DpoMethod:
        if self.pairs_beta is not None and self.pairs_from is PairsFrom.HALVES:
            raise ValueError(
                f"pairs_beta: {self.pairs_beta:g} has no effect with pairs_from: halves, where none writes answers; "
                "leave it out"
            )
        return self

    @property
    def caps(self) -> tuple[Cap, ...]:
        """The share of the pairs that is kept, and the bound of the refinement that comes before."""
        first = () if self.after is None else tuple(cap._replace(field=f"after.{cap.field}") for cap in self.after.caps)
        return (*first, Cap("keep", self.keep, self.comparisons_per_row))

    @property
    def parts(self) -> int:
        """The two halves of sDPO, or the parts of the refinement that comes before."""
        return max(2 if self.pairs_from is PairsFrom.HALVES else 1, 1 if self.after is None else self.after.parts)

    @property
    def samples_per_row(self) -> int:
        """How many answers the policy writes for each prompt. wsDPO needs half as many."""
        # The other answer of each of its pairs is the label, which costs nothing.
        return self.samples // 2 if self.pairs_from is PairsFrom.LABELS else self.samples

    @property
    def comparisons_per_row(self) -> int:
        """The number of pairs for each prompt: two answers make a pair."""
        return self.samples // 2

    @property
    def objective(self) -> Objective:
        """The loss that training minimises."""
        return Objective(loss=self.loss, beta=self.beta, flip_rate=self.flip_rate)

    def training(self, sft: TrainSettings) -> TrainSettings:
        """Return the settings with which the policy is trained. `sft` has those with which its model was finetuned."""
        changed = {"learning_rate": self.learning_rate, "optimizer": self.optimizer}
        # Batch size, LoRA and schedule stay those of the finetuning: appendix C names only another rate and another
        # optimiser.
        return sft.model_copy(update=changed | ({"epochs": self.epochs} if self.epochs else {}))


@METHODS.add
class VerifiedMethod(GatedMethod):
    """A checking program accepts proposals. A proposal replaces a label if the proposal passes the check and the label
    does not."""

    refines: ClassVar[bool] = True
    cap_field: ClassVar[str | None] = "alpha"
    experiments: ClassVar[bool] = False
    unwritten: ClassVar[frozenset[str]] = frozenset({"gate", "timeout"})
    kind: Literal["verified"]
    name: Name = "verified"
    """The name of the method in results."""
    rounds: Repeats = 2
    """The number of rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round."""
    checker: Annotated[tuple[str, ...], Field(min_length=1)]
    """The checking program and its arguments. They are not run in a shell. The program reads {id, prompt, answer} as
    JSON lines on stdin, and for each of them it writes {id, passed: true or false} on stdout."""
    timeout: PositiveFloat = 600.0
    """The program is ended if it gives no new answer for this many seconds (does not change results)."""

    @property
    def parts(self) -> int:
        """The two halves of cross-labelling."""
        return 2

    @property
    def program(self) -> tuple[str, ...] | None:
        """The checking program."""
        return self.checker

    @property
    def patience(self) -> float:
        """The checker is ended if it gives no new answer for this many seconds."""
        return self.timeout

    @property
    def comparisons_per_row(self) -> int:
        """One comparison for each row: the checker looks at the proposal and at the label."""
        return 1


ExperimentMethod: TypeAlias = Annotated[MethodSettings, OneOf(METHODS, where=lambda settings: settings.experiments)]
"""A method of an experiment."""
RefineMethod: TypeAlias = Annotated[MethodSettings, OneOf(METHODS, where=lambda settings: settings.refines)]
"""A method of `burnish refine`."""
