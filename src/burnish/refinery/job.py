"""A refinement as stages: data, self-test, rounds of a method, audits. Run, or only planned."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from burnish import config as settings
from burnish.annotators.build import Given, Means, given, program
from burnish.annotators.program import CheckerAnnotator
from burnish.inputs.distances import differing_of
from burnish.inputs.models import base_of, judge_field
from burnish.methods import Round, Setting, run_method
from burnish.people.mailbox import Mailbox, Purpose
from burnish.protocols import Annotator, Backend
from burnish.refinery.dataset import given_rows
from burnish.refinery.inputs import STUDENT, Found
from burnish.report.terminal import Terminal
from burnish.services.calls import CALLS, Budget, Calls
from burnish.steps.artifacts import Rows, Split
from burnish.steps.basic import Steps
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.setting import Audit
from burnish.store.runners import Runner
from burnish.tasks.own import grader_of
from burnish.types import Artifact, short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a refinement happens: its folder, what calls may cost, who is told, and who runs models.

    `annotator` is a user's own in place of a configured one.
    """

    out: Path
    budget: Budget
    terminal: Terminal
    backend: Callable[[], Backend]
    annotator: Given | None = None

    @property
    def run(self) -> str:
        """What the ledger of calls knows the folder by."""
        return short_hash("run", str(self.out.resolve()))


class Job:
    """One refinement over one runner. Nothing is computed before `rounds`."""

    def __init__(self, found: Found, around: Surroundings, runner: Runner) -> None:
        self.found, self.around, self.runner, self.config = found, around, runner, found.config
        kind, task = grader_of(self.config.differs)
        self.steps = Steps(runner, around.backend, task, kind, self.config.seed)
        self.steps.label = self.config.name
        self.calls = functools.cache(lambda: Calls(runner.store.root / CALLS))

    @functools.cached_property
    def data(self) -> Artifact:
        """The dataset's rows; run when first asked for."""
        return given_rows(self.steps, self.found.table, self.config.data, self.found.source)

    @functools.cached_property
    def base(self) -> Artifact:
        """The model that is finetuned."""
        return self._base(STUDENT)

    @functools.cached_property
    def annotator(self) -> Given | None:
        """Who compares, None where the method asks nobody."""
        if self.around.annotator is not None:
            return self.around.annotator
        return given(self.config.annotator, self.means) if self.config.annotator is not None else None

    @functools.cached_property
    def means(self) -> Means:
        """What annotators are made with."""
        return Means(
            backend=self.around.backend,
            base=lambda model, _: self._base(judge_field(model)),
            task=self.steps.task,
            task_kind=self.steps.task_kind,
            mailbox=Mailbox(self.around.out),
            seed=self.config.seed,
            calls=self.calls,
            run=self.around.run,
            budget=self.around.budget,
            say=self.around.terminal.say,
        )

    def _base(self, field: str) -> Artifact:
        return base_of(self.steps, self.found.models[field])

    @property
    def rows(self) -> Rows:
        """All usable rows."""
        return Rows(self.data, Split.TRAIN)

    def rounds(self) -> list[Round]:
        """Run or plan the method; the first round is 0, before any refinement."""
        return run_method(self.config.method, self.setting())

    def setting(self) -> Setting:
        """Return what the method is given."""
        config = self.config
        limit = settings.Budget(kind="equal", comparisons=config.comparisons) if config.comparisons else None
        return Setting(
            steps=self.steps,
            rows=self.rows,
            demonstrations=self.data,
            gold=None,
            annotator=self.annotator.plan if self.annotator else nobody(),
            base=self.base,
            train=config.train,
            decode=config.decode,
            budget=limit or settings.Budget(),
            differing=differing_of(config.differs, self.found.embedder, config.execution, self.around.terminal),
            checker=self._checker(),
            audit=self._audit(),
            models="last",
        )

    def _checker(self) -> AnnotatorPlan | None:
        method = self.config.method
        if method.kind != "verified":
            return None
        described, inputs = program(method.checker)
        return AnnotatorPlan(
            kind="checker",
            config={**described, "kind": "checker"},
            inputs=inputs,
            make=lambda rows: CheckerAnnotator(method.checker, rows.prompts_only(), "method.checker"),
        )

    def _audit(self) -> Audit | None:
        audit = self.config.audit
        if audit is None:
            return None
        auditor = given(audit.by, self.means, Purpose.AUDIT, "audit.by")
        return Audit(size=audit.size, rounds=self.config.method.rounds, max_harm=audit.max_harm, auditor=auditor.plan)


def nobody() -> AnnotatorPlan:
    """Return the annotator of a method that asks none."""

    def make(rows: Rows) -> Annotator:
        raise AssertionError("this method asks no annotator")

    return AnnotatorPlan(kind="none", config={"kind": "none"}, inputs={}, make=make)
