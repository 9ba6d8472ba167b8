"""Training of reward models with TRL's RewardTrainer. The trainer is only configured. None of its methods is
overridden."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from burnish.algorithms.rewards import RewardPoint
from burnish.backends.arguments import on_one_device


def trl_trainer(
    model: Any,
    arguments: Mapping[str, Any],
    centring: float,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    tokenizer: Any,
    pad: int,
    callbacks: list[TrainerCallback],
) -> Any:
    """Return the configured trainer. `arguments` are those that all trainers share, and how often a point is taken.

    `pairs` have the token ids of the chosen and of the rejected answer, each with its prompt and its end. `pad` is the
    id of the token that fills the rows of a batch.
    """
    # Ours is cached and used for other models, too, so its pad token must stay.
    own = copy.deepcopy(tokenizer)
    own.pad_token = own.convert_ids_to_tokens(pad)
    config = RewardConfig(
        **arguments,
        # TRL leaves rows out without a word if they have more than 1,024 tokens. Rows that do not fit are left out and
        # counted before.
        max_length=None,
        pad_to_multiple_of=None,
        disable_dropout=True,
        center_rewards_coefficient=centring or None,
    )
    return RewardTrainer(
        model=model,
        args=on_one_device(config),
        # With these two columns, TRL takes our ids as they are. Else it would encode texts with its own template.
        train_dataset=Dataset.from_list([{"chosen_ids": list(a), "rejected_ids": list(b)} for a, b in pairs]),
        processing_class=own,
        callbacks=callbacks,
    )


def curve_of(trainer: Any) -> tuple[RewardPoint, ...]:
    """Return the training curve that the trainer logged."""
    return tuple(
        RewardPoint(
            step=entry["step"],
            loss=entry["loss"],
            accuracy=entry["accuracy"],
            margin=entry["margin"],
            mean=entry["mean_reward"],
        )
        for entry in trainer.state.log_history
        if "loss" in entry
    )
