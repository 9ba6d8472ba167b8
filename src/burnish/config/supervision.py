"""How bad the teaching is: where labels and comparisons come from."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from burnish.config.base import Count, Probability, Settings
from burnish.config.models import Decoding, Model, TrainSettings


class ClassifierConfig(Settings):
    """q~: a two-way head trained on gold against checkpoint answers (appendix B)."""

    kind: Literal["classifier"]
    model: Model | None = None
    """Base model of the head; the weak model if not given."""
    train: TrainSettings | None = None
    """How the head is trained; as the weak model if not given."""
    checkpoints: Count = 10
    """Evenly spaced checkpoints of p~ whose answers are the worse side of a pair."""
    pairs: Literal["checkpoints", "balanced"] = "checkpoints"
    """`balanced`, for the instructions task: the worse sides come from two p~, one trained on safe instructions and
    one on unsafe ones, so that refusals and acceptances are there for every prompt (appendix B)."""
    decode: Decoding = Decoding(beams=1, temperature=0.6)
    """How the checkpoints answer (released code: sampled at 0.6)."""


class LikelihoodConfig(Settings):
    """The difference of the two answers' log-likelihoods under a weak model finetuned on the ground-truth half."""

    kind: Literal["likelihood"]
    model: Model
    """Base model of the judge; the stronger it is, the better its comparisons."""
    train: TrainSettings | None = None
    """How the judge is finetuned; as the weak model if not given."""


class OracleConfig(Settings):
    """Ground truth compares both answers; both right or both wrong is a tie."""

    kind: Literal["oracle"]


class MixedConfig(Settings):
    """A stated share of the rows is judged by ground truth, the rest by another annotator."""

    kind: Literal["mixed"]
    oracle_share: Probability = 0.5
    """Share of the examples that the oracle judges; the cap is filled within each source by its share."""
    other: Annotated[ClassifierConfig | LikelihoodConfig, Field(discriminator="kind")]
    """Who judges the rest."""


AnnotatorConfig: TypeAlias = Annotated[
    ClassifierConfig | LikelihoodConfig | OracleConfig | MixedConfig, Field(discriminator="kind")
]


class Supervision(Settings):
    """Where labels and comparisons come from."""

    demonstrations: Literal["weak", "correct", "gold"] = "weak"
    """`weak`: p~ answers half U after it was finetuned on half G; `correct`: the rows alone that p~ answered right
    (section 4); `gold`: the references of half U."""
    annotator: AnnotatorConfig
    """Who compares two answers."""
    train: TrainSettings | None = None
    """How p~ is finetuned; as the strong model if not given."""
