"""What an experiment names, found and identified before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from burnish.annotators.llm.judge import check_server
from burnish.config import (
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
from burnish.inputs.distances import embedder_of
from burnish.inputs.models import FoundModel, judge_field, judging_models, resolve_model, resolved_judge
from burnish.services.calls import Budget
from burnish.store import identity
from burnish.tasks import local_files
from burnish.tasks.instructions import sources
from burnish.types import Artifact


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
        check_server(config.judge, budget_of(config))
    judges = judging_models([config.judge] if config.judge else [], "judge")
    return Inputs(
        models=models,
        data=data,
        task=task,
        judges={name: resolved_judge(one, config.execution, offline_ok, name) for name, one in judges.items()},
        embedder=embedder_of(config.differs, offline_ok),
    )


def budget_of(config: Config) -> Budget:
    """Return what calls to a server may cost in this experiment."""
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
