"""Preference training with TRL's DPOTrainer, which is only configured. None of its methods is overridden.

The reference model is the policy itself before the first step. Its log-probabilities are computed once at the start, so
that no second model has to stay in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from burnish.backends.arguments import Arguments, on_one_device, run
from burnish.backends.device import Runtime, torch_dtype
from burnish.backends.load import beneath_adapter, located, max_positions, renderer_of
from burnish.backends.render import Renderer
from burnish.config import Loss, Objective, TrainSettings
from burnish.models.card import Weights, read_card, write_card
from burnish.protocols import Trained, TrainingPoint
from burnish.types import PreferenceRow, TrainingRow

POINTS = 20
"""Number of points of the training curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTokens:
    """A preference as token ids. Both answers include the token that ends an answer."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def longest(self) -> int:
        """The number of tokens of the longer row (prompt and answer)."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))

    @property
    def total(self) -> int:
        """The number of tokens of both rows together. The prompt counts twice."""
        return 2 * len(self.prompt) + len(self.chosen) + len(self.rejected)


class PreferenceTraining:
    """One training of a policy on preferences, whose result is written into a directory.

    If the policy is an adapter, only the adapter is trained further. If it has all weights, all weights are trained.
    """

    def __init__(
        self, policy: Path, settings: TrainSettings, objective: Objective, seed: int, runtime: Runtime
    ) -> None:
        self.policy, self.settings, self.objective = policy, settings, objective
        self.card = located(read_card(policy), runtime.sources)
        # The reference of DPO is the policy of the previous round (as in the released code), never the base model.
        assert self.card.weights is not Weights.BASE, f"{policy}: a policy is a finetuned model"
        self.arguments = Arguments(settings=settings, seed=seed, runtime=runtime, card=self.card)
        self.renderer = renderer_of(self.card.base)

    def optimize(self, rows: Sequence[PreferenceRow], into: Path) -> Trained:
        """Train, save the policy, and return the number of tokens and the training curve."""
        trainer, pairs = self.trainer(rows, into / "trainer")
        run(trainer, self.settings)
        only: dict[str, Any] = {} if self.card.weights is Weights.FULL else {"selected_adapters": ["default"]}
        trainer.model.save_pretrained(into, **only)  # TRL adds an adapter "ref", which is not saved
        shutil.rmtree(into / "trainer", ignore_errors=True)
        write_card(into, self.card)
        curve = tuple(_point(entry) for entry in trainer.state.log_history if "loss" in entry)
        return Trained(tokens=round(self.settings.epochs * sum(pair.total for pair in pairs)), curve=curve)

    def trainer(self, rows: Sequence[PreferenceRow], scratch: Path) -> tuple[Any, list[PairTokens]]:
        """Return the configured trainer and the token ids that it trains on."""
        model = self._model()
        # Rows that are too long are refused here. If they were cut, they would lose the token that ends the answer.
        limit = self.settings.max_tokens or max_positions(model)
        pairs = [pair_tokens(self.renderer, row, limit) for row in rows]
        steps = self.arguments.steps(len(pairs))
        # A pair is two rows of a forward pass.
        arguments = self.arguments.drawn(scratch, len(pairs), 2 * max(pair.longest for pair in pairs))
        arguments |= _loss(self.objective)
        arguments |= {"logging_strategy": "steps", "logging_steps": max(1, steps // POINTS)}
        # All three are set, because results depend on them and TRL's defaults may change. Its default of `max_length`
        # is 1,024.
        arguments |= {"max_length": None, "disable_dropout": True, "precompute_ref_log_probs": True}
        config = on_one_device(DPOConfig(**arguments))
        trainer = DPOTrainer(
            model=model,
            args=config,
            train_dataset=_dataset(len(pairs), self.renderer.tokenizer.eos_token),
            processing_class=self.renderer.tokenizer,
            data_collator=_OurIds(pairs, self.renderer.tokenizer.pad_token_id),
            callbacks=[self.arguments.bar(len(pairs))],
        )
        return trainer, pairs

    def _model(self) -> Any:
        """Return the policy to train: all weights in float32, as in finetuning, or the adapter on its frozen base."""
        if self.card.weights is Weights.FULL:
            model: Any = AutoModelForCausalLM.from_pretrained(self.policy, dtype=torch.float32)
        else:
            base = beneath_adapter(self.card.base, torch_dtype(self.card.base.dtype), labels=None)
            model = PeftModel.from_pretrained(base, str(self.policy), is_trainable=True)
        # burnish may have given the tokenizer its pad token (see load.py). Then the model's config does not know it.
        model.config.pad_token_id = self.renderer.tokenizer.pad_token_id
        return model


def pair_tokens(renderer: Renderer, row: PreferenceRow, limit: int) -> PairTokens:
    """Render both answers in the same way as every other row. `limit` is the most tokens that a row may have.

    Raises DataError with the row's id if a row is longer.
    """
    chosen, rejected = (
        renderer.row(TrainingRow(id=row.id, prompt=row.prompt, completion=text), limit)
        for text in (row.chosen, row.rejected)
    )
    # Both rows begin with the same ids, because the prompt is turned into tokens alone, never together with an answer.
    cut = chosen.prompt_length
    return PairTokens(prompt=chosen.ids[:cut], chosen=chosen.ids[cut:], rejected=rejected.ids[cut:])


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


def _point(entry: Mapping[str, Any]) -> TrainingPoint:
    return TrainingPoint(
        step=entry["step"],
        loss=entry["loss"],
        chosen_logp=entry["logps/chosen"],
        rejected_logp=entry["logps/rejected"],
        margin=entry["rewards/margins"],
    )
