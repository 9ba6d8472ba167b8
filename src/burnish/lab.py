"""An experiment: simulated unreliable supervision (appendix B), methods side by side, rounds and seeds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

from burnish import identity
from burnish.annotators import AnnotatorPlan, Supply, plan_annotator
from burnish.annotators.given import Means, given
from burnish.annotators.llm.calls import CALLS, Budget, Calls
from burnish.annotators.llm.judge import check_server
from burnish.annotators.people import Mailbox
from burnish.artifacts import Rows, Split
from burnish.bases import FoundModel, base_of, judge_field, judging_models, resolve_model, resolved_judge
from burnish.config import (
    TASK_PLACES,
    AnnotatorConfig,
    ClassifierConfig,
    CommandConfig,
    Config,
    Gsm8kTask,
    InstructionsTask,
    LikelihoodConfig,
    MixedConfig,
    ModelConfig,
    OracleConfig,
    ReferenceJudge,
    ReferenceJudgeConfig,
    TaskConfig,
)
from burnish.distances import differing_of, embedder_of
from burnish.methods import Round, Setting, run_method
from burnish.methods.probes import Divergence, Versus, against_references, diverge, win
from burnish.methods.sft import start
from burnish.protocols import Backend
from burnish.stages import Runner
from burnish.steps import Steps
from burnish.tasks import local_files, make_task
from burnish.tasks.instructions import sources
from burnish.terminal import Terminal
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What comes from outside the store: {name: (model, identity of its weights)}, and the identity of the data."""

    models: Mapping[str, tuple[ModelConfig, Artifact]]
    data: Mapping[str, Artifact]
    task: TaskConfig
    judges: Mapping[str, FoundModel] = field(default_factory=dict[str, FoundModel])
    embedder: Artifact | None = None

    @property
    def sources(self) -> dict[str, ModelConfig]:
        """Where each base model is, by its content."""
        judges = {one.weights.fingerprint: one.model for one in self.judges.values() if not one.trained}
        return judges | {weights.fingerprint: model for model, weights in self.models.values()}

    @property
    def unresolved(self) -> list[str]:
        """The hub ids that are known by name alone, since nobody could be asked for their commit."""
        known = [weights.fingerprint for _, weights in self.models.values()]
        known += [artifact.fingerprint for artifact in self.data.values()]
        known += [one.weights.fingerprint for one in self.judges.values()]
        known += [self.embedder.fingerprint] if self.embedder else []
        prefix = identity.UNRESOLVED
        return sorted({name.removeprefix(prefix) for name in known if name.startswith(prefix)})


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
            budget=_budget(config),
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


def resolve(config: Config, offline_ok: bool) -> Inputs:
    """Find every model and dataset that a config names, before anything is spent.

    `offline_ok`: a hub id that cannot be resolved becomes "unresolved" (a dry run) instead of an error.
    """
    wanted = {"weak": ("models.weak", config.models.weak), "strong": ("models.strong", config.models.strong)}
    annotator = model_of(config.supervision.annotator)
    if annotator is not None:
        wanted["annotator"] = ("supervision.annotator.model", annotator)
    models = {
        name: resolve_model(model, where, config.execution, offline_ok)
        for name, (where, model) in sorted(wanted.items())
    }
    data, task = _resolve_data(config.task, offline_ok)
    if isinstance(config.judge, ReferenceJudgeConfig) and not offline_ok:
        check_server(config.judge, _budget(config))
    judges = judging_models([config.judge] if config.judge else [], "judge")
    return Inputs(
        models=models,
        data=data,
        task=task,
        judges={name: resolved_judge(one, config.execution, offline_ok, name) for name, one in judges.items()},
        embedder=embedder_of(config.differs, offline_ok),
    )


def _budget(config: Config) -> Budget:
    return Budget(max_calls=config.execution.max_calls, max_cost=config.execution.max_cost)


def _resolve_data(task: TaskConfig, offline_ok: bool) -> tuple[dict[str, Artifact], TaskConfig]:
    if isinstance(task, InstructionsTask):  # which file plays which part matters, and the fields name files alone
        return {role: identity.of_files(files) for role, files in sources(task).items()}, task
    files = local_files(task)
    if files:
        return {"files": identity.of_files(files)}, task
    if isinstance(task, Gsm8kTask):
        commit = identity.of_hub("dataset", task.source, task.revision, "task.source", offline_ok)
        return {"dataset": commit}, task.model_copy(update={"revision": commit.fingerprint.removeprefix("hub:")})
    return {}, task


def model_of(annotator: AnnotatorConfig) -> ModelConfig | None:
    """Return the base model that an annotator names, None where it needs none or takes the weak one."""
    match annotator:
        case ClassifierConfig() | LikelihoodConfig():
            return annotator.model
        case OracleConfig():
            return None
        case MixedConfig():
            return model_of(annotator.other)
        case _:
            assert_never(annotator)


def resolved(config: Config, inputs: Inputs) -> Config:
    """Return the config as it ran: hub ids with their commits, number formats instead of `auto`."""
    models = {name: model for name, (model, _) in inputs.models.items()}
    annotator = config.supervision.annotator
    if "annotator" in models:
        annotator = _with_model(annotator, models["annotator"])
    return config.model_copy(
        update={
            "models": config.models.model_copy(update={"weak": models["weak"], "strong": models["strong"]}),
            "supervision": config.supervision.model_copy(update={"annotator": annotator}),
            "task": inputs.task,
            "judge": _found_judge(config, inputs),
        }
    )


def _found_judge(config: Config, inputs: Inputs) -> ReferenceJudge | None:
    judge = config.judge
    if judge is None or isinstance(judge, ReferenceJudgeConfig | CommandConfig):
        return judge
    return judge.model_copy(update={"model": inputs.judges[judge_field(judge.model, "judge")].model})


def _with_model(annotator: AnnotatorConfig, model: ModelConfig) -> AnnotatorConfig:
    match annotator:
        case ClassifierConfig() | LikelihoodConfig():
            return annotator.model_copy(update={"model": model})
        case OracleConfig():
            return annotator
        case MixedConfig():
            return annotator.model_copy(update={"other": _with_model(annotator.other, model)})
        case _:
            assert_never(annotator)


def semantic(config: Config) -> dict[str, Any]:
    """Return the part of a config that changes results, every default filled in."""
    return config.model_dump(mode="json", exclude={"execution"})
