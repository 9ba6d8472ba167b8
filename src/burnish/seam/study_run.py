"""Runs an experiment on SEAM of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from burnish.config.seam_study import (
    AugmentationStudy,
    MismatchStudy,
    SaturationStudy,
    SeamStudy,
    SelectionStudy,
    TrainingStudy,
)
from burnish.errors import ConfigError
from burnish.protocols import Backend
from burnish.seam.arm_page import render
from burnish.seam.arm_results import ArmResult, ArmResults
from burnish.seam.study import run_mismatch
from burnish.seam.study_arms import saturation, selection
from burnish.seam.study_augmentation import augmentation
from burnish.seam.study_page import REPORT_FILE
from burnish.seam.study_results import RESULTS_FILE, StudyResults
from burnish.store.files import pretty, write_atomic

AnyResults: TypeAlias = StudyResults | ArmResults
"""The results of an experiment on SEAM."""
_Arms: TypeAlias = Callable[[Any, Path, Path, Callable[[], Backend] | None], Iterator[ArmResult]]
_ARMS: dict[type[TrainingStudy], _Arms] = {
    SaturationStudy: saturation,
    SelectionStudy: selection,
    AugmentationStudy: augmentation,
}


def run_study(study: SeamStudy, store: Path, out: Path, own_backend: Callable[[], Backend] | None = None) -> AnyResults:
    """Compute an experiment, and write `results.json` and a page into the folder `out`.

    Finished work is kept in the store, so that the same call continues after a kill. Raises ConfigError for a setting
    that cannot be used or a kind that has no code, DataError if there are too few rows or pairs, and BackendError if a
    library is missing.
    """
    if isinstance(study, MismatchStudy):
        return run_mismatch(study, store, out, own_backend)
    found = next((run for kind, run in _ARMS.items() if isinstance(study, kind)), None)
    if found is None:
        raise ConfigError(f"kind: {study.kind!r} found, but nothing computes such an experiment")
    results = ArmResults(name=study.name, arms=list(found(study, store, out, own_backend)))
    write_atomic(out / RESULTS_FILE, pretty(results.model_dump(mode="json")))
    write_atomic(out / REPORT_FILE, render(results).encode("utf-8", errors="backslashreplace"))
    return results
