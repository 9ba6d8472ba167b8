"""The algorithms of reinforcement learning: what makes the trainer of each. TRL's trainers are only configured.

TRL 1.16 has no PPO, and burnish writes none. GRPO with several passes and clipping has PPO's objective without a
critic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from transformers import TrainerCallback

from burnish.backends.arguments import on_one_device
from burnish.config import ALGORITHMS, AlgorithmSettings, GrpoAlgorithm, PolicyTraining, RlooAlgorithm
from burnish.errors import ConfigError

S = TypeVar("S", bound=AlgorithmSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerParts:
    """What a trainer is made of.

    `arguments` are those that all algorithms share. `rewards` is called with the answers of a step. `dataset` has the
    prompts as conversations of one message, and `tokenizer` turns them into burnish's own token ids.
    """

    model: Any
    arguments: Mapping[str, Any]
    rewards: Callable[..., list[float | None]]
    dataset: Any
    tokenizer: Any
    callbacks: list[TrainerCallback]


MakeTrainer: TypeAlias = Callable[[S, TrainerParts], Any]
"""A function that returns the configured trainer of an algorithm, which is like a trainer of TRL."""
_makers: dict[type[AlgorithmSettings], MakeTrainer[Any]] = {}


def register_algorithm(settings: type[S], make: MakeTrainer[S]) -> None:
    """Register an algorithm of RL, so that configs can name it.

    `settings` is the settings class; it inherits from `burnish.config.AlgorithmSettings`. The trainer that `make`
    returns must log `kl` (the mean of a token, in nats) and `completions/mean_length`. Raises ConfigError if another
    class has the same kind.
    """
    ALGORITHMS.add(settings)
    _makers[settings] = make


def trainer_of(training: PolicyTraining, parts: TrainerParts) -> Any:
    """Return the trainer of the algorithm. Raises ConfigError if the algorithm is not registered."""
    settings = training.algorithm
    if type(settings) not in _makers:
        raise ConfigError(f"algorithm: kind {settings.kind!r} is not registered; call burnish.register_algorithm")
    return _makers[type(settings)](settings, parts)


def arguments_of(training: PolicyTraining, max_new_tokens: int, accumulation: int) -> dict[str, Any]:
    """Return the arguments that TRL's algorithms share. `accumulation` is the number of passes of an optimiser step."""
    batches = training.answers // (training.batch_size or training.answers)
    return {
        "num_generations": training.samples,
        "max_completion_length": max_new_tokens,
        "temperature": training.temperature,
        "beta": training.beta,
        "num_iterations": training.algorithm.passes,
        "epsilon": training.algorithm.clip,
        # All answers of a step are sampled at once.
        "steps_per_generation": accumulation * batches,
        # The penalty for KL compares two passes over the same answer, which dropout would make differ.
        "disable_dropout": True,
        "pad_to_multiple_of": None,
        # One line of the log for each step.
        "logging_strategy": "steps",
        "logging_steps": training.updates,
    }


def _rloo(settings: RlooAlgorithm, parts: TrainerParts) -> Any:
    # Imported here, because importing TRL takes a while.
    from trl.trainer.rloo_config import RLOOConfig  # noqa: PLC0415
    from trl.trainer.rloo_trainer import RLOOTrainer  # noqa: PLC0415

    return RLOOTrainer(
        model=parts.model,
        reward_funcs=parts.rewards,
        args=on_one_device(RLOOConfig(**parts.arguments, normalize_advantages=settings.normalize)),
        train_dataset=parts.dataset,
        processing_class=parts.tokenizer,
        callbacks=parts.callbacks,
    )


def _grpo(settings: GrpoAlgorithm, parts: TrainerParts) -> Any:
    from trl.trainer.grpo_config import GRPOConfig  # noqa: PLC0415
    from trl.trainer.grpo_trainer import GRPOTrainer  # noqa: PLC0415

    # The loss of the paper. TRL's default is another one (DAPO's).
    own: dict[str, Any] = {"scale_rewards": settings.scale, "loss_type": "grpo"}
    return GRPOTrainer(
        model=parts.model,
        reward_funcs=parts.rewards,
        args=on_one_device(GRPOConfig(**parts.arguments, **own)),
        train_dataset=parts.dataset,
        processing_class=parts.tokenizer,
        callbacks=parts.callbacks,
    )


register_algorithm(RlooAlgorithm, _rloo)
register_algorithm(GrpoAlgorithm, _grpo)
