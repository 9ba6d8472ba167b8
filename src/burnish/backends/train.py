"""Finetuning and training of heads, with transformers' Trainer and PEFT (LoRA).

The trainer gets the passes of the whole training in their order (see passes.py). It is only configured. None of its
methods is overridden. Models that supervised.py does not serve are finetuned by TRL's SFTTrainer. Reward models are
trained by its RewardTrainer.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig as PeftLora
from peft import PeftModel, get_peft_model
from peft.helpers import disable_input_dtype_casting
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from burnish.algorithms.rewards import RewardTrained
from burnish.backends.arguments import Arguments, on_one_device, run, whole_weights
from burnish.backends.device import Runtime, is_first, torch_dtype
from burnish.backends.load import continued, located, max_positions, renderer_of
from burnish.backends.passes import padded, padding
from burnish.backends.render import Tokens
from burnish.backends.supervised import Supervised, batch_of, loss_of, serves
from burnish.config import TrainSettings
from burnish.errors import ConfigError, DataError
from burnish.models.card import Weights, read_card, write_card
from burnish.types import Head, PairRow, PreferenceRow, TrainingRow

LABELS = {Head.NONE: None, Head.CLASSIFIER: 2, Head.REWARD: 1}
"""The number of outputs of each head."""
POINTS = 20
"""Number of points of a reward model's training curve."""
UNLIMITED = 2**31
"""More tokens than any row has."""


