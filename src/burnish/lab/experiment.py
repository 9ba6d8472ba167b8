"""One experiment: simulated unreliable supervision (appendix B), and several methods, rounds and seeds side by side."""

from __future__ import annotations

import dataclasses
from collections import abc
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from burnish.annotators import GroundTruth, build
from burnish.annotators.classifier import Teaching, with_checkpoints
from burnish.config import Config, FileDemonstrations
from burnish.errors import PeopleAwaited
from burnish.inputs.context import RunContext
from burnish.inputs.distances import differing_of
from burnish.lab.inputs import ANNOTATOR, JUDGE, METHOD_FIELD, STRONG, WEAK, ExperimentInputs, budget_of
from burnish.methods import run_method
from burnish.methods.sft import start
from burnish.people.waiting import together
from burnish.protocols import Backend, Generator
from burnish.report.terminal import Terminal
from burnish.results import SUPERVISOR
from burnish.steps.artifacts import Rows, Split
from burnish.steps.basic import Steps
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.probes import Divergence, Versus, against_references, diverge, win
from burnish.steps.setting import Round, Setting
from burnish.steps.written import REST, WRITTEN, written_demonstrations
from burnish.store.runners import Runner
from burnish.tasks import make_task
from burnish.tasks.readers import reader_of
from burnish.types import Artifact, DemonstrationSource, short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one round of one method under one seed.

    The artifacts hold the grades of its test answers (`test`), the grades of its labels (`labels`), and its ledger.
    `reordered` are the grades of the test answers of models that learned the same labels in another order of rows.
    """

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
    reordered: tuple[Artifact, ...] = ()


@dataclass(slots=True)
class Experiment:
    """An experiment whose inputs are found. Its stages go through `runner`, which runs them or only plans them.

    `backend` opens what trains, generates and scores. `generator`, if given, generates in its place. `folder` is where
    people find the pairs that wait for them.
    """

    config: Config
    inputs: ExperimentInputs
    runner: Runner
    backend: Callable[[], Backend]
    generator: Generator | None = None
    folder: Path = Path()
    # The same one as the runner's: a second bar on one terminal would draw over the first.
    terminal: Terminal = field(default_factory=Terminal)
    # Seeds are added one after the other by `run`.
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    _stops: list[PeopleAwaited] = field(default_factory=list[PeopleAwaited])

    def run(self, seeds: Sequence[int]) -> list[Outcome]:
        """Run or plan all methods under these seeds, and return all outcomes so far.

        Raises Paused if the run must wait for people or for a larger budget. If it waits for people, everything was
        computed that does not depend on them, so that the pairs of all methods and seeds wait together.
        """
        for seed in seeds:
            with self._waiting():
                self._run_seed(seed)
        if self._stops:
            raise together(self._stops)
        return self.outcomes

    @contextmanager
    def _waiting(self) -> abc.Generator[None]:
        """Go on with what comes next if something waits for people."""
        try:
            yield
        except PeopleAwaited as stop:
            self._stops.append(stop)

    @property
    def _context(self) -> RunContext:
        return RunContext(
            store=self.runner.store,
            models=self.inputs.models,
            student=self.config.models.strong,
            execution=self.config.execution,
            # The same name after a crash, so that calls which were paid for before it count against the budget.
            run=short_hash("experiment", self.config.name),
            folder=self.folder,
            budget=budget_of(self.config),
            terminal=self.terminal,
            project=self.config.name,
            own_backend=self.backend,
            own_generator=self.generator,
            together=True,
        )

    def _run_seed(self, seed: int) -> None:
        """Run or plan everything under one seed: the data, the supervision, and every method's rounds."""
        config, task, context = self.config, make_task(self.inputs.task), self._context
        kind = config.task.kind
        steps = Steps(self.runner, context.engines, task, reader_of(kind, task), seed, kind)
        # `places` are the fields that say where files lie. They are left out, since the content identifies the data.
        data = steps.data(task, config.task.model_dump(mode="json", exclude=set(config.task.places)), self.inputs.data)
        setting, supervisor, ground = self._supervise(steps, data, context)
        # The other choice, `validation`, is half G: no student is trained on it.
        held_out = Rows(data, Split.TEST) if config.evaluate == "test" else ground
        # The judge measures only. It is built once per seed and supervises nothing.
        referee = build(config.judge, context.resources(steps, JUDGE)) if config.judge is not None else None
        # The weak supervisor is measured like a method's round, as the baseline of all methods.
        if supervisor is not None:
            weak = Round(number=0, model=supervisor, demonstrations=setting.demonstrations)
            self._measure(SUPERVISOR, SUPERVISOR, setting, held_out, weak, referee)
        for place, method in enumerate(config.methods):

            def model(field: str, place: int = place) -> Artifact:
                return context.model(steps, f"{METHOD_FIELD}.{place}.{field}")

            with self._waiting():
                for round_ in run_method(method, dataclasses.replace(setting, model=model)):
                    self._measure(method.name, method.kind, setting, held_out, round_, referee)

    def _ground_truth(self, steps: Steps, weak: Artifact | None, half_g: Rows, half_u: Rows) -> GroundTruth:
        train, decode = self.config.supervision.train or self.config.train, self.config.decode
        return GroundTruth(rows=half_g, gold=steps.gold(half_g), weak=weak, train=train, judged=half_u, decode=decode)

    def _supervise(self, steps: Steps, data: Artifact, context: RunContext) -> tuple[Setting, Artifact | None, Rows]:
        """Label half U, and build the annotator (section 3, appendix B; section 6 where people write).

        Returns the setting that methods get, the model p~ if it is the supervisor (else None), and half G.
        """
        config = self.config
        # All base models come first in a plan, no matter which stage needs them first.
        bases = {field: context.model(steps, field) for field in self.inputs.teaching}
        train, written = Rows(data, Split.TRAIN), None
        if self.inputs.demonstrations is not None:
            written = written_demonstrations(
                steps, train, self.inputs.demonstrations, needs_rest=self.config.needs_half_g
            )
            half_g, half_u = train.part(written, REST), train.part(written, WRITTEN)
        else:
            # Half G has right labels and trains the supervisor. Half U is what the student learns from (section 3).
            half_g, half_u = _halves(steps, train)
        truth = self._ground_truth(steps, bases.get(WEAK), half_g, half_u)
        labels, gold, supervisor = written, steps.gold(half_u), self._supervisor(steps, truth)
        annotator = build(config.supervision.annotator, context.resources(steps, ANNOTATOR, ground_truth=truth))
        if supervisor is not None:
            half_u, labels, gold = self._labelled(steps, supervisor, half_u, gold)
        assert labels is not None, config.name
        setting = Setting(
            steps=steps,
            rows=half_u,
            demonstrations=labels,
            gold=gold,
            annotator=annotator,
            base=bases[STRONG],
            train=config.train,
            train_proposers=config.train_proposers,
            decode=config.decode,
            budget=config.budget,
            compat=config.compat,
            differing=differing_of(config.differs, self.inputs.embedder, config.execution, self.terminal),
        )
        # Gold labels do not come from p~, so p~ is then no baseline of the experiment.
        return setting, supervisor if config.supervision.demonstrations != "gold" else None, half_g

    def _supervisor(self, steps: Steps, truth: GroundTruth) -> Artifact | None:
        """Train the weak supervisor p~ on half G. Returns None if a file has the labels."""
        if self.inputs.demonstrations is not None:
            return None
        assert truth.weak is not None, self.config.name
        # First the training with checkpoints, if q~ learns from them. Then p~ is not trained again.
        same = with_checkpoints(self.config.supervision.annotator, Teaching(steps=steps, truth=truth))
        return steps.train(truth.weak, truth.rows, truth.gold, truth.train, "weak supervisor", same=same)

    def _labelled(
        self, steps: Steps, supervisor: Artifact, half_u: Rows, gold: Artifact
    ) -> tuple[Rows, Artifact, Artifact]:
        """Label half U as the config wants it. Returns half U, its labels and its gold answers."""
        config = self.config
        match config.supervision.demonstrations:
            case "weak":
                return half_u, steps.answer(supervisor, half_u, config.decode, "labels", DemonstrationSource.WEAK), gold
            # Only rows whose weak label is right stay in half U, so gold and rows shrink with it.
            case "correct":
                answers = steps.answer(supervisor, half_u, config.decode, "labels", DemonstrationSource.WEAK)
                labels = steps.only_correct(half_u, answers)
                half_u = half_u.part(labels, "correct")
                return half_u, labels, steps.gold(half_u)
            case "gold":
                return half_u, gold, gold
            case FileDemonstrations():
                raise AssertionError("a file has the labels")
            case _:
                assert_never(config.supervision.demonstrations)

    def _measure(
        self,
        method: str,
        kind: str,
        setting: Setting,
        held_out: Rows,
        round_: Round,
        referee: AnnotatorPlan | None,
    ) -> None:
        """Answer the held-out prompts with a round's model, grade answers and labels, and keep the outcome."""
        steps, decode, wanted = setting.steps, self.config.decode, self.config.measure
        answers = steps.answer(round_.model, held_out, decode, "test", DemonstrationSource.PROPOSAL)
        # KL and win rate compare the model with the SFT model, which is round 0 of every method.
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
                # Grades of the labels need the right answers, which an experiment has for all rows.
                labels=steps.grade(round_.rows or setting.rows, round_.demonstrations),
                training=round_.model,
                round=round_,
                divergence=diverge(setting, held_out, round_.model, first) if first and "kl" in wanted else None,
                versus=win(setting, held_out, answers, first) if first and "win_rate" in wanted else None,
                referenced=against_references(steps, held_out, answers, referee) if referee else None,
                # The supervisor is no model whose labels are compared, so its training is not repeated.
                reordered=() if kind == SUPERVISOR else self._reordered(steps, held_out, round_),
            )
        )

    def _reordered(self, steps: Steps, held_out: Rows, round_: Round) -> tuple[Artifact, ...]:
        """Train a round's model again in other orders of rows, and grade its test answers."""
        grades: list[Artifact] = []
        for order in range(1, self.config.orders):
            model, other = steps.again(round_.model, order), steps.reordered(order)
            # A method from outside the package may bring a model that no step trained.
            if model is not None:
                answers = other.answer(model, held_out, self.config.decode, "test", DemonstrationSource.PROPOSAL)
                grades.append(other.grade(held_out, answers))
        return tuple(grades)


def _halves(steps: Steps, train: Rows) -> tuple[Rows, Rows]:
    """Cut the training rows into half G and half U."""
    halves = steps.split(train, "supervision", 0)
    return train.part(halves, "1"), train.part(halves, "2")
