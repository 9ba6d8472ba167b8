"""The settings of reinforcement learning (RL): the method `rl` and its algorithms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from burnish.config.annotators import WantedModel
from burnish.config.base import (
    Count,
    Name,
    NotNegative,
    PositiveFloat,
    Probability,
    Repeats,
    Settings,
    number_from_text,
)
from burnish.config.kinds import Kinds, OneOf
from burnish.config.method_settings import METHODS, Cap, ComparingMethod
from burnish.config.methods import Before, DpoMethod
from burnish.config.models import ModelConfig, Optimizer, Schedule, TrainSettings
from burnish.config.reward_sources import AnnotatorReward, AnyReward, ComparisonsReward

SCALE_PROMPTS = 256
"""The most prompts whose answers say how rewards are standardised. The standard deviation of so many rewards is off by
about 5 %."""


class AlgorithmSettings(Settings):
    """The base class of all algorithms of RL."""

    kind: Any  # (each class narrows it to its one name)
    passes: Repeats = 1
    """The number of passes over the answers of a step."""
    clip: PositiveFloat = 0.2
    """The ratio of an answer's probability to that before the passes is cut to 1 ± this."""


ALGORITHMS = Kinds("algorithm", AlgorithmSettings)


@ALGORITHMS.add
class RlooAlgorithm(AlgorithmSettings):
    """REINFORCE leave-one-out (Ahmadian et al., arXiv 2402.14740). The baseline of an answer is the mean reward of the
    other answers to the same prompt. The penalty for KL is a part of the reward of the whole answer."""

    kind: Literal["rloo"]
    normalize: bool = False
    """Whether advantages get mean 0 and standard deviation 1 over the answers of a step."""


@ALGORITHMS.add
class GrpoAlgorithm(AlgorithmSettings):
    """Group relative policy optimisation (Shao et al., arXiv 2402.03300). The advantage of an answer is its reward
    minus the mean reward of its prompt. The penalty for KL is a part of the loss of each token.

    With several `passes`, this is PPO's clipped objective without a critic.
    """

    kind: Literal["grpo"]
    scale: Literal["group", "batch", "none"] = "group"
    """What an advantage is divided by: the standard deviation of the rewards of its prompt (`group`), of all answers of
    the step (`batch`), or nothing (`none`, Liu et al., arXiv 2503.20783)."""


def _kind_from_text(value: object) -> object:
    # The short form `algorithm: rloo`.
    return {"kind": value} if isinstance(value, str) else value


AnyAlgorithm: TypeAlias = Annotated[AlgorithmSettings, OneOf(ALGORITHMS), BeforeValidator(_kind_from_text)]
"""An algorithm of RL."""


class PolicyTraining(Settings):
    """How a policy is trained with RL."""

    algorithm: AnyAlgorithm = RlooAlgorithm(kind="rloo")
    """The algorithm, such as `rloo` or `{kind: grpo, passes: 4}`."""
    steps: Count = 50
    """The number of steps. In each step, the policy answers some prompts and then learns from these answers."""
    prompts: Count = 16
    """The number of prompts in a step."""
    samples: Annotated[int, Field(ge=2, le=1000, strict=True)] = 8
    """The number of answers that are sampled for each prompt of a step."""
    batch_size: Count | None = None
    """The number of answers in one optimiser step. It must divide the number of answers of a step. If not given, all
    answers of a step are one optimiser step."""
    temperature: PositiveFloat = 1.0
    """The temperature at which the policy is sampled."""
    beta: PositiveFloat = 0.1
    """The weight of the penalty for KL(policy || policy with which the training starts)."""
    # The largest KL of useful runs in the embedded world was below 1 nat, and runs that break reach hundreds.
    max_kl: PositiveFloat | None = 10.0
    """The training stops if the mean KL of an answer is above this, in nats. Write null to never stop."""
    learning_rate: PositiveFloat = 1e-4
    """The highest learning rate."""
    optimizer: Optimizer = Optimizer.ADAMW
    """The optimiser."""
    schedule: Schedule = Schedule.CONSTANT
    """How the learning rate falls after the warm-up."""
    warmup: Probability = 0.0
    """The share of the optimiser steps, at the beginning, in which the learning rate rises."""

    @model_validator(mode="after")
    def _divides(self) -> PolicyTraining:
        if self.batch_size is not None and self.answers % self.batch_size:
            raise ValueError(
                f"batch_size: {self.batch_size} found, but a step has {self.prompts} prompts x {self.samples} samples "
                f"= {self.answers} answers, which it does not divide; give a divisor of {self.answers}"
            )
        return self

    @property
    def answers(self) -> int:
        """The number of answers of a step."""
        return self.prompts * self.samples

    @property
    def updates(self) -> int:
        """The number of optimiser steps of a step."""
        return self.answers // (self.batch_size or self.answers) * self.algorithm.passes

    @property
    def policy_training(self) -> PolicyTraining:
        """These settings alone, without what a subclass adds."""
        return PolicyTraining.model_validate({name: getattr(self, name) for name in PolicyTraining.model_fields})

    def optimising(self, sft: TrainSettings) -> TrainSettings:
        """Return the settings of the optimiser. `sft` has those with which the policy was finetuned."""
        changed = {name: getattr(self, name) for name in ("learning_rate", "optimizer", "schedule", "warmup")}
        return sft.model_copy(update=changed | {"epochs": 1, "batch_size": self.batch_size or self.answers})


