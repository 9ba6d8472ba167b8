"""A refinement as stages: data, self-test, the rounds of a method, audits. The stages are run, or only planned."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from burnish import config as settings
from burnish.annotators import build
from burnish.annotators.llm.purse import Purse
from burnish.annotators.llm.writer import ChatWriter, identity_of
from burnish.annotators.program import checker
from burnish.inputs.context import RunContext
from burnish.inputs.distances import differing_of
from burnish.methods import Round, Setting, run_method
from burnish.people.mailbox import Purpose
from burnish.protocols import Completion
from burnish.refinery.accounts import proposals_run, proposer_budget
from burnish.refinery.dataset import given_rows
from burnish.refinery.holding import KEPT, hold_out
from burnish.refinery.inputs import ANNOTATOR, AUDITOR, CHECKER, STUDENT, RefinementInputs
from burnish.refinery.proposals import file_proposals
from burnish.services.program import Program
from burnish.steps.artifacts import Rows, Split
from burnish.steps.basic import Steps
from burnish.steps.judging import AnnotatorPlan, nobody
from burnish.steps.proposing import ProposerPlan, proposed
from burnish.steps.setting import Audit
from burnish.store.runners import Runner
from burnish.tasks.own import grader_of
from burnish.types import Artifact, Example, Prompt

NO_MODEL = Artifact(path="", kind="none", fingerprint="none")
"""Stands for the model of a refinement that trains none."""


class Job:
    """One refinement whose stages go through `runner`. Stages are added when they are first asked for.

    `own_annotator` is a caller's annotator that replaces the configured one.
    """

    def __init__(
        self, found: RefinementInputs, context: RunContext, runner: Runner, own_annotator: AnnotatorPlan | None = None
    ) -> None:
        self.found, self.context, self.runner, self.config = found, context, runner, found.config
        self._own_annotator = own_annotator
        # A user's data belongs to no task, so `differs` decides how answers are read.
        known = grader_of(self.config.differs)
        self.steps = Steps(runner, context.engines, known.grader, known.reader, self.config.seed, known.kind)
        # How answers are told apart (`differs`) and how they are graded by the reference can differ: see `referee_of`.
        if isinstance(self.config.differs, settings.TextDiffers):
            # With a program or an embedder as `differs`, the oracle compares texts, as it always did.
            self.steps.referee, self.steps.referee_kind = found.referee.grader, found.referee.reader
        self.steps.label = self.config.name

    @functools.cached_property
    def data(self) -> Artifact:
        """The dataset's rows. The stage runs when this is first read."""
        found = self.found
        return given_rows(self.steps, found.table, self.config.data, found.source, found.refused)

    @functools.cached_property
    def proposals(self) -> Artifact | None:
        """The proposals that come from elsewhere, or None if models propose. The stage runs when this is first read."""
        found, file, config = self.found, self.found.proposals, self.config.proposals
        if file is not None:
            return file_proposals(self.steps, self.rows, file, found.table, found.refused)
        if isinstance(config, settings.ServerProposals):
            return proposed(self.steps, self.rows, self._proposer(config))
        return None

    def read_files(self) -> None:
        """Run the stages that only read files, so that a wrong file is refused before anything is spent. If rows are
        held out, they are chosen here, too."""
        _ = self.data, self.holdout
        if self.found.proposals is not None:
            _ = self.proposals

    def _proposer(self, config: settings.ServerProposals) -> ProposerPlan:
        """Return the model on a server that proposes. Nothing is sent before the stage runs."""
        context = self.context

        def over(examples: Mapping[str, Example], done: AbstractSet[str]) -> Iterator[Sequence[Completion]]:
            budget = proposer_budget(self.config, context.run, context.budget)
            purse = Purse(calls=context.calls(), run=proposals_run(context.run), budget=budget)
            writer = ChatWriter(config, purse, context.terminal.say, loss="a row without a proposal")
            return writer.completions(
                Prompt(id=id_, messages=example.prompt) for id_, example in examples.items() if id_ not in done
            )

        return ProposerPlan(config=config.semantic(), fingerprint=identity_of(config), over=over)

    @functools.cached_property
    def annotator(self) -> AnnotatorPlan | None:
        """Who compares answers. It is None if the method asks nobody."""
        if self._own_annotator is not None:
            return self._own_annotator
        if self.config.annotator is None:
            return None
        return build(self.config.annotator, self.context.resources(self.steps, ANNOTATOR))

    @property
    def every(self) -> Rows:
        """All usable rows."""
        return Rows(self.data, Split.TRAIN)

    @functools.cached_property
    def holdout(self) -> Artifact | None:
        """The stage that holds rows out, or None if no row is. The stage runs when this is first read."""
        count = self.config.holdout
        return None if count is None else hold_out(self.steps, self.every, self.data, count)

    @property
    def rows(self) -> Rows:
        """The rows that are refined: all usable rows, without those that are held out."""
        return self.every if self.holdout is None else self.every.part(self.holdout, KEPT)

    def rounds(self, tested: Artifact | None) -> list[Round]:
        """Run or plan the method. The first round is number 0: the state before any refinement. `tested` is the
        annotator's self-test, if there was one."""
        return run_method(self.config.method, self.setting(tested))

    def setting(self, tested: Artifact | None = None) -> Setting:
        """Return everything that the method needs."""
        config = self.config
        limit = settings.Budget(kind="equal", comparisons=config.comparisons) if config.comparisons else None
        method, terminal = config.method, self.context.terminal
        program = None
        if method.program is not None:
            program = Program(command=method.program, field=CHECKER, timeout=method.patience, say=terminal.say)
        return Setting(
            steps=self.steps,
            rows=self.rows,
            demonstrations=self.holdout or self.data,
            # Only an experiment knows the right label of every row.
            gold=None,
            # A setting always has an annotator, so that methods need no case for none.
            annotator=self.annotator or nobody(),
            # Without a model, nothing is trained, and nothing reads the base.
            base=NO_MODEL if config.model is None else self.context.model(self.steps, STUDENT),
            train=config.train,
            train_proposers=config.train_proposers,
            decode=config.decode,
            budget=limit or settings.Budget(),
            differing=differing_of(config.differs, self.found.embedder, config.execution, terminal, terminal.say),
            checker=checker(program) if program is not None else None,
            audit=self._audit(),
            models=self._models(),
            tested=tested if config.selftest.calibrate else None,
            proposals=self.proposals,
        )

    def _models(self) -> Literal["ends", "last", "none"]:
        """Return for which rounds a model is trained. Only the held-out prompts need the model of round 0."""
        if self.config.model is None:
            return "none"
        return "last" if self.holdout is None else "ends"

    def _audit(self) -> Audit | None:
        """Return how each round is audited, or None if it is not."""
        audit = self.config.audit
        if audit is None:
            return None
        # The purpose marks the pairs, so that people's audit and their comparisons do not mix.
        auditor = build(audit.by, self.context.resources(self.steps, AUDITOR, Purpose.AUDIT))
        return Audit(size=audit.size, rounds=self.config.method.last_round, max_harm=audit.max_harm, auditor=auditor)
