"""The settings of the experiments on SEAM: the mismatch, and reinforcement learning (RL) on reward models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from burnish.config.base import Count, Name, PositiveFloat, Repeats, Seed, Settings, Share
from burnish.config.kinds import Kinds, OneOf
from burnish.config.lab import Execution
from burnish.config.models import Model, TrainSettings
from burnish.config.perturbations import AnyPerturbation, WeakerSource
from burnish.config.reinforcement import PolicyTraining
from burnish.config.tasks import AnyTask

Sizes = Annotated[tuple[Count, ...], Field(min_length=1)]


class SeamStudy(Settings):
    """What all experiments on SEAM have.

    The training rows are put into the order of a seeded hash. Policies learn from the first rows. The pairs of reward
    models come from all rows that are not kept for something else. A smaller number takes a part of a larger one's.
    """

    kind: Any  # (each class narrows it to its one name)
    name: Name
    """The name of the experiment."""
    task: AnyTask
    """The prompts and their gold answers."""
    base: Model
    """The base model of the policies."""
    reward_base: Model | None = None
    """The base model of the reward models. If not given, it is that of the policies."""
    rejected_by: Model
    """The model whose wrong answers are the rejected ones of the pairs."""
    rejected_rows: Count = 300
    """How many gold rows this model learns from."""
    answers_a_prompt: Repeats = 1
    """How many of its answers to a prompt may make pairs. Each different wrong one makes one."""
    samples: Repeats = 8
    """Answers of a policy to a test prompt, drawn at temperature 1, from which its accuracy and the mismatch are
    counted."""
    max_new_tokens: Count = 48
    """The most tokens of an answer."""
    train: TrainSettings
    """How policies are trained."""
    train_rewards: TrainSettings
    """How reward models are trained."""
    centring: PositiveFloat = 0.01
    """As in the training of a reward model."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    """Each seed has rows, trainings and samples of its own."""
    execution: Execution = Execution()
    """Settings that do not change results."""


STUDIES = Kinds("experiment on SEAM", SeamStudy)


@STUDIES.add
class MismatchStudy(SeamStudy):
    """Every policy with every reward model, on the task's test prompts: mismatch, and SEAM by each source."""

    kind: Literal["mismatch"]
    policies: Sizes
    """How many gold rows each policy is trained on."""
    rewards: Sizes
    """How many pairs each reward model is trained on, at most."""
    sources: Annotated[tuple[AnyPerturbation, ...], Field(min_length=1)]
    """The sources of worse answers. The model of a source `weaker` must be that of `rejected_by`. It is finetuned in
    the same way first."""
    worse: Count = 8
    """Worse answers of a prompt."""

    @model_validator(mode="after")
    def _weaker_fits(self) -> MismatchStudy:
        for one in self.sources:
            if isinstance(one, WeakerSource) and one.model != self.rejected_by:
                raise ValueError(
                    f"sources: weaker: model {one.model.source!r} found, but only that of rejected_by, "
                    f"{self.rejected_by.source!r}, is finetuned here; name that one"
                )
        return self


class TrainingStudy(SeamStudy):
    """What experiments with RL have in addition."""

    rl: PolicyTraining = PolicyTraining()
    """How policies are trained with RL."""
    rl_rows: Count
    """How many rows are kept for RL. Neither policies nor reward models learned from them before."""

    @property
    def kept_rows(self) -> int:
        """How many rows are kept from the pairs of reward models."""
        return self.rl_rows


@STUDIES.add
class SaturationStudy(TrainingStudy):
    """Every policy is trained with RL on every reward model and on the true reward."""

    kind: Literal["saturation"]
    policies: Sizes
    """How many gold rows each policy is trained on before RL."""
    rewards: Sizes
    """How many pairs each reward model is trained on."""


class SelectionArm(Settings):
    """One way to choose the prompts of RL."""

    name: Name
    """Its name in the results."""
    by: Literal["all", "seam", "mismatch", "random"] = "seam"
    """What decides: `all` keeps every prompt, `seam` the score, `mismatch` the true mismatch of the prompt (an oracle),
    and `random` a seeded hash."""
    keep: Share = 1.0
    """The share of the prompts with a score that is kept. Prompts without a score are kept in addition."""
    order: Literal["lowest", "highest"] = "lowest"
    """Whether the prompts with the lowest values are kept, or those with the highest."""


@STUDIES.add
class SelectionStudy(TrainingStudy):
    """One policy is trained with RL on one reward model, with prompts that are chosen in several ways."""

    kind: Literal["selection"]
    policy: Count
    """How many gold rows the policy is trained on before RL."""
    reward: Count
    """How many pairs the reward model is trained on."""
    source: AnyPerturbation
    """The source of worse answers."""
    worse: Count = 8
    """Worse answers of a prompt."""
    arms: Annotated[tuple[SelectionArm, ...], Field(min_length=1)]
    """The ways to choose the prompts."""

    @model_validator(mode="after")
    def _names_differ(self) -> SelectionStudy:
        _check_names([arm.name for arm in self.arms])
        return self


class AugmentationArm(Settings):
    """One way to add pairs to those from which the reward model learns."""

    name: Name
    """Its name in the results."""
    add: Literal["nothing", "more", "random", "seam"]
    """`nothing`: no pair. `more`: more pairs of the same kind (the standard way). `random`: pairs of a gold answer and
    a worse one, of prompts that a seeded hash chooses. `seam`: such pairs of the prompts with the highest score, in
    which the reward model misjudges the worse answer."""
    source: AnyPerturbation | None = None
    """The source of worse answers, for `random` and `seam`."""

    @model_validator(mode="after")
    def _has_a_source(self) -> AugmentationArm:
        needed = self.add in ("random", "seam")
        if needed != (self.source is not None):
            fix = "name one, such as {kind: own}" if needed else "leave it out"
            raise ValueError(f"source: {'none given' if needed else 'one found'}, but add is {self.add!r}; {fix}")
        return self


@STUDIES.add
class AugmentationStudy(TrainingStudy):
    """Pairs are added to those of one reward model in several ways. Then it is trained anew, and a policy on it."""

    kind: Literal["augmentation"]
    policy: Count
    """How many gold rows the policy is trained on before RL."""
    reward: Count
    """How many pairs the reward model is trained on before pairs are added."""
    pool_rows: Count
    """How many rows are kept for the prompts whose pairs are added."""
    extra: Count
    """How many pairs are added."""
    share: Share = 0.5
    """The share of the prompts of these rows from which pairs are taken: those with the highest scores, or drawn."""
    pairs_a_prompt: Count = 4
    """The most pairs of a prompt."""
    worse: Count = 8
    """Worse answers of a prompt."""
    arms: Annotated[tuple[AugmentationArm, ...], Field(min_length=1)]
    """The ways to add pairs."""

    @property
    def kept_rows(self) -> int:
        """How many rows are kept from the pairs of reward models."""
        return self.rl_rows + self.pool_rows

    @model_validator(mode="after")
    def _names_differ(self) -> AugmentationStudy:
        _check_names([arm.name for arm in self.arms])
        return self


def _check_names(names: list[str]) -> None:
    """Raise ValueError if two arms have one name: results are found by it."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"arms: two have the name {name!r}; give one of them another name")


AnyStudy: TypeAlias = Annotated[SeamStudy, OneOf(STUDIES)]
"""An experiment on SEAM."""
