"""An experiment: simulated unreliable supervision (appendix B), methods side by side, rounds and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from burnish.annotators import GroundTruth, build
from burnish.config import Config
from burnish.inputs.context import RunContext
from burnish.inputs.distances import differing_of
from burnish.lab.inputs import ANNOTATOR, JUDGE, STRONG, WEAK, Inputs, budget_of
from burnish.methods import run_method
from burnish.methods.sft import start
from burnish.protocols import Backend
from burnish.report.terminal import Terminal
from burnish.steps.artifacts import Rows, Split
from burnish.steps.basic import Steps
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.probes import Divergence, Versus, against_references, diverge, win
from burnish.steps.setting import Round, Setting
from burnish.store.runners import Runner
from burnish.tasks import make_task
from burnish.tasks.readers import reader_of
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
    """A config whose inputs are found and whose stages go through `runner`.

    `folder` is where people find what waits for them.
    """

    config: Config
    inputs: Inputs
    runner: Runner
    backend: Callable[[], Backend]
    folder: Path = Path()
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def run(self, seeds: Sequence[int]) -> list[Outcome]:
        """Run or plan all methods under these seeds. Raises Paused where people or a larger budget are waited for."""
        for seed in seeds:
            self._run_seed(seed)
        return self.outcomes

    @property
    def _context(self) -> RunContext:
        return RunContext(
            store=self.runner.store,
            models=self.inputs.models,
            student=self.config.models.strong,
            execution=self.config.execution,
            run=short_hash("experiment", self.config.name),
            folder=self.folder,
            budget=budget_of(self.config),
            terminal=Terminal(),
            own_backend=self.backend,
        )

    def _run_seed(self, seed: int) -> None:
        config, task, context = self.config, make_task(self.inputs.task), self._context
        kind = config.task.kind
        steps = Steps(self.runner, self.backend, task, reader_of(kind, task), seed, kind)
        data = steps.data(task, config.task.model_dump(mode="json", exclude=set(config.task.places)), self.inputs.data)
        setting, supervisor, ground = self._supervise(steps, data, context)
        held_out = Rows(data, Split.TEST) if config.evaluate == "test" else ground
        referee = build(config.judge, context.resources(steps, JUDGE)) if config.judge is not None else None
        if supervisor is not None:
            weak = Round(number=0, model=supervisor, demonstrations=setting.demonstrations)
            self._measure("weak", "weak", setting, held_out, weak, referee)
        for method in config.methods:
            for round_ in run_method(method, setting):
                self._measure(method.name, method.kind, setting, held_out, round_, referee)

    def _supervise(self, steps: Steps, data: Artifact, context: RunContext) -> tuple[Setting, Artifact | None, Rows]:
        """Train p~ on half G, let it label half U, make the annotator (section 3, appendix B).

        Returns what methods are given, p~ where it is the supervisor, and half G.
        """
        config = self.config
        # All base models come first in a plan, whoever asks for them later.
        bases = {field: context.model(steps, field) for field in self.inputs.teaching}
        weak, strong = bases[WEAK], bases[STRONG]
        train = Rows(data, Split.TRAIN)
        halves = steps.split(train, "supervision", 0)
        ground, unreliable = train.part(halves, "1"), train.part(halves, "2")
        truth = GroundTruth(
            rows=ground, gold=steps.gold(ground), weak=weak, train=config.supervision.train or config.train
        )
        gold = steps.gold(unreliable)
        supervisor = steps.train(weak, ground, truth.gold, truth.train, "weak supervisor")
        annotator = build(config.supervision.annotator, context.resources(steps, ANNOTATOR, ground_truth=truth))
        match config.supervision.demonstrations:
            case "weak":
                labels = steps.answer(supervisor, unreliable, config.decode, "labels", DemonstrationSource.WEAK)
            case "correct":
                answers = steps.answer(supervisor, unreliable, config.decode, "labels", DemonstrationSource.WEAK)
                labels = steps.only_correct(unreliable, answers)
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
            base=strong,
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
