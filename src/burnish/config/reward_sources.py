"""Where reinforcement learning takes its rewards from: one settings class for each source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from burnish.config.annotators import WantedModel
from burnish.config.base import MOST_REPEATS, NotNegative, PositiveFloat, Settings, Share
from burnish.config.kinds import Kinds, OneOf
from burnish.config.models import Model, ModelConfig, TrainSettings
from burnish.types import Head


class RewardSettings(Settings):
    """The base class of all sources of rewards. A source gives one number to an answer."""

    kind: Any  # (each class narrows it to its one name)
    sums: ClassVar[bool] = True
    """Whether the source may be a part of a weighted sum."""

    @property
    def members(self) -> tuple[RewardSettings, ...]:
        """The single sources: this one, or those of a sum."""
        return tuple(self.placed_members("").values())

    def placed_members(self, field: str) -> dict[str, RewardSettings]:
        """Return the single sources by their config fields. `field` is the one that holds these settings."""
        return {field: self}

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each single source."""
        return (1.0,)

    def models(self, field: str) -> Iterator[WantedModel]:
        """Yield the local models that must be found. `field` is the config field that holds these settings."""
        yield from ()

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> RewardSettings:
        """Return the settings with each local model replaced by what `find` returns for it."""
        return self


REWARDS = Kinds("reward", RewardSettings)
OneReward: TypeAlias = Annotated[RewardSettings, OneOf(REWARDS, where=lambda settings: settings.sums)]
"""A source that can be a part of a sum."""


@REWARDS.add
class CheckerReward(RewardSettings):
    """The task checks the answer (verifiable reward): 1 if it is right, and 0 if it is wrong.

    It reads the references of the rows, so that it needs ground truth.
    """

    kind: Literal["checker"]


@REWARDS.add
class ModelReward(RewardSettings):
    """A reward model in TRL's form, such as `burnish reward train` writes. It reads the answer as text, so its
    tokenizer need not be that of the policy."""

    kind: Literal["reward_model"]
    model: Model
    """A folder or hub id of a sequence classifier with one label."""

    def models(self, field: str) -> Iterator[WantedModel]:
        """Yield the reward model."""
        yield WantedModel(f"{field}.model", self.model, Head.REWARD, as_it_is=True)

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> ModelReward:
        """Return the settings with the reward model as it was found."""
        return self.model_copy(update={"model": find(self.model)})


@REWARDS.add
class AnnotatorReward(RewardSettings):
    """The annotator of the experiment compares the answer with the answer of the model with which the training starts.
    The reward is P(the new answer is better).

    Each answer costs one comparison, so this needs an annotator that answers fast. People cannot be asked.
    """

    kind: Literal["annotator"]


@REWARDS.add
class ComparisonsReward(RewardSettings):
    """A reward model that is trained in each round on the comparisons of the run (section 7 of the paper: the
    comparisons that ILR spends train the reward model).

    The policy that starts the round is sampled, the annotator compares pairs of its answers as for DPO, and the reward
    model learns from the preferences. The `budget` of the experiment limits the comparisons.
    """

    kind: Literal["comparisons"]
    # An even number, because each two answers make a pair.
    samples: Annotated[int, Field(ge=2, le=MOST_REPEATS, multiple_of=2, strict=True)] = 2
    """The number of answers that are sampled for each prompt. Two answers make a pair."""
    temperature: PositiveFloat = 0.7
    """The temperature at which they are sampled."""
    pairs: Literal["all", "differing"] = "differing"
    """`differing` does not judge a pair whose final answers agree. A pair of two equal texts is never judged."""
    keep: Share = 1.0
    """At most this share of all pairs trains the reward model: those with the most confident preferences."""
    model: Model | None = None
    """The base model of the reward model. If not given, it is the strong model."""
    train: TrainSettings | None = None
    """How the reward model is trained. A row is a pair. If not given, in the same way as the strong model."""
    centring: NotNegative = 0.01
    """The weight of the square of the sum of both rewards in the loss, which keeps rewards near 0 (Eisenstein et al.,
    arXiv 2312.09244)."""

    def models(self, field: str) -> Iterator[WantedModel]:
        """Yield the base model, if it is not the strong model."""
        if self.model is not None:
            yield WantedModel(f"{field}.model", self.model)

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> ComparisonsReward:
        """Return the settings with the base model as it was found."""
        return self if self.model is None else self.model_copy(update={"model": find(self.model)})


class WeightedReward(Settings):
    """A part of a sum of rewards."""

    weight: PositiveFloat = 1.0
    """The weight of the source."""
    reward: OneReward
    """The source."""


@REWARDS.add
class SumReward(RewardSettings):
    """A weighted sum of several sources. With `standardize`, each source is standardised before it is weighted."""

    sums: ClassVar[bool] = False
    kind: Literal["sum"]
    of: Annotated[tuple[WeightedReward, ...], Field(min_length=2)]
    """The sources and their weights."""

    def placed_members(self, field: str) -> dict[str, RewardSettings]:
        """Return the sources."""
        return {f"{field}.of.{place}.reward": part.reward for place, part in enumerate(self.of)}

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each source."""
        return tuple(part.weight for part in self.of)

    def models(self, field: str) -> Iterator[WantedModel]:
        """Yield the models of all sources."""
        for place, one in self.placed_members(field).items():
            yield from one.models(place)

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> SumReward:
        """Return the settings with the models of all sources as they were found."""
        parts = [part.model_copy(update={"reward": part.reward.with_models(find)}) for part in self.of]
        return self.model_copy(update={"of": tuple(parts)})


def _kind_from_text(value: object) -> object:
    # The short form `reward: checker`.
    return {"kind": value} if isinstance(value, str) else value


AnyReward: TypeAlias = Annotated[RewardSettings, OneOf(REWARDS), BeforeValidator(_kind_from_text)]
"""A source of rewards. The short form `reward: checker` is enough for a source without settings."""
