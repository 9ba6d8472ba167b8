"""Annotators with a model on this machine: a classifier, a reward model, a language model's likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from burnish.config.annotators import ANNOTATORS, AnnotatorSettings
from burnish.config.base import (
    Probability,
    Repeats,
)
from burnish.config.models import Decoding, Model, ModelConfig, TrainSettings
from burnish.types import Head

LearnsFrom: TypeAlias = Literal["auto", "ground_truth", "nothing"]
"""What a local model learns before it judges."""


@ANNOTATORS.add
class ClassifierConfig(AnnotatorSettings):
    """A model with a two-way head that says which of two answers is better. It judges each pair in both orders.

    In an experiment it is q~. It learns to prefer gold answers to the answers of p~'s checkpoints (appendix B). In a
    refinement it is a trained classifier, which is used without further training.
    """

    short: ClassVar[str | None] = "model"
    compares_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.CLASSIFIER
    unwritten: ClassVar[frozenset[str]] = frozenset({"learns"})
    kind: Literal["classifier"]
    model: Model | None = None
    """A folder or hub id of a sequence classifier with two labels, or a classifier that burnish trained. If the head
    learns from ground truth, this is its base model, and the weak model if not given."""
    train: TrainSettings | None = None
    """How the head is trained. If not given, in the same way as the weak model."""
    # Appendix B: ten evenly spaced checkpoints.
    checkpoints: Repeats = 10
    """The number of evenly spaced checkpoints of p~ whose answers are the worse side of a pair."""
    pairs: Literal["checkpoints", "balanced"] = "checkpoints"
    """Where the worse sides come from. `checkpoints`: from the checkpoints of one p~. `balanced`, for the instructions
    task: from two p~, one trained on safe instructions and one on unsafe ones, so that every prompt has both refusals
    and acceptances (appendix B)."""
    decode: Decoding = Decoding(beams=1, temperature=0.6)
    """How the checkpoints answer (released code: sampled at 0.6)."""
    learns: LearnsFrom = "auto"
    """`ground_truth`: the head is trained on ground truth (experiments only). `nothing`: the model is used without
    training. `auto`: ground truth in an experiment, nothing in a refinement."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The base model of the head, or the trained classifier."""
        return self.model

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether the head must still be trained."""
        return self.learns == "ground_truth" or (self.learns == "auto" and simulated)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if self.needs_ground_truth(simulated):
            return super().problem(simulated)
        # Four fields say how the head learns. They have no effect on a head that is already trained.
        return _used_as_it_is(self, ("train", "checkpoints", "pairs", "decode"))

    def _who(self) -> str:
        if self.learns == "nothing":
            return "classifier: a trained two-way head"
        words = "classifier q̃: a two-way head trained on gold against checkpoint answers"
        return words + (" of two supervisors, one of safe and one of unsafe instructions" * (self.pairs == "balanced"))


@ANNOTATORS.add
class RewardModelConfig(AnnotatorSettings):
    """A reward model in TRL's form. It gives a number r for a prompt and an answer, and P(b is better) =
    sigmoid(r_b - r_a). The order of the two answers does not matter."""

    short: ClassVar[str | None] = "model"
    compares_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.REWARD
    kind: Literal["reward_model"]
    model: Model
    """A folder or hub id of a sequence classifier with one label."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The reward model."""
        return self.model


@ANNOTATORS.add
class LikelihoodConfig(AnnotatorSettings):
    """A language model prefers the answer that it finds more likely. The order of the two answers does not matter.

    In an experiment the model is first finetuned on the ground-truth half. In a refinement it is used without training.
    """

    short: ClassVar[str | None] = "model"
    compares_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.NONE
    # In the first version, an experiment always trained and a refinement never did. The defaults mean the same, so they
    # are left out of what is recorded.
    unwritten: ClassVar[frozenset[str]] = frozenset({"learns", "per_token"})
    kind: Literal["likelihood"]
    model: Model
    """A folder, GGUF file or hub id of a causal language model. A stronger model compares better."""
    train: TrainSettings | None = None
    """How the judge is finetuned. If not given, in the same way as the weak model."""
    # None and not a fixed default, because there are two: experiments began with sums, and a model that is used as it
    # is needs means, because sums prefer the shorter answer.
    per_token: bool | None = None
    """true compares the mean log-probability of an answer's tokens, false compares the sum. Sums prefer the shorter
    answer. If not given: means if the model is used without training, sums if it learns from ground truth."""
    learns: LearnsFrom = "auto"
    """`ground_truth`: the model is finetuned on ground truth (experiments only). `nothing`: it is used without
    training. `auto`: ground truth in an experiment, nothing in a refinement."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The model that judges, or the base model that is finetuned first."""
        return self.model

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether the model must still be finetuned."""
        return self.learns == "ground_truth" or (self.learns == "auto" and simulated)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if self.needs_ground_truth(simulated):
            return super().problem(simulated)
        return _used_as_it_is(self, ("train",))

    def _who(self) -> str:
        if self.learns == "nothing":
            return "likelihood: the answer that a language model finds more likely"
        return "likelihood: the answer that a weak model, finetuned on ground truth, finds more likely"


@ANNOTATORS.add
class MisledOracleConfig(AnnotatorSettings):
    """Ground truth compares, but it names the wrong side on rows that a second model answers wrong (experiments only).

    The second model is finetuned on the ground-truth half and answers every prompt of the other half. So the mistakes
    are systematic: they lie on hard rows, they are the same in every round, and nothing tells them from right verdicts.
    A simulation of our own; no paper has it.
    """

    refines: ClassVar[bool] = False
    votes: ClassVar[bool] = False
    self_tested: ClassVar[bool] = False
    reads_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.NONE
    kind: Literal["misled_oracle"]
    model: Model
    """The base of the second model: a folder, GGUF file or hub id of a causal language model, or builtin:NAME."""
    train: TrainSettings | None = None
    """How the second model is finetuned. If not given, in the same way as the weak model."""
    decode: Decoding | None = None
    """How the second model answers. If not given, as the experiment's models do."""
    accuracy: Probability | None = None
    """The share of the rows on which the verdict is right. Of the rows that the second model answers wrong, a seeded
    hash chooses those with wrong verdicts. If the model answers fewer rows wrong, all of them have wrong verdicts, and
    the share is larger. If not given, all of them have."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The base of the second model."""
        return self.model

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Return True: ground truth compares, and the second model learns from it."""
        return True

    def _who(self) -> str:
        share = "" if self.accuracy is None else f", at most {100 * (1 - self.accuracy):.0f}\N{NO-BREAK SPACE}%"
        return f"misled oracle: ground truth, but the wrong side on rows that a second model answers wrong{share}"


def _used_as_it_is(settings: AnnotatorSettings, unread: Sequence[str]) -> str | None:
    """Say what is wrong with an annotator whose model learns nothing. `unread` names the fields that say how to
    learn."""
    if settings.base_model is None:
        return "model: none is given; name the model that judges"
    # A setting without effect is refused, so that nobody believes that the model was trained with it.
    for name in unread:
        value = getattr(settings, name)
        if value != type(settings).model_fields[name].default:
            return f"{name}: {value!r} is not read, because the model is used without training; remove it"
    return None
