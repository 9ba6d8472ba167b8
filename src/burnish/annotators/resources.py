"""Everything from which annotators are built, both in a refinement and in an experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from burnish.config import Decoding, TrainSettings
from burnish.people.mailbox import Mailbox, Purpose
from burnish.protocols import Scorer
from burnish.services.calls import CallBudget, Calls
from burnish.steps.artifacts import Rows
from burnish.steps.basic import Steps
from burnish.types import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """What an annotator of an experiment can learn from (appendix B).

    `rows` is half G, `gold` has its gold answers, `weak` is the weak base model (None if no annotator is made from
    ground truth), and `train` says how p~ is trained. `judged` is half U, whose rows are compared, and `decode` says
    how the experiment's models answer.
    """

    rows: Rows
    gold: Artifact
    weak: Artifact | None
    train: TrainSettings
    judged: Rows
    decode: Decoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Everything from which an annotator is built.

    `field` is the config field that holds its settings. `model` returns the model that a field names. `calls` opens the
    cache of calls to servers. `run` is the name under which the run's calls are counted against `budget`.
    `ground_truth` is None in a refinement, which has none.
    """

    steps: Steps
    field: str
    model: Callable[[str], Artifact]
    mailbox: Mailbox
    # It is a function and not the cache itself, so that a dry run can plan an annotator without opening the cache.
    calls: Callable[[], Calls]
    run: str
    budget: CallBudget
    say: Callable[[str], None]
    purpose: Purpose = Purpose.COMPARE
    ground_truth: GroundTruth | None = None

    @property
    def scorer(self) -> Callable[[], Scorer]:
        """A function that opens the scorer of answers when it is first needed."""
        return self.steps.engines.scorer

    @property
    def simulated(self) -> bool:
        """Whether this is an experiment, which has ground truth."""
        return self.ground_truth is not None
