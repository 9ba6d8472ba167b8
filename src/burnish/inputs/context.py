"""Everything that a run works with. It is made in one place for experiments, refinements and self-tests."""

from __future__ import annotations

import dataclasses
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
from burnish.protocols import Backend, Generator, Trainer
from burnish.report.terminal import Terminal
from burnish.services.calls import CALLS, CallBudget, Calls
from burnish.steps.basic import Steps
from burnish.steps.engines import Engines
from burnish.store.course import Course
from burnish.store.runners import Executor
from burnish.store.stages import Store
from burnish.types import Artifact


# Without slots, unlike most dataclasses here: `cached_property` keeps its value in the instance's `__dict__`.
@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The store, the models, the backend and the terminal of a run, and its budget for calls to servers.

    `student` is the model that is finetuned, or None. It decides the number of threads and the number formats. `run` is
    the name of the run in the ledger of calls, and `project` is the name under which its metrics are sent. `folder` is
    where people find the pairs that they have to judge. `own_backend`, if given, opens a backend that replaces the
    usual one. `own_generator`, if given, generates in the backend's place. With `together`, the pairs of several stages
    wait for people at the same time.
    """

    store: Store
    models: FoundModels
    student: ModelConfig | None
    execution: Execution
    run: str
    folder: Path
    budget: CallBudget
    terminal: Terminal
    project: str = "burnish"
    own_backend: Callable[[], Backend] | None = None
    own_generator: Generator | None = None
    # An experiment has several methods, whose pairs wait for people at the same time.
    together: bool = False

    @functools.cached_property
    def engines(self) -> Engines:
        """What trains, generates and scores. The backend is opened when a stage first needs it."""
        # A run whose stages are all finished never opens the backend, so that it loads no model library.
        backend = self.own_backend or opener_of(
            self.execution, self.student, self.terminal, self.models.sources, self.project
        )
        engines = Engines.of(backend, self.own_generator)
        for host in self.models.hosts:
            host.progress = self.terminal
        return (
            dataclasses.replace(engines, trainer=lambda: self._alone(engines.trainer)) if self.models.hosts else engines
        )

    def _alone(self, trainer: Callable[[], Trainer]) -> Trainer:
        """Return what trains, after the servers that burnish started have left the memory to it."""
        self.models.rest()
        return trainer()

    @functools.cached_property
    def calls(self) -> Callable[[], Calls]:
        """A function that opens the cache of calls to servers. It is called when the cache is first needed."""
        # functools.cache: one connection to the file for the whole run.
        return functools.cache(lambda: Calls(self.store.root / CALLS, self.store.tally))

    def executor(self, finished_before: AbstractSet[str] | None = None, course: Course | None = None) -> Executor:
        """Return the runner that computes stages. `finished_before` has the fingerprints of the stages that were
        finished when the run began, and `course` has the stages of the plan."""
        return Executor(self.store, self.terminal, provenance(self.execution, self.student), finished_before, course)

    def model(self, steps: Steps, field: str) -> Artifact:
        """Return the model that a field of the config names, as an artifact."""
        return self.models[field].artifact(steps)

    def resources(
        self,
        steps: Steps,
        field: str,
        purpose: Purpose = Purpose.COMPARE,
        ground_truth: GroundTruth | None = None,
    ) -> Resources:
        """Return everything that is needed to build the annotator whose settings are in the config field `field`."""
        return Resources(
            steps=steps,
            field=field,
            model=lambda named: self.model(steps, named),  # a function: most annotators need no model
            mailbox=Mailbox(self.folder, together=self.together),
            calls=self.calls,
            run=self.run,
            budget=self.budget,
            # The terminal's own `say`, because text written past it would break its progress bars.
            say=self.terminal.say,
            purpose=purpose,
            ground_truth=ground_truth,
        )
