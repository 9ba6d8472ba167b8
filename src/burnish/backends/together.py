"""The backend on transformers whose trainings are shared by several processes, as `execution.needs` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from burnish.algorithms.rewards import RewardTrained
from burnish.backends import Progress
from burnish.backends.hf import HfBackend
from burnish.backends.launching import SharedTraining, Way, launch
from burnish.backends.tracking import Tracking
from burnish.config import Execution, ModelConfig, Objective, TrainSettings
from burnish.config.executors import needs_of
from burnish.errors import BackendError
from burnish.protocols import Trained
from burnish.types import Artifact, PairRow, PreferenceRow, TrainingRow


class TrainsTogether(HfBackend):
    """Answers and scores in this process, and lets torchrun start the processes of a training.

    A training that is to have one process has this one, and is not split.
    """

    def __init__(
        self,
        execution: Execution,
        progress: Progress,
        sources: Mapping[str, ModelConfig],
        tracking: Tracking | None = None,
    ) -> None:
        super().__init__(execution.model_copy(update={"split_training": "none"}), progress, sources, tracking)
        if self.device.type == "mps":
            raise BackendError(
                "execution.needs: a training has several processes, and the device is mps, which is one GPU; leave "
                "processes out, or set execution.device: cpu"
            )
        self.shared = execution

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        checkpoints: int = 0,
    ) -> int:
        """Finetune on rendered rows, and return the tokens of all epochs."""
        if self._several("train"):
            return self._launched("train", model, rows, settings, seed, into, checkpoints=checkpoints)
        return super().train(model, rows, settings, seed, into, checkpoints)

    def train_classifier(
        self, model: Artifact, rows: Sequence[tuple[PairRow, PairRow]], settings: TrainSettings, seed: int, into: Path
    ) -> int:
        """Train a two-way head, and return the tokens of all epochs."""
        if self._several("train_classifier"):
            return self._launched("train_classifier", model, rows, settings, seed, into)
        return super().train_classifier(model, rows, settings, seed, into)

    def train_rewards(
        self,
        model: Artifact,
        rows: Sequence[PreferenceRow],
        settings: TrainSettings,
        centring: float,
        seed: int,
        into: Path,
    ) -> RewardTrained:
        """Train a reward model."""
        if self._several("train_rewards"):
            return self._launched("train_rewards", model, rows, settings, seed, into, centring=centring)
        return super().train_rewards(model, rows, settings, centring, seed, into)

    def train_preferences(
        self,
        policy: Artifact,
        rows: Sequence[PreferenceRow],
        settings: TrainSettings,
        objective: Objective,
        seed: int,
        into: Path,
    ) -> Trained:
        """Train a policy on preferences."""
        if self._several("train_preferences"):
            return self._launched("train_preferences", policy, rows, settings, seed, into, objective=objective)
        return super().train_preferences(policy, rows, settings, objective, seed, into)

    def _several(self, way: Way) -> int:
        """Return how many processes share a training, or 0 if it is one alone."""
        several = needs_of(self.shared.needs, way).processes
        return several if several > 1 else 0

    def _launched(
        self,
        way: Way,
        model: Artifact,
        rows: Iterable[Any],
        settings: TrainSettings,
        seed: int,
        into: Path,
        **more: int | float | Objective,
    ) -> Any:
        several, tracking = self._several(way), self.runtime.tracking
        # The processes need the memory, also that of this process's GPU.
        self._loaded.clear()
        self.runtime.resident.drop()
        torch.cuda.empty_cache()  # does nothing without a GPU
        if self.device.type == "cuda" and torch.cuda.device_count() < several:
            raise BackendError(
                f"execution.needs: {several} processes are to share a training ({way}), each with a GPU of its own, "
                f"and this process can use {torch.cuda.device_count()}; lower processes, or give the stage more GPUs"
            )
        execution = self.shared.model_copy(update={"device": self.device.type})
        if execution.threads != "auto":
            execution = execution.model_copy(update={"threads": max(1, execution.threads // several)})
        job = SharedTraining(
            way=way,
            model=model,
            settings=settings,
            seed=seed,
            into=str(into),
            execution=execution,
            sources=dict(self.runtime.sources),
            more=more,
            project="" if tracking is None else tracking.project,
            label="" if tracking is None else tracking.speaker.label,
        )
        return launch(job, rows, several, self.runtime.progress, None if tracking is None else tracking.speaker)
