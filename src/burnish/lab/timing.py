"""How long the stages of a run took, and on what: the contents of `timings.json`."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from burnish.backends.machine import peak_memory, threads_of, versions
from burnish.config import Config
from burnish.results import Machine, StageTiming, Timings
from burnish.store.runners import StageRecord


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
