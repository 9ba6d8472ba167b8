"""What annotators are built from, in a refinement as in an experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from burnish.config import TrainSettings
from burnish.people.mailbox import Mailbox, Purpose
from burnish.protocols import Scorer
from burnish.services.calls import Budget, Calls
from burnish.steps.artifacts import Rows
from burnish.steps.basic import Steps
from burnish.types import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """What an experiment lets annotators learn from (appendix B): half G with its gold answers, the weak base model,
    and how p~ is trained."""

    rows: Rows
    gold: Artifact
    weak: Artifact
    train: TrainSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What an annotator is built from.

    `field` is where the config holds its settings; `model` returns the model that a field names. `calls` opens the
    cache of what servers answered; `run` is the name under which the run's calls are counted against `budget`.
    `ground_truth` is None in a refinement, where nothing is simulated.
    """

    steps: Steps
    field: str
    model: Callable[[str], Artifact]
    mailbox: Mailbox
    calls: Callable[[], Calls]
    run: str
    budget: Budget
    say: Callable[[str], None]
    purpose: Purpose = Purpose.COMPARE
    ground_truth: GroundTruth | None = None

    @property
    def scorer(self) -> Callable[[], Scorer]:
        """Opens what scores answers, when it is first needed: the run's backend, of which annotators see no more."""
        return self.steps.backend

    @property
    def simulated(self) -> bool:
        """Whether this is an experiment, which has ground truth."""
        return self.ground_truth is not None
