"""One experiment of a run, and its plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from burnish.config import Config
from burnish.lab.experiment import Experiment
from burnish.lab.inputs import ExperimentInputs
from burnish.protocols import Backend
from burnish.store.course import PlannedStage
from burnish.store.runners import Planner, StageRecord
from burnish.store.stages import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedExperiment:
    """An experiment whose inputs are found, with all stages that may run. `open_end` means that stages of the run
    decide which of them do. `sent` says what goes to servers that are not on this machine."""

    config: Config
    inputs: ExperimentInputs
    out: Path
    stages: list[PlannedStage]
    open_end: bool
    sent: tuple[str, ...]

    @property
    def finished_before(self) -> frozenset[str]:
        """The stages that the store had before this run."""
        return frozenset(stage.fingerprint for stage in self.stages if stage.reused)


def planned(config: Config, inputs: ExperimentInputs, store: Store) -> list[StageRecord]:
    """Return all stages of an experiment that may run, in order, without running any of them."""
    return planner_of(config, inputs, store).records


def planner_of(
    config: Config, inputs: ExperimentInputs, store: Store, longest: bool = True, whole: bool = False
) -> Planner:
    """Plan an experiment. `longest` is that of `Planner`. With `whole`, no stage is cut into parts."""
    planner = Planner(store, longest, 1 if whole else config.execution.parts)

    # A plan that loaded a model would be a fault of burnish, so this raises AssertionError.
    def no_backend() -> Backend:
        raise AssertionError("a plan runs nothing")

    Experiment(config=config, inputs=inputs, runner=planner, backend=no_backend).run(config.seeds)
    return planner
