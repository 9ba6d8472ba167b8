"""Tells the programs of `execution.report_to` how a training goes."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from transformers import TrainerCallback

from burnish.backends.tracking import TrackedRun, Tracking


class Reports(TrainerCallback):
    """Sends what a trainer logs, with the optimiser's step as the step. `settings` are shown beside the run."""

    def __init__(self, tracking: Tracking, name: str, settings: Mapping[str, Any]) -> None:
        self.tracking, self.name, self.settings = tracking, name, settings
        self.run: TrackedRun | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the run."""
        self.run = TrackedRun(self.tracking, self.name, self.settings)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Send all numbers of a line of the trainer's log."""
        if self.run is not None:
            numbers = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, Real)}
            self.run.log(numbers, state.global_step)

    def close(self) -> None:
        """End the run, also after a training that failed."""
        if self.run is not None:
            self.run.finish()
            self.run = None
