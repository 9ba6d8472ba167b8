"""What a run left in the store: the contents of `timings.json` and `models.json`."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from burnish.backends.machine import peak_memory, threads_of, versions
from burnish.config import Config
from burnish.results import Machine, StageTiming, Timings, TrainedModel, TrainedModels
from burnish.store.runners import StageRecord
from burnish.store.stages import Store

TRAINS = "train"
"""The first word of the name of each stage whose result is a trained model."""


def timings_of(config: Config, records: Sequence[StageRecord], seconds: float) -> Timings:
    """Return how long each stage took, on which machine, and with which versions of the libraries."""
    return Timings(
        total_seconds=round(seconds, 3),
        peak_memory_bytes=peak_memory(),
        machine=Machine(
            platform=platform.platform(),
            cpu_count=os.cpu_count(),
            device=config.execution.device,
            threads=threads_of(config.execution, config.models.strong),
        ),
        versions=versions(),
        stages=tuple(_stage_timing(record) for record in records),
    )


def _stage_timing(record: StageRecord) -> StageTiming:
    return StageTiming(
        name=record.stage.name,
        label=record.stage.label,
        fingerprint=record.fingerprint,
        reused=record.reused,
        seconds=record.seconds,
        rows=record.counts.get("rows", 0),
        tokens=record.counts.get("tokens", 0),
        comparisons=record.counts.get("comparisons", 0),
    )


def trained_models(records: Sequence[StageRecord], store: Store) -> TrainedModels:
    """Return where the models lie that the stages of a run trained."""
    trained = (one for one in records if one.stage.name.partition("_")[0] == TRAINS)
    return TrainedModels(
        models=tuple(
            TrainedModel(
                label=one.stage.label,
                stage=one.stage.name,
                fingerprint=one.fingerprint,
                folder=str(store.place(one.stage.name, one.fingerprint).resolve()),
            )
            for one in trained
        )
    )
