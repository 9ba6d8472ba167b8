"""Preference training with TRL's DPOTrainer, for models that supervised.py does not serve.

The trainer is only configured. None of its methods is overridden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from burnish.backends.arguments import on_one_device
from burnish.backends.preferences import PairTokens
from burnish.config import Loss, Objective
from burnish.protocols import TrainingPoint


def trl_trainer(
    model: Any,
    arguments: Mapping[str, Any],
    objective: Objective,
    pairs: Sequence[PairTokens],
    tokenizer: Any,
    callbacks: list[TrainerCallback],
) -> Any:
    """Return the configured trainer. `arguments` are those that all trainers share, and how often a point is taken."""
    # All three are set, because results depend on them and TRL's defaults may change. Its default of `max_length` is
    # 1,024.
    fixed = {"max_length": None, "disable_dropout": True, "precompute_ref_log_probs": True}
    return DPOTrainer(
        model=model,
        args=on_one_device(DPOConfig(**arguments, **fixed, **_loss(objective))),
        train_dataset=_dataset(len(pairs), tokenizer.eos_token),
        processing_class=tokenizer,
        data_collator=_OurIds(pairs, tokenizer.pad_token_id),
        callbacks=callbacks,
    )


def curve_of(trainer: Any) -> tuple[TrainingPoint, ...]:
    """Return the training curve that the trainer logged."""
    return tuple(
        TrainingPoint(
            step=entry["step"],
            loss=entry["loss"],
            chosen_logp=entry["logps/chosen"],
            rejected_logp=entry["logps/rejected"],
            margin=entry["rewards/margins"],
        )
        for entry in trainer.state.log_history
        if "loss" in entry
    )


def _loss(objective: Objective) -> dict[str, Any]:
    """Return TRL's arguments for the loss. TRL ignores label_smoothing for `sigmoid`, so cDPO is a weighted sum.

    Let s = log sigmoid(beta d), t = log sigmoid(-beta d), and let eps be the flip rate. The loss `robust` is
    (-(1 - eps) s + eps t) / (1 - 2 eps). Then -2 (1 - eps) s - (1 - 2 eps) robust is cDPO's loss,
    -(1 - eps) s - eps t.
    """
    eps = objective.flip_rate
    match objective.loss:
        case Loss.SIGMOID | Loss.IPO:
            named: dict[str, Any] = {"loss_type": [str(objective.loss)]}
        case Loss.RDPO:
            named = {"loss_type": ["robust"], "label_smoothing": eps}
        case Loss.CDPO:
            # The second weight is negative. The docstring has the equation.
            weights = [2 * (1 - eps), -(1 - 2 * eps)]
            named = {"loss_type": ["sigmoid", "robust"], "loss_weights": weights, "label_smoothing": eps}
    return named | {"beta": objective.beta}


def _dataset(rows: int, eos: str) -> Dataset:
    """Return a dataset of rows without text. TRL always tokenises texts in its own way, so it gets no real ones.

    `row` tells our collator which token ids to put in their place.
    """
    return Dataset.from_list([{"row": row, "prompt": "", "chosen": eos, "rejected": eos} for row in range(rows)])


class _OurIds:
    """Makes batches of our renderer's ids, so that template, BOS and EOS are those of finetuning and generation."""

    def __init__(self, pairs: Sequence[PairTokens], pad: int) -> None:
        self.pairs, self.collate = pairs, DataCollatorForPreference(pad_token_id=pad)

    def __call__(self, batch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self.collate([self._ours(row) for row in batch])

    def _ours(self, row: Mapping[str, Any]) -> dict[str, Any]:
        pair = self.pairs[row["row"]]
        ids = {"prompt_ids": pair.prompt, "chosen_ids": pair.chosen, "rejected_ids": pair.rejected}
        # The trainer first calls this collator to compute the reference's log-probabilities. Only after that it adds
        # them to the dataset, so they are missing in the first pass.
        return ids | {name: row[name] for name in ("ref_chosen_logps", "ref_rejected_logps") if name in row}