class Training:
    """One training of a base model, or of a head on it. The result is written into a directory."""

    def __init__(
        self, base: Path, settings: TrainSettings, seed: int, runtime: Runtime, head: Head = Head.NONE
    ) -> None:
        self.card = located(read_card(base), runtime.sources)
        self.settings, self.seed, self.head = settings, seed, head
        self.arguments = Arguments(settings=settings, seed=seed, runtime=runtime, card=self.card)
        assert self.card.weights is Weights.BASE, f"{base}: training starts from the base model (Algorithm 1)"
        self.renderer = renderer_of(self.card.base)
        self.pad: int | None = None
        """The token that fills the rows of a batch, if it must not be the tokenizer's own."""

    def finetune(self, rows: Sequence[TrainingRow], into: Path, checkpoints: int) -> int:
        """Train on the completions and their ends, and return the number of tokens of all epochs.

        Besides the final model, it saves `checkpoints` models at evenly spaced steps. Raises DataError with the row's
        id if a row is too long, and BackendError if several processes cannot train as one does.
        """
        set_seed(self.seed)  # the adapter's first weights are drawn here
        model = self._model()
        limit = self.settings.max_tokens or max_positions(model)
        tokens = [self.renderer.row(row, limit) for row in rows]
        saves = _SaveAt(self.arguments.save_steps(len(tokens), checkpoints))
        callbacks = [*self.arguments.callbacks(len(tokens)), saves]
        if serves(model):
            with Supervised(model):
                self._train(self._plain(model, tokens, into / "trainer", callbacks), into, checkpoints)
        else:
            self._train(self._trl(model, tokens, into / "trainer", callbacks), into, checkpoints)
        return round(self.settings.epochs * sum(len(row.ids) for row in tokens))

    def _plain(self, model: Any, tokens: Sequence[Tokens], scratch: Path, callbacks: list[TrainerCallback]) -> Trainer:
        """Return transformers' Trainer, which gets the passes in their order (see supervised.py)."""
        arguments, steps = self.arguments.planned(scratch, [len(row.ids) for row in tokens])
        passes: Any = [one for step in steps for one in step]
        pad = self.renderer.tokenizer.pad_token_id
        return Trainer(
            model=model,
            args=on_one_device(TrainingArguments(**arguments)),
            train_dataset=passes,
            data_collator=lambda batch: batch_of([tokens[row] for row in batch[0]], pad),
            compute_loss_func=loss_of,
            callbacks=callbacks,
        )

    def _trl(self, model: Any, tokens: Sequence[Tokens], scratch: Path, callbacks: list[TrainerCallback]) -> Trainer:
        """Return TRL's SFTTrainer, which draws the rows itself."""
        # Imported here, because few models need it and importing TRL takes 0.3 seconds.
        from burnish.backends.trl_sft import trl_trainer  # noqa: PLC0415

        arguments = self.arguments.drawn(scratch, len(tokens), max(len(row.ids) for row in tokens))
        return trl_trainer(model, arguments, tokens, self.renderer.tokenizer, callbacks)

    def learn_to_compare(self, rows: Sequence[tuple[PairRow, PairRow]], into: Path) -> int:
        """Train the two-way head, which gives P(the second answer is better), and return the tokens of all epochs.

        An item is a pair in both orders, and a step has `batch_size` items. So both orders are always in the same
        batch. If they are shuffled apart, a small model does not learn to compare at all. Raises DataError with the
        pair's id if a pair is too long.
        """
        set_seed(self.seed)
        model = self._model()
        items = [
            _BothOrders(
                ids=[self.renderer.pair(order, max_positions(model)) for order in pair],
                labels=[int(bool(order.second_better)) for order in pair],
            )
            for pair in rows
        ]
        # One item is two rows of a forward pass.
        lengths = [2 * max(map(len, item.ids)) for item in items]
        arguments, steps = self.arguments.planned(into / "trainer", lengths)
        passes: Any = [one for step in steps for one in step]
        pad = self.renderer.tokenizer.pad_token_id
        trainer = Trainer(
            model=model,
            args=on_one_device(TrainingArguments(**arguments)),
            train_dataset=passes,
            data_collator=lambda batch: _both_orders([items[place] for place in batch[0]], pad),
            compute_loss_func=_loss_of_labels,
            callbacks=self.arguments.callbacks(len(items)),
        )
        self._train(trainer, into, 0)
        return round(self.settings.epochs * sum(len(ids) for item in items for ids in item.ids))

    def learn_to_reward(self, rows: Sequence[PreferenceRow], centring: float, into: Path) -> RewardTrained:
        """Train a head that gives an answer one number, and return the cost and the course of the training.

        The loss is -log sigmoid(r(chosen) - r(rejected)) (Bradley and Terry), plus `centring` times the square of the
        sum of both rewards. A pair with an answer that does not fit into the model is left out. Raises DataError if no
        pair is left.
        """
        from burnish.backends.trl_reward import curve_of, trl_trainer  # noqa: PLC0415 importing TRL takes a while

        set_seed(self.seed)
        model = self._model()
        limit = self.settings.max_tokens or max_positions(model)
        fitting = {row.id: ids for row in rows if (ids := self._both_judged(row, limit)) is not None}
        if not fitting:
            raise DataError(f"none of {len(rows)} pairs fits into the model's {limit} tokens; shorten the answers")
        pairs = list(fitting.values())
        self.pad = padding(self.renderer.tokenizer, [ids for pair in pairs for ids in pair])
        arguments = self.arguments.drawn(
            into / "trainer", len(pairs), 2 * max(len(ids) for one in pairs for ids in one)
        )
        every = max(1, self.arguments.steps(len(pairs)) // POINTS)
        arguments |= {"logging_strategy": "steps", "logging_steps": every}
        callbacks = self.arguments.callbacks(len(pairs))
        trainer = trl_trainer(model, arguments, centring, pairs, self.renderer.tokenizer, self.pad, callbacks)
        self._train(trainer, into, 0)
        return RewardTrained(
            tokens=round(self.settings.epochs * sum(len(ids) for pair in pairs for ids in pair)),
            curve=curve_of(trainer),
            too_long=tuple(row.id for row in rows if row.id not in fitting),
        )

    def _both_judged(self, row: PreferenceRow, limit: int) -> tuple[list[int], list[int]] | None:
        """Return what a reward model sees of both answers, or None if one of them is too long."""
        chosen, rejected = (
            self.renderer.judged(TrainingRow(id=row.id, prompt=row.prompt, completion=text), UNLIMITED)
            for text in (row.chosen, row.rejected)
        )
        return None if max(len(chosen), len(rejected)) > limit else (chosen, rejected)

    def _train(self, trainer: Any, into: Path, checkpoints: int) -> None:
        # Under autocast, PEFT casts what goes into an adapter to float32, and autocast casts it back. Without these two
        # casts a training is faster, and the weights are the same to the bit.
        with disable_input_dtype_casting(trainer.model, active=trainer.args.bf16):
            run(trainer, self.settings)
        weights = whole_weights(trainer)  # all processes bring their parts together
        if is_first():
            self._save(trainer, weights, into, checkpoints)
        # The other processes go on when all files are there.
        trainer.accelerator.wait_for_everyone()

    def _save(self, trainer: Any, weights: dict[str, Any], into: Path, checkpoints: int) -> None:
        scratch = into / "trainer"
        # They are sorted as numbers. As texts, checkpoint-100 would come before checkpoint-20.
        saved = sorted(scratch.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        for number, path in enumerate(saved[:checkpoints], 1):
            place = into / f"checkpoint-{number:02d}"
            path.rename(place)
            # This pickle contains the name of the scratch folder. Nothing reads it, and because of it the files of two
            # equal models would differ.
            (place / "training_args.bin").unlink(missing_ok=True)
            self._write_card(place)
        trainer.model.save_pretrained(into, **weights)
        shutil.rmtree(scratch, ignore_errors=True)
        self._write_card(into)

    def _write_card(self, place: Path) -> None:
        weights = Weights.ADAPTER if self.settings.lora else Weights.FULL
        head = {"classifier": self.head is Head.CLASSIFIER, "reward": self.head is Head.REWARD, "pad": self.pad}
        write_card(place, self.card.model_copy(update={"weights": weights, **head}))

    def _model(self) -> Any:
        """Return the model to train.

        If all weights are trained, they are float32, and bfloat16 arithmetic goes through autocast. With an adapter,
        the frozen weights keep the model's own format. An existing adapter is continued if the settings say so.
        """
        labels = LABELS[self.head]
        # Small steps of the optimiser get lost in bfloat16, which has 8 bits of precision. Adapters are always float32.
        dtype = torch_dtype(self.card.base.dtype) if self.settings.lora else torch.float32
        adapter = continued(self.card.base, labels)
        if self.settings.lora is None and self.card.base.quantise is not None:
            raise ConfigError(
                f"model {self.card.base.source!r}: quantise: {self.card.base.quantise} found, and train.lora: null, "
                "which trains all weights; leave one of them out"
            )
        if self.settings.lora is None and adapter is not None:
            raise ConfigError(
                f"model {self.card.base.source!r}: adapter: continue found, and train.lora: null, which trains all "
                "weights; set adapter to merge, or leave train.lora out"
            )
        model = self.arguments.start(dtype, labels, adapter=self.settings.lora is not None)
        model.config.pad_token_id = self.renderer.tokenizer.pad_token_id
        if adapter is not None:
            return PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
        if self.settings.lora:
            lora = self.settings.lora
            task = "SEQ_CLS" if labels else "CAUSAL_LM"
            config = PeftLora(
                r=lora.r, lora_alpha=lora.alpha, target_modules="all-linear", lora_dropout=0.0, task_type=task
            )
            model = get_peft_model(model, config)
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class _BothOrders:
    """A pair in both orders: the token ids and the label of each."""

    ids: list[list[int]]
    labels: list[int]


def _both_orders(items: Sequence[_BothOrders], pad: int) -> dict[str, torch.Tensor]:
    labels = [label for item in items for label in item.labels]
    return padded([ids for item in items for ids in item.ids], pad) | {"labels": torch.tensor(labels or [-100])}


def _loss_of_labels(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any) -> torch.Tensor:
    """Return the cross-entropy, summed over the pass, divided by the number of labels of the whole step."""
    return torch.nn.functional.cross_entropy(outputs.logits.float(), labels, reduction="sum") / num_items_in_batch


class _SaveAt(TrainerCallback):
    """Asks the trainer to save at given steps. The trainer's own `save_steps` would add a short last interval."""

    def __init__(self, steps: frozenset[int]) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Tell the trainer whether to save after this step."""
        control.should_save = state.global_step in self.steps
        return control
