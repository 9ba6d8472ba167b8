"""An experiment: simulated unreliable supervision (appendix B), methods side by side, rounds and seeds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from burnish.annotators import AnnotatorPlan, Supply, plan_annotator
from burnish.annotators.build import Means, given
from burnish.config import (
    TASK_PLACES,
    Config,
)
from burnish.inputs.distances import differing_of
from burnish.inputs.models import base_of, judge_field
from burnish.lab.inputs import Inputs, budget_of
from burnish.methods import Round, Setting, run_method
from burnish.methods.sft import start
from burnish.people.mailbox import Mailbox
from burnish.protocols import Backend
from burnish.report.terminal import Terminal
from burnish.services.calls import CALLS, Calls
from burnish.steps.artifacts import Rows, Split
from burnish.steps.basic import Steps
from burnish.steps.probes import Divergence, Versus, against_references, diverge, win
from burnish.store.runners import Runner
from burnish.tasks import make_task
from burnish.types import Artifact, DemonstrationSource, short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One method's round under one seed: artifacts that hold its test grades, its labels' grades, and its ledger."""

    method: str
    kind: str
    seed: int
    rows: Rows
    held_out: Rows
    answers: Artifact
    test: Artifact
    labels: Artifact
    training: Artifact
    round: Round
    divergence: Divergence | None
    versus: Versus | None
    referenced: Versus | None


@dataclass(slots=True)
class Experiment:
    """A config whose inputs are resolved and whose stages go through `runner`."""

    config: Config
    inputs: Inputs
    runner: Runner
    backend: Callable[[], Backend]
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def run(self, seeds: Sequence[int]) -> list[Outcome]:
        """Run or plan all methods under these seeds."""
        for seed in seeds:
            self._run_seed(seed)
        return self.outcomes

    def _run_seed(self, seed: int) -> None:
        config, task = self.config, make_task(self.inputs.task)
        steps = Steps(self.runner, self.backend, task, config.task.kind, seed)
        data = steps.data(task, config.task.model_dump(mode="json", exclude=set(TASK_PLACES)), self.inputs.data)
        bases = {name: steps.base(model, weights) for name, (model, weights) in self.inputs.models.items()}
        setting, supervisor, ground = self._supervise(steps, data, bases)
        held_out = Rows(data, Split.TEST) if config.evaluate == "test" else ground
        referee = self._referee(steps)
        if supervisor is not None:
            weak = Round(number=0, model=supervisor, demonstrations=setting.demonstrations)
            self._measure("weak", "weak", setting, held_out, weak, referee)
        for method in config.methods:
            for round_ in run_method(method, setting):
                self._measure(method.name, method.kind, setting, held_out, round_, referee)

    def _referee(self, steps: Steps) -> AnnotatorPlan | None:
        """Return who compares held-out answers with their references."""
        config, judges = self.config, self.inputs.judges
        if config.judge is None:
            return None
        means = Means(
            backend=self.backend,
            base=lambda model, _: base_of(steps, judges[judge_field(model, "judge")]),
            task=steps.task,
            task_kind=steps.task_kind,
            mailbox=Mailbox(Path()),
            seed=steps.seed,
            calls=functools.cache(lambda: Calls(self.runner.store.root / CALLS)),
            run=short_hash("experiment", config.name),
            budget=budget_of(config),
            say=Terminal().say,
        )
        return given(config.judge, means, field="judge").plan

    def _supervise(
        self, steps: Steps, data: Artifact, bases: Mapping[str, Artifact]
    ) -> tuple[Setting, Artifact | None, Rows]:
        """Train p~ on half G, let it label half U, make the annotator (section 3, appendix B).

        Returns what methods are given, p~ where it is the supervisor, and half G.
        """
        config = self.config
        train = Rows(data, Split.TRAIN)
        halves = steps.split(train, "supervision", 0)
        ground, unreliable = train.part(halves, "1"), train.part(halves, "2")
        ground_gold, gold = steps.gold(ground), steps.gold(unreliable)
        settings = config.supervision.train or config.train
        supervisor = steps.train(bases["weak"], ground, ground_gold, settings, "weak supervisor")
        supply = Supply(
            steps=steps,
            ground=ground,
            gold=ground_gold,
            bases=bases,
            train=settings,
        )
        annotator = plan_annotator(config.supervision.annotator, supply)
        match config.supervision.demonstrations:
            case "weak":
                labels = steps.answer(supervisor, unreliable, config.decode, "labels", DemonstrationSource.WEAK)
            case "correct":
                given = steps.answer(supervisor, unreliable, config.decode, "labels", DemonstrationSource.WEAK)
                labels = steps.only_correct(unreliable, given)
                unreliable = unreliable.part(labels, "correct")
                gold = steps.gold(unreliable)
            case "gold":
                labels = gold
            case _:
                assert_never(config.supervision.demonstrations)
        setting = Setting(
            steps=steps,
            rows=unreliable,
            demonstrations=labels,
            gold=gold,
            annotator=annotator,
            base=bases["strong"],
            train=config.train,
            decode=config.decode,
            budget=config.budget,
            compat=config.compat,
            differing=differing_of(config.differs, self.inputs.embedder, config.execution, Terminal()),
        )
        return setting, supervisor if config.supervision.demonstrations != "gold" else None, ground

    def _measure(
        self,
        method: str,
        kind: str,
        setting: Setting,
        held_out: Rows,
        round_: Round,
        referee: AnnotatorPlan | None,
    ) -> None:
        steps, decode, wanted = setting.steps, self.config.decode, self.config.measure
        answers = steps.answer(round_.model, held_out, decode, "test", DemonstrationSource.PROPOSAL)
        # What KL and win rate are against: the SFT model, which round 0 of any method is.
        first = start(setting, setting.demonstrations).model if round_.number > 0 and wanted else None
        self.outcomes.append(
            Outcome(
                method=method,
                kind=kind,
                seed=steps.seed,
                rows=setting.rows,
                held_out=held_out,
                answers=answers,
                test=steps.grade(held_out, answers),
                labels=steps.grade(setting.rows, round_.demonstrations),
                training=round_.model,
                round=round_,
                divergence=diverge(setting, held_out, round_.model, first) if first and "kl" in wanted else None,
                versus=win(setting, held_out, answers, first) if first and "win_rate" in wanted else None,
                referenced=against_references(steps, held_out, answers, referee) if referee else None,
            )
        )
