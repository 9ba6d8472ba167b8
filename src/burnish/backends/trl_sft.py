"""Finetuning with TRL's SFTTrainer, for models that supervised.py does not serve. The trainer is only configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from burnish.backends.arguments import on_one_device
from burnish.backends.render import Tokens


def trl_trainer(
    model: Any,
    arguments: Mapping[str, Any],
    tokens: Sequence[Tokens],
    tokenizer: Any,
    callbacks: list[TrainerCallback],
) -> Any:
    """Return the configured trainer. `arguments` are those that all trainers share."""
    config = SFTConfig(
        **arguments,
        # TRL's default is 1,024 tokens. It would cut a row, and with it the end that is to be learned. Rows that do not
        # fit are refused earlier.
        max_length=None,
        packing=False,
        # With this, TRL takes our ids and labels as they are. Else it would encode texts with its own template.
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return SFTTrainer(
        model=model,
        args=on_one_device(config),
        train_dataset=Dataset.from_list([{"input_ids": row.ids, "labels": row.labels} for row in tokens]),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