@METHODS.add
class RlMethod(PolicyTraining, ComparingMethod):
    """Reinforcement learning from a reward: RLOO or GRPO, over rounds. The labels never change.

    Whether an adapter or all weights are trained follows from the finetuning (`train.lora`).
    """

    label: ClassVar[str | None] = "RL"
    unwritten: ClassVar[frozenset[str]] = ComparingMethod.unwritten

    kind: Literal["rl"]
    name: Name = "rl"
    """The name of the method in results."""
    rounds: Repeats = 1
    """The number of rounds. Each round starts from the policy of the round before, which is also its reference."""
    after: Before | None = None
    """Refine the labels first, with these settings. RL then starts from the last model (section 7, future work)."""
    reward: AnyReward
    """Where the rewards come from."""
    # One beta then means about the same for rewards of every scale.
    standardize: bool = True
    """Whether the rewards of a source are standardised. Their mean and standard deviation are those of answers of the
    policy with which the round starts, and stay the same in all steps."""
    clip_reward: PositiveFloat | None = None
    """If given, rewards are cut to plus and minus this."""
    length_penalty: NotNegative = 0.0
    """This much is subtracted from the reward for each token of the answer."""
    unfinished_reward: Annotated[float, BeforeValidator(number_from_text), Field(ge=-1000, le=1000)] = -1.0
    """The reward of an answer that was cut at the token limit, in place of the reward of the source. It is in standard
    deviations from the mean if rewards are standardised."""

    @property
    def caps(self) -> tuple[Cap, ...]:
        """The bounds of the refinement that comes before, and the share of the pairs that train the reward model."""
        first = () if self.after is None else tuple(cap._replace(field=f"after.{cap.field}") for cap in self.after.caps)
        return (*first, *(Cap("reward.keep", one.keep, one.samples // 2) for one in self._trained))

    @property
    def parts(self) -> int:
        """The parts of the refinement that comes before."""
        return 1 if self.after is None else self.after.parts

    @property
    def prompts_needed(self) -> int:
        """How many prompts the rows must have."""
        return self.prompts

    @property
    def comparisons_per_row(self) -> int:
        """The pairs of each row from which a reward model learns."""
        return max((one.samples // 2 for one in self._trained), default=0)

    @property
    def comparisons_per_round(self) -> int:
        """The comparisons with which an annotator rewards the answers of a round, and those whose rewards give the
        scale."""
        if not any(isinstance(one, AnnotatorReward) for one in self.reward.members):
            return 0
        return self.steps * self.answers + SCALE_PROMPTS * self.standardize

    @property
    def _trained(self) -> tuple[ComparisonsReward, ...]:
        return tuple(one for one in self.reward.members if isinstance(one, ComparisonsReward))

    def models(self, field: str) -> Iterator[WantedModel]:
        """Yield the reward models."""
        yield from self.reward.models(f"{field}.reward")

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> RlMethod:
        """Return the settings with the reward models as they were found."""
        return self.model_copy(update={"reward": self.reward.with_models(find)})

    def comparing(self, source: ComparisonsReward) -> DpoMethod:
        """Return how the answers from which a reward model learns are sampled, paired and judged: as DPO does it."""
        return DpoMethod(
            kind="dpo",
            samples=source.samples,
            temperature=source.temperature,
            pairs=source.pairs,
            keep=source.keep,
            accept=self.accept,
            gate=self.gate,
            of=self.of,
        )
