"""What is compared: one class a method."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from burnish.config.base import Count, Name, PositiveFloat, Probability, Settings, Share
from burnish.config.models import Loss, Objective, Optimizer, TrainSettings


class SftMethod(Settings):
    """One finetuning on the demonstrations as they are."""

    kind: Literal["sft"]
    name: Name = "sft"
    """How the method is called in results."""
    demonstrations: Literal["given", "gold"] = "given"
    """`gold` trains on the references of the same rows: the ceiling."""


class NaiveMethod(Settings):
    """Replace a random share alpha by proposals, without feedback (appendix E.2)."""

    kind: Literal["naive"]
    name: Name = "naive"
    """How the method is called in results."""
    rounds: Count = 4
    """Rounds K."""
    alpha: Share = 0.15
    """Share of the rows replaced in each round."""


class IlrMethod(Settings):
    """Iterative label refinement (Algorithm 1)."""

    kind: Literal["ilr"]
    name: Name = "ilr"
    """How the method is called in results."""
    rounds: Count = 4
    """Rounds K."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round (section 5.1)."""
    splits: Annotated[int, Field(ge=2)] = 2
    """Parts into which the rows are cut; each is answered by a model that was trained on all the others."""
    cross_label: bool = True
    """false: each model proposes for the rows that it was trained on, to see what the split buys."""


class PairsFrom(StrEnum):
    """Where the two answers of a pair come from.

    policy: two samples of the policy that the round starts from (DPO). halves: two samples of a model that was trained
    on the other half of the demonstrations (sDPO, appendix E.4). labels: the demonstration and a sample of the policy
    (wsDPO).
    """

    POLICY = "policy"
    HALVES = "halves"
    LABELS = "labels"


class DpoMethod(Settings):
    """Multi-round direct preference optimisation and its variants (section 3, appendices C and E.4, E.5)."""

    kind: Literal["dpo"]
    name: Name = "dpo"
    """How the method is called in results."""
    rounds: Count = 4
    """Rounds K; in each, the reference is the policy that the round starts from (released code)."""
    after: IlrMethod | None = None
    """Refine the labels first: DPO then starts from the last round's model (section 7, future work)."""
    pairs_from: PairsFrom = PairsFrom.POLICY
    """DPO, sDPO or wsDPO."""
    samples: Annotated[int, Field(ge=2, multiple_of=2)] = 6
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
    def objective(self) -> Objective:
        """What training minimises."""
        return Objective(loss=self.loss, beta=self.beta, flip_rate=self.flip_rate)

    def training(self, sft: TrainSettings) -> TrainSettings:
        """Return how the policy is trained, given how the model before it was finetuned."""
        changed = {"learning_rate": self.learning_rate, "optimizer": self.optimizer}
        return sft.model_copy(update=changed | ({"epochs": self.epochs} if self.epochs else {}))


class ClearMethod(Settings):
    """A confidence gate without cross-labelling (CLEAR, Chen & Mueller, arXiv 2403.12776): the model trained on all
    rows proposes for all of them, and a proposal is taken where the annotator is sure enough."""

    kind: Literal["clear"]
    name: Name = "clear"
    """How the method is called in results."""
    rounds: Count = 1
    """Rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round: the same cap for every method."""
    gate: Probability = 0.8
    """The least P(the proposal is better) that is accepted."""


class MajorityMethod(Settings):
    """The most frequent of several sampled answers is the proposal, its share of the votes the confidence
    (self-consistency, Wang et al., arXiv 2203.11171); no annotator is asked."""

    kind: Literal["majority"]
    name: Name = "majority"
    """How the method is called in results."""
    rounds: Count = 2
    """Rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round."""
    samples: Annotated[int, Field(ge=2)] = 8
    """Answers sampled for a prompt."""
    temperature: PositiveFloat = 0.7
    """At which they are sampled."""


class VerifiedMethod(Settings):
    """A checker accepts: a proposal replaces a label where the checker passes it and not the label."""

    kind: Literal["verified"]
    name: Name = "verified"
    """How the method is called in results."""
    rounds: Count = 2
    """Rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round."""
    checker: Annotated[tuple[str, ...], Field(min_length=1)]
    """A program and its arguments, without a shell: it reads {id, prompt, answer} as JSON lines on stdin and writes
    {id, passed: true or false}."""


MethodConfig: TypeAlias = Annotated[
    SftMethod | NaiveMethod | IlrMethod | DpoMethod | ClearMethod | MajorityMethod, Field(discriminator="kind")
]
