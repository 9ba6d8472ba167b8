"""What a run works with, made in one place for experiments, refinements and self-tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from burnish.annotators import GroundTruth, Resources
from burnish.backends.machine import opener_of, provenance
from burnish.config import Execution, ModelConfig
from burnish.inputs.models import FoundModels
from burnish.people.mailbox import Mailbox, Purpose
from burnish.protocols import Backend
from burnish.report.terminal import Terminal
from burnish.services.calls import CALLS, Budget, Calls
from burnish.steps.basic import Steps
from burnish.store.runners import Executor
from burnish.store.stages import Store
from burnish.types import Artifact


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The store, the models, the backend and the terminal of a run, and what its calls to servers may cost.

    `student` is the model that is finetuned; threads and number formats follow from it. `run` is the name under which
    the ledger of calls knows the run, and `folder` is where people find what waits for them. `own_backend` opens a
    caller's backend in place of the usual one.
    """

    store: Store
    models: FoundModels
    student: ModelConfig
    execution: Execution
    run: str
    folder: Path
    budget: Budget
    terminal: Terminal
    own_backend: Callable[[], Backend] | None = None

    @functools.cached_property
    def backend(self) -> Callable[[], Backend]:
        """Opens the backend when a stage first needs it."""
        return self.own_backend or opener_of(self.execution, self.student, self.terminal, self.models.sources)

    @functools.cached_property
    def calls(self) -> Callable[[], Calls]:
        """Opens the cache of what servers answered, when it is first needed."""
        return functools.cache(lambda: Calls(self.store.root / CALLS))

    def executor(self, finished_before: AbstractSet[str] | None = None) -> Executor:
        """Return what computes stages; `finished_before`: the stages that were finished when the run began."""
        return Executor(self.store, self.terminal, provenance(self.execution, self.student), finished_before)

    def model(self, steps: Steps, field: str) -> Artifact:
        """Return the model that a field of the config names."""
        return self.models[field].artifact(steps)

    def resources(
        self,
        steps: Steps,
        field: str,
        purpose: Purpose = Purpose.COMPARE,
        ground_truth: GroundTruth | None = None,
    ) -> Resources:
        """Return what the annotator whose settings stand in `field` is built from."""
        return Resources(
            steps=steps,
            field=field,
            model=lambda named: self.model(steps, named),
            mailbox=Mailbox(self.folder),
            calls=self.calls,
            run=self.run,
            budget=self.budget,
            say=self.terminal.say,
            purpose=purpose,
            ground_truth=ground_truth,
        )
