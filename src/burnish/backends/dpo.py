"""Preference training through TRL's DPOTrainer: configured, nothing overridden.

The reference is the policy itself as it is before the first step; its log-probabilities are computed once, so that no
second model is held.
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

from burnish.backends.arguments import Arguments, run
from burnish.backends.device import Runtime, torch_dtype
from burnish.backends.load import beneath_adapter, located, max_positions, renderer_of
from burnish.backends.render import Renderer
from burnish.config import Loss, Objective, TrainSettings
from burnish.models.card import Weights, read_card, write_card
from burnish.protocols import Trained, TrainingPoint
from burnish.types import PreferenceRow, TrainingRow

POINTS = 20
"""Points of the training curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTokens:
    """A preference as token ids; both answers end with the end-of-sequence token."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def longest(self) -> int:
        """Tokens of the longer one of the two rows."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))

    @property
    def total(self) -> int:
        """Tokens of both rows."""
        return 2 * len(self.prompt) + len(self.chosen) + len(self.rejected)


class PreferenceTraining:
    """One training of a policy on preferences into a directory; an adapter goes on as one, all weights as all."""

    def __init__(
        self, policy: Path, settings: TrainSettings, objective: Objective, seed: int, runtime: Runtime
    ) -> None:
        self.policy, self.settings, self.objective = policy, settings, objective
        self.card = located(read_card(policy), runtime.sources)
        # The reference of DPO is the policy of the round before (released code), never the base model.
        assert self.card.weights is not Weights.BASE, f"{policy}: a policy is a finetuned model"
        self.arguments = Arguments(settings=settings, seed=seed, runtime=runtime, card=self.card)
        self.renderer = renderer_of(self.card.base)

    def optimize(self, rows: Sequence[PreferenceRow], into: Path) -> Trained:
        """Train, save the policy, and return what it cost and how it went."""
        trainer, pairs = self.trainer(rows, into / "trainer")
        run(trainer, self.settings)
        only: dict[str, Any] = {} if self.card.weights is Weights.FULL else {"selected_adapters": ["default"]}
        trainer.model.save_pretrained(into, **only)  # TRL has added an adapter "ref"
        shutil.rmtree(into / "trainer", ignore_errors=True)
        write_card(into, self.card)
        curve = tuple(_point(entry) for entry in trainer.state.log_history if "loss" in entry)
        return Trained(tokens=round(self.settings.epochs * sum(pair.total for pair in pairs)), curve=curve)

    def trainer(self, rows: Sequence[PreferenceRow], scratch: Path) -> tuple[Any, list[PairTokens]]:
        """Return the configured trainer and the ids that it trains on."""
        model = self._model()
        # Checked here, so that no row loses the token at which its answer ends.
        limit = self.settings.max_tokens or max_positions(model)
        pairs = [pair_tokens(self.renderer, row, limit) for row in rows]
        steps = self.arguments.steps(len(pairs))
        # A pair is two rows of a forward pass.
        arguments = self.arguments.common(scratch, len(pairs), 2 * max(pair.longest for pair in pairs))
        arguments |= _loss(self.objective)
        arguments |= {"logging_strategy": "steps", "logging_steps": max(1, steps // POINTS)}
        # All three are stated, because results depend on them. TRL's own defaults may change, and its `max_length` is
        # 1,024.
        arguments |= {"max_length": None, "disable_dropout": True, "precompute_ref_log_probs": True}
        config = DPOConfig(**arguments)
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
        """Return the policy to train, all weights in float32 as in finetuning, or the adapter on its frozen base."""
        if self.card.weights is Weights.FULL:
            model: Any = AutoModelForCausalLM.from_pretrained(self.policy, dtype=torch.float32)
        else:
            base = beneath_adapter(self.card.base, torch_dtype(self.card.base.dtype), labels=None)
            model = PeftModel.from_pretrained(base, str(self.policy), is_trainable=True)
        # The tokenizer may have got its pad token here (see load.py), so the model's config does not know it.
        model.config.pad_token_id = self.renderer.tokenizer.pad_token_id
        return model


def pair_tokens(renderer: Renderer, row: PreferenceRow, limit: int) -> PairTokens:
    """Render both answers as every other row is rendered; raises DataError naming a pair that does not fit."""
    chosen, rejected = (
        renderer.row(TrainingRow(id=row.id, prompt=row.prompt, completion=text), limit)
        for text in (row.chosen, row.rejected)
    )
    # Both rows begin with the same prompt: the prompt is turned into tokens alone and never together with an answer.
    cut = chosen.prompt_length
    return PairTokens(prompt=chosen.ids[:cut], chosen=chosen.ids[cut:], rejected=rejected.ids[cut:])


def _loss(objective: Objective) -> dict[str, Any]:
    """Name the loss in TRL's terms. Its label_smoothing does not act on `sigmoid`, so cDPO is a weighted sum.

    With s = log sigmoid(beta d), t = log sigmoid(-beta d) and eps the flip rate, robust is (-(1 - eps) s + eps t) /
    (1 - 2 eps), and -2 (1 - eps) s - (1 - 2 eps) robust is cDPO's -(1 - eps) s - eps t.
    """
    eps = objective.flip_rate
    match objective.loss:
        case Loss.SIGMOID | Loss.IPO:
            named: dict[str, Any] = {"loss_type": [str(objective.loss)]}
        case Loss.RDPO:
            named = {"loss_type": ["robust"], "label_smoothing": eps}
        case Loss.CDPO:
            # The second weight is negative. It takes away the part of `robust` by which it differs from cDPO; see the
            # docstring.
            weights = [2 * (1 - eps), -(1 - 2 * eps)]
            named = {"loss_type": ["sigmoid", "robust"], "loss_weights": weights, "label_smoothing": eps}
    return named | {"beta": objective.beta}


def _dataset(rows: int, eos: str) -> Dataset:
    """TRL tokenises texts, in its own way, and has no switch against it: it gets empty ones, and `row` tells our
    collator which ids to put in their place."""
    return Dataset.from_list([{"row": row, "prompt": "", "chosen": eos, "rejected": eos} for row in range(rows)])


class _OurIds:
    """Collates our renderer's ids, so that template, BOS and EOS are those of finetuning and generation."""

    def __init__(self, pairs: Sequence[PairTokens], pad: int) -> None:
        self.pairs, self.collate = pairs, DataCollatorForPreference(pad_token_id=pad)

    def __call__(self, batch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self.collate([self._ours(row) for row in batch])

    def _ours(self, row: Mapping[str, Any]) -> dict[str, Any]:
        pair = self.pairs[row["row"]]
        ids = {"prompt_ids": pair.prompt, "chosen_ids": pair.chosen, "rejected_ids": pair.rejected}
        # The trainer first calls this collator to compute the reference's log-probabilities, and adds them to the
        # dataset after that. So they are missing in the first pass.
        return ids | {name: row[name] for name in ("ref_chosen_logps", "ref_rejected_logps") if name in row}


def _point(entry: Mapping[str, Any]) -> TrainingPoint:
    return TrainingPoint(
        step=entry["step"],
        loss=entry["loss"],
        chosen_logp=entry["logps/chosen"],
        rejected_logp=entry["logps/rejected"],
        margin=entry["rewards/margins"],
    )
