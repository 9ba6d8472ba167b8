"""Reinforcement learning with TRL's RLOOTrainer and GRPOTrainer. The trainers are only configured.

TRL 1.16 has no PPO, and burnish writes none. GRPO with several passes and clipping has PPO's objective without a
critic.
"""

from __future__ import annotations

from typing import Any

from burnish.backends.algorithms import TrainerParts, register_algorithm
from burnish.backends.arguments import on_one_device
from burnish.config import GrpoAlgorithm, PolicyTraining, RlooAlgorithm


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
