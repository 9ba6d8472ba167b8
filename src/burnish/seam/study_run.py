"""Runs an experiment on SEAM of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from burnish.seam.arm_results import ArmResult, ArmResults
from burnish.seam.experiments_page import REPORT_FILE, AnyResults, part_of, render
from burnish.seam.study import run_mismatch
from burnish.seam.study_arms import saturation, selection
from burnish.seam.study_augmentation import augmentation
from burnish.seam.study_claims import JudgedClaim, SeamClaim, judged
from burnish.seam.study_results import RESULTS_FILE
from burnish.store.files import pretty, write_atomic

_Arms: TypeAlias = Callable[[Any, Path, Path, Callable[[], Backend] | None], Iterator[ArmResult]]
_ARMS: dict[type[TrainingStudy], _Arms] = {
    SaturationStudy: saturation,
    SelectionStudy: selection,
    AugmentationStudy: augmentation,
}


def run_study(
    study: SeamStudy,
    store: Path,
    out: Path,
    own_backend: Callable[[], Backend] | None = None,
    claims: Sequence[SeamClaim] = (),
) -> AnyResults:
    """Compute an experiment, and write `results.json` and a page into the folder `out`.

    The page shows the verdicts on the `claims` about this experiment. Finished work is kept in the store, so that the
    same call continues after a kill. Raises ConfigError for a setting that cannot be used or a kind that has no code,
    DataError if there are too few rows or pairs, and BackendError if a library is missing.
    """
    results = _computed(study, store, out, own_backend)
    write_atomic(out / RESULTS_FILE, pretty(results.model_dump(mode="json")))
    page = render(study.name, [part_of(results, out, verdicts_on(results, claims))])
    write_atomic(out / REPORT_FILE, page.encode("utf-8", errors="backslashreplace"))
    return results


def verdicts_on(results: AnyResults, claims: Iterable[SeamClaim]) -> list[JudgedClaim]:
    """Return the verdicts on those claims that are about an experiment."""
    return [judged(claim, results) for claim in claims if claim.experiment == results.name]


def _computed(study: SeamStudy, store: Path, out: Path, own_backend: Callable[[], Backend] | None) -> AnyResults:
    if isinstance(study, MismatchStudy):
        return run_mismatch(study, store, out, own_backend)
    found = next((run for kind, run in _ARMS.items() if isinstance(study, kind)), None)
    if found is None:
        raise ConfigError(f"kind: {study.kind!r} found, but nothing computes such an experiment")
    return ArmResults(name=study.name, arms=list(found(study, store, out, own_backend)))
