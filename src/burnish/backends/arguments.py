"""The arguments that every trainer gets, in one place. Some defaults would cut rows or change the arithmetic."""

from __future__ import annotations

import gc
import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import DistributedType
from torch.distributed.tensor import DTensor
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from burnish.backends.batching import micro_batch
from burnish.backends.device import Runtime, is_first, processes
from burnish.backends.limits import pass_tokens
from burnish.backends.load import base_of, beneath_adapter
from burnish.backends.passes import Limit, Pass, plan_passes
from burnish.backends.placing import HOST, Placement, place_of
from burnish.backends.reporting import Reports
from burnish.config import DType, Optimizer, TrainSettings
from burnish.errors import BackendError
from burnish.models.card import ModelCard
from burnish.models.location import BUILTIN

A = TypeVar("A", bound=TrainingArguments)
OPTIMIZERS = {Optimizer.ADAMW: "adamw_torch", Optimizer.ADAFACTOR: "adafactor", Optimizer.RMSPROP: "rmsprop"}
LOGGED = 100
"""About how often a trainer logs during a training whose metrics are sent."""
FSDP2: dict[str, Any] = {
    "fsdp": True,
    # Each layer is brought together when it is needed, and the finished weights are saved as a whole.
    "fsdp_config": {"version": 2, "reshard_after_forward": True, "state_dict_type": "FULL_STATE_DICT"},
}
"""The arguments with which a trainer splits a model over processes."""
WHOLE_MODEL = {DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU}
"""The ways of training in which each process has the whole model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The settings of one training, and what follows from them for the trainers."""

    settings: TrainSettings
    seed: int
    runtime: Runtime
    card: ModelCard

    def drawn(self, scratch: Path, rows: int, longest: int) -> dict[str, Any]:
        """Return the arguments for a trainer that draws rows itself. `longest` is the most tokens of a row.

        Raises BackendError if several processes train together and cannot share the steps evenly.
        """
        size, several = self.settings.batch_size, processes()
        # With fewer rows in a step than there are places, the processes would train on some rows twice.
        if several > 1 and (size % several or rows % size):
            raise BackendError(
                f"train.batch_size: {size} found, with {several} processes and {rows} rows; for this kind of model "
                f"the batch size must be a multiple of {several}, and the rows a multiple of the batch size, or the "
                "processes would not train as one does; start one process, or change the batch size"
            )
        micro = self.micro_batch(size // several, longest)
        return self._common(scratch, self.steps(rows)) | {
            "per_device_train_batch_size": micro,
            # The division leaves no remainder, because `micro_batch` returns a divisor.
            "gradient_accumulation_steps": size // several // micro,
            "num_train_epochs": self.settings.epochs,
        }

    def planned(self, scratch: Path, lengths: Sequence[int]) -> tuple[dict[str, Any], list[list[Pass]]]:
        """Return the arguments for a trainer that takes planned passes, and the passes of each step.

        `lengths` has the number of tokens of each row, or of both rows of a pair together. The trainer sees one epoch
        with all passes of the training.
        """
        rows = len(lengths)
        several = processes()
        steps = plan_passes(lengths, self.steps(rows), self.settings.batch_size, self.seed, self.limit, several)
        return self._common(scratch, self.steps(rows)) | {
            "per_device_train_batch_size": 1,
            # The passes of a step are dealt out to the processes in turn.
            "gradient_accumulation_steps": len(steps[0]) // several,
            "num_train_epochs": 1,
            "train_sampling_strategy": "sequential",
        }, steps

    @property
    def place(self) -> Placement:
        """Where the model goes that is trained."""
        # With shards each process reads the whole model, and the trainer splits it.
        return HOST if self.sharded else place_of(self.runtime.device, self.runtime.execution)

    def start(self, dtype: torch.dtype, labels: int | None, adapter: bool) -> Any:
        """Return the model to which an adapter is added, or whose weights are all trained.

        Raises as `load_base` does.
        """
        resident = self.runtime.resident
        # A trainer that splits a model over processes does not give it back as it was.
        if adapter and self.card.base.attached and not labels and not self.sharded:
            return base_of(self.card, dtype, self.place, resident)
        resident.drop()
        return beneath_adapter(self.card.base, dtype, labels, self.place)

    @property
    def sharded(self) -> bool:
        """Whether the trainer splits the model over the processes."""
        return self.runtime.execution.split_training != "none"

    @property
    def limit(self) -> Limit:
        """What fits into a planned pass."""
        wanted = self.runtime.execution.micro_batch
        return Limit(tokens=self.pass_tokens) if wanted == "auto" else Limit(rows=wanted)

    def sampled(self, scratch: Path, updates: int, longest: int) -> dict[str, Any]:
        """Return the arguments for a trainer that samples its rows itself. `updates` is the number of optimiser steps
        of the training, and `longest` is the most tokens of a row.

        Raises BackendError if several processes train together.
        """
        # Each process would ask for rewards of its own part of a step, and the part has no KL of the whole step.
        if processes() > 1:
            raise BackendError(f"WORLD_SIZE: {processes()} found; train policies with RL in one process")
        micro = self.micro_batch(self.settings.batch_size, longest)
        return self._common(scratch, updates) | {
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": self.settings.batch_size // micro,
            "max_steps": updates,
        }

    def _common(self, scratch: Path, steps: int) -> dict[str, Any]:
        settings, device = self.settings, self.runtime.device.type
        return {
            "output_dir": str(scratch),
            "learning_rate": settings.learning_rate,
            # The schedule `constant` of transformers has no warm-up.
            "lr_scheduler_type": "constant_with_warmup" if settings.warms_up_to_constant else str(settings.schedule),
            # The first step of a warm-up has a learning rate of 0, so a training of a single step would do nothing.
            "warmup_steps": min(math.ceil(settings.warmup * steps), steps - 1),
            "optim": OPTIMIZERS[settings.optimizer],
            "weight_decay": 0.0,
            # bfloat16 arithmetic through autocast. It is set here because TRL's own default is true, even for a model
            # in float32.
            "bf16": self.card.base.dtype is DType.BFLOAT16,
            "fp16": False,
            "use_cpu": device == "cpu",
            # It is set here because TRL's default is true, which makes training about a fifth slower.
            "activation_checkpointing": settings.gradient_checkpointing,
            "seed": self.seed,
            "data_seed": self.seed,
            # Checkpoints are saved by `_SaveAt`. They only give answers, and no training is resumed from them. So the
            # optimiser's state, which is twice the size of the weights, is left out.
            "save_strategy": "no",
            "save_only_model": True,
            # Logging changes no weight. Each line of the log is sent to who gets the metrics.
            "logging_strategy": "no" if self.runtime.tracking is None else "steps",
            "logging_steps": max(1, steps // LOGGED),
            # By default, transformers leaves NaN and infinite losses out of the mean that it reports. Then `run` could
            # not see that the training failed.
            "logging_nan_inf_filter": False,
            "eval_strategy": "no",
            "report_to": [],  # `Reports` does it
            "disable_tqdm": True,
            # The default drops every column that the model's `forward` does not name. Our collators need such columns:
            # `ids` for both orders of a comparison, `row` for the number of a pair.
            "remove_unused_columns": False,
            "dataloader_num_workers": 0,
            "dataloader_pin_memory": device == "cuda",
        } | (FSDP2 if self.sharded else {})

    def micro_batch(self, batch_size: int, longest: int) -> int:
        """Return how many of `batch_size` rows go through the model in one pass. `longest` is as in `drawn`."""
        wanted = self.runtime.execution.micro_batch
        if wanted != "auto":
            return micro_batch(batch_size, 1, wanted)
        return micro_batch(batch_size, longest, self.pass_tokens)

    @property
    def pass_tokens(self) -> int:
        """The most padded tokens that go through the model in one pass."""
        return pass_tokens(self.card.base.source.startswith(BUILTIN), self.runtime.device.type)

    def steps(self, rows: int) -> int:
        """Return the number of the optimiser's steps over all epochs."""
        # This counts as transformers' Trainer does: the last batch of an epoch may be smaller than the others.
        return max(1, math.ceil(math.ceil(rows / self.settings.batch_size) * self.settings.epochs))

    def save_steps(self, rows: int, checkpoints: int) -> frozenset[int]:
        """Return the evenly spaced steps after which a checkpoint is saved.

        Raises BackendError if the training has fewer steps than checkpoints.
        """
        steps = self.steps(rows)
        # With fewer steps than checkpoints, two of them would be the same model.
        if steps < checkpoints:
            raise BackendError(
                f"supervision.annotator.checkpoints: {checkpoints} found, but the weak model trains for {steps} steps; "
                "ask for fewer, or use more rows or epochs"
            )
        return frozenset(max(1, round(steps * number / checkpoints)) for number in range(1, checkpoints + 1))

    def callbacks(self, rows: int, steps: int | None = None) -> list[TrainerCallback]:
        """Start the progress bar, and return callbacks for the trainer: what moves the bar, and what sends metrics.

        `steps` is the number of optimiser steps, if it is not that of some epochs of the rows.
        """
        if not is_first():
            return []
        self.runtime.progress.start("training", self.steps(rows) if steps is None else steps)
        bar, tracking = _Bar(self.runtime.progress.advance), self.runtime.tracking
        if tracking is None:
            return [bar]
        shown = {"rows": rows, "seed": self.seed, **_flat(self.settings.model_dump(mode="json"))}
        return [bar, Reports(tracking, tracking.speaker.label or "training", shown)]


def on_one_device(arguments: A) -> A:
    """Return the trainer's arguments, changed so that a process uses one GPU however many it can see.

    Raises BackendError if the trainer would use another number of processes than was planned with.
    """
    # By default, the trainer multiplies the batch by the number of GPUs that it can see (torch's DataParallel), so that
    # it takes fewer steps than the settings say. transformers has no public switch for this except hiding the GPUs.
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    if arguments.world_size != processes():
        raise BackendError(
            f"{arguments.world_size} processes train together, but WORLD_SIZE says {processes()}; start them with "
            "torchrun, or start one process"
        )
    return arguments


def run(trainer: Any, settings: TrainSettings) -> None:
    """Train without output.

    Raises BackendError if the model would be split over processes although nobody asked for it, or not split although
    `execution.split_training` asks for it, or if the loss or a weight is infinite or NaN at the end.
    """
    _check_split(trainer)
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for data
    try:
        with _few_collections():
            trainer.train()
    finally:
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, Reports):
                callback.close()
    loss = trainer.state.log_history[-1].get("train_loss", 0.0)
    if not math.isfinite(loss):
        raise BackendError(f"learning_rate: {settings.learning_rate} made the loss {loss}; lower it")
    # The loss of a step is computed from the weights before that step. So no loss shows what the last step did.
    for name, weights in trainer.model.named_parameters():
        # Of weights that are split, each process looks at its part.
        own: Any = weights.to_local() if isinstance(weights, DTensor) else weights
        if weights.requires_grad and not bool(own.isfinite().all()):
            raise BackendError(
                f"learning_rate: {settings.learning_rate} made weights of {name} infinite or no number (NaN); lower it"
            )


def _check_split(trainer: Any) -> None:
    """Raise BackendError if a trainer splits the model and should not, or should and does not."""
    kind, wanted = trainer.accelerator.distributed_type, bool(trainer.args.fsdp)
    if wanted and kind is not DistributedType.FSDP:
        # accelerate passes over FSDP without a word where it does not know how.
        raise BackendError(
            f"execution.split_training: fsdp2 found, but accelerate trains with {kind.value} and would keep the whole "
            "model in each process; use CUDA GPUs and start the processes with torchrun, or leave it out"
        )
    if not wanted and kind not in WHOLE_MODEL:
        raise BackendError(
            f"{kind.value}: this way of training splits a model over processes, and execution.split_training does not "
            "ask for it; set it to fsdp2, start the processes with torchrun, or start one process"
        )


def whole_weights(trainer: Any) -> dict[str, Any]:
    """Return the argument for `save_pretrained` that has the trained weights as a whole, if each process has a part.

    All processes must call it. The first one gets the weights. A frozen base is not brought together.
    """
    if trainer.accelerator.distributed_type is not DistributedType.FSDP:
        return {}
    whole: dict[str, torch.Tensor] = {}
    for name, weights in trainer.model.named_parameters():
        if weights.requires_grad:
            together: torch.Tensor = weights.full_tensor() if isinstance(weights, DTensor) else weights
            if is_first():
                whole[name] = together.detach().cpu().clone()
    return {"state_dict": whole}


@contextmanager
def _few_collections() -> Generator[None, None, None]:
    """Spare Python's garbage collector the objects that are already there.

    The libraries leave several 100,000 objects, and each full collection looks at all of them. That took longer than a
    short training of a small model.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without nesting and without nulls, as all programs that show metrics take them."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        elif value is not None:
            flat[name] = value
    return flat


class _Bar(TrainerCallback):
    """Moves the progress bar at every step."""

    def __init__(self, advance: Any) -> None:
        self.advance = advance

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Move the bar by one step."""
        self.advance(1)
        return control
