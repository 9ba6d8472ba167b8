"""Training through TRL (SFT) and transformers (the two-way head), LoRA through PEFT. Configured, nothing overridden."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig as PeftLora
from peft import get_peft_model
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
from trl import SFTConfig, SFTTrainer

from burnish.backends.batching import micro_batch
from burnish.backends.device import Runtime, torch_dtype
from burnish.backends.load import load_base, located, max_positions, renderer_of
from burnish.backends.render import Tokens
from burnish.config import DType, Optimizer, TrainSettings
from burnish.errors import BackendError
from burnish.model_card import Weights, read_card, write_card
from burnish.types import PairRow, TrainingRow

OPTIMIZERS = {Optimizer.ADAMW: "adamw_torch", Optimizer.ADAFACTOR: "adafactor"}
REAL_MODEL_TOKENS = {"cpu": 1_024, "mps": 4_096, "cuda": 16_384}
"""Padded tokens in one forward pass of training a model of 100M parameters and more."""


class Training:
    """One training of a base model into a directory: of the model itself, or of a two-way head on it."""

    def __init__(
        self, base: Path, settings: TrainSettings, seed: int, runtime: Runtime, classifier: bool = False
    ) -> None:
        self.card = located(read_card(base), runtime.sources)
        self.settings, self.seed, self.runtime, self.classifier = settings, seed, runtime, classifier
        assert self.card.weights is Weights.BASE, f"{base}: training starts from the base model (Algorithm 1)"
        self.renderer = renderer_of(self.card.base)

    def finetune(self, rows: Sequence[TrainingRow], into: Path, checkpoints: int) -> int:
        """Train on the completions and their ends; save `checkpoints` evenly spaced models besides the last one.

        Returns the tokens of all epochs.
        """
        set_seed(self.seed)  # the adapter's first weights are drawn here
        model = self._model()
        limit = self.settings.max_tokens or max_positions(model)
        tokens = [self.renderer.row(row, limit) for row in rows]
        scratch = into / "trainer"
        arguments = SFTConfig(
            **self._arguments(scratch, len(tokens), max(len(row.ids) for row in tokens)),
            max_length=None,
            packing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=_dataset(tokens),
            processing_class=self.renderer.tokenizer,
            callbacks=[self._bar(len(tokens)), _SaveAt(self._save_steps(len(tokens), checkpoints))],
        )
        self._train(trainer, into, checkpoints)
        return round(self.settings.epochs * sum(len(row.ids) for row in tokens))

    def learn_to_compare(self, rows: Sequence[tuple[PairRow, PairRow]], into: Path) -> int:
        """Train the two-way head, P(the second answer is better).

        An item, of which batch_size make a step, is a pair in both orders, so that both stand in one batch: shuffled
        apart, a small model does not learn to compare at all.
        """
        set_seed(self.seed)
        model = self._model()
        items: list[dict[str, Any]] = [
            {
                "ids": [self.renderer.pair(order, max_positions(model)) for order in pair],
                "labels": [int(bool(order.second_better)) for order in pair],
            }
            for pair in rows
        ]
        longest = max(len(ids) for item in items for ids in item["ids"])
        arguments = self._arguments(into / "trainer", len(items), 2 * longest)
        pad = self.renderer.tokenizer.pad_token_id
        trainer = Trainer(
            model=model,
            args=TrainingArguments(**arguments),
            train_dataset=Dataset.from_list(items),
            data_collator=lambda batch: _both_orders(batch, pad),
            callbacks=[self._bar(len(items))],
        )
        self._train(trainer, into, 0)
        return round(self.settings.epochs * sum(len(ids) for item in items for ids in item["ids"]))

    def _train(self, trainer: Any, into: Path, checkpoints: int) -> None:
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for data
        trainer.train()
        loss = trainer.state.log_history[-1].get("train_loss", 0.0)
        if not math.isfinite(loss):
            raise BackendError(f"train.learning_rate: {self.settings.learning_rate} made the loss {loss}; lower it")
        scratch = into / "trainer"
        saved = sorted(scratch.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        for number, path in enumerate(saved[:checkpoints], 1):
            place = into / f"checkpoint-{number:02d}"
            path.rename(place)
            (place / "training_args.bin").unlink(missing_ok=True)
            self._write_card(place)
        trainer.model.save_pretrained(into)
        shutil.rmtree(scratch, ignore_errors=True)
        self._write_card(into)

    def _write_card(self, place: Path) -> None:
        weights = Weights.ADAPTER if self.settings.lora else Weights.FULL
        write_card(place, self.card.model_copy(update={"weights": weights, "classifier": self.classifier}))

    def _model(self) -> Any:
        """Return the model to train. All weights are kept in float32 (bfloat16 arithmetic through autocast); under
        adapters the frozen weights keep the model's own format."""
        dtype = torch_dtype(self.card.base.dtype) if self.settings.lora else torch.float32
        model = load_base(self.card.base, dtype, self.classifier)
        model.config.pad_token_id = self.renderer.tokenizer.pad_token_id
        if self.settings.lora:
            lora = self.settings.lora
            task = "SEQ_CLS" if self.classifier else "CAUSAL_LM"
            config = PeftLora(
                r=lora.r, lora_alpha=lora.alpha, target_modules="all-linear", lora_dropout=0.0, task_type=task
            )
            model = get_peft_model(model, config)
        return model

    def _arguments(self, scratch: Path, rows: int, longest: int) -> dict[str, Any]:
        """Set everything that has a default which would cut rows, change the arithmetic or write elsewhere."""
        settings, device = self.settings, self.runtime.device.type
        micro = self._micro_batch(longest)
        return {
            "output_dir": str(scratch),
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": settings.batch_size // micro,
            "num_train_epochs": settings.epochs,
            "learning_rate": settings.learning_rate,
            "lr_scheduler_type": str(settings.schedule),
            "warmup_steps": math.ceil(settings.warmup * self._steps(rows)),
            "optim": OPTIMIZERS[settings.optimizer],
            "weight_decay": 0.0,
            "bf16": self.card.base.dtype is DType.BFLOAT16,
            "fp16": False,
            "use_cpu": device == "cpu",
            "activation_checkpointing": settings.gradient_checkpointing,
            "seed": self.seed,
            "data_seed": self.seed,
            "save_strategy": "no",
            "save_only_model": True,
            "logging_strategy": "no",
            "eval_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "remove_unused_columns": False,
            "dataloader_num_workers": 0,
            "dataloader_pin_memory": device == "cuda",
        }

    def _micro_batch(self, longest: int) -> int:
        wanted = self.runtime.execution.micro_batch
        if wanted != "auto":
            return micro_batch(self.settings.batch_size, 1, wanted)
        small = self.card.base.source.startswith("builtin:")
        budget = 65_536 if small else REAL_MODEL_TOKENS[self.runtime.device.type]
        return micro_batch(self.settings.batch_size, longest, budget)

    def _steps(self, rows: int) -> int:
        return max(1, math.ceil(math.ceil(rows / self.settings.batch_size) * self.settings.epochs))

    def _save_steps(self, rows: int, checkpoints: int) -> frozenset[int]:
        steps = self._steps(rows)
        if steps < checkpoints:
            raise BackendError(
                f"supervision.annotator.checkpoints: {checkpoints} found, but the weak model trains for {steps} steps; "
                "ask for fewer, or use more rows or epochs"
            )
        return frozenset(max(1, round(steps * number / checkpoints)) for number in range(1, checkpoints + 1))

    def _bar(self, rows: int) -> TrainerCallback:
        self.runtime.progress.start("training", self._steps(rows))
        return _Bar(self.runtime.progress.advance)


def _dataset(tokens: Sequence[Tokens]) -> Dataset:
    return Dataset.from_list([{"input_ids": row.ids, "labels": row.labels} for row in tokens])


def _both_orders(batch: Sequence[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    rows = [ids for item in batch for ids in item["ids"]]
    longest = max(len(row) for row in rows)
    return {
        "input_ids": torch.tensor([row + [pad] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        "labels": torch.tensor([label for item in batch for label in item["labels"]]),
    }


class _SaveAt(TrainerCallback):
    """Asks the trainer to save at given steps: evenly spaced, where `save_steps` would add a short last interval."""

    def __init__(self, steps: frozenset[int]) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Set the trainer's own flag."""
        control.should_save = state.global_step in self.steps
        return control


class _Bar(TrainerCallback):
    """Passes steps on to the progress bar."""

    def __init__(self, advance: Any) -> None:
        self.advance = advance

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """One step more."""
        self.advance(1)
        return control
