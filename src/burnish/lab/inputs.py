"""Everything that an experiment's config names: found and identified before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.annotators.llm.judge import check_server
from burnish.config import (
    AnnotatorSettings,
    AnyTask,
    Config,
    FileDemonstrations,
    JudgeConfig,
    ModelConfig,
    TaskSettings,
    WantedModel,
    WantedProgram,
)
from burnish.config.base import expanded
from burnish.errors import ConfigError
from burnish.inputs.distances import embedder_of
from burnish.inputs.feasible import check_programs
from burnish.inputs.models import FoundModels, find_models
from burnish.services.calls import CallBudget
from burnish.store import identity
from burnish.store.known_hashes import KnownHashes
from burnish.tasks import files_by_role
from burnish.types import Artifact

WEAK, STRONG, ANNOTATOR, JUDGE = "models.weak", "models.strong", "supervision.annotator", "judge"
"""The fields of a config that name models."""
METHOD_FIELD = "methods"
"""The field of a config that holds the methods, some of which name models, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentInputs:
    """What comes from outside the store. `models` are found by the field that names each; `data` is the identity of the
    data by role. `demonstrations` is the file of `supervision.demonstrations`, or None."""

    models: FoundModels
    data: Mapping[str, Artifact]
    task: AnyTask
    embedder: Artifact | None = None
    demonstrations: Artifact | None = None

    @property
    def teaching(self) -> list[str]:
        """The fields whose models supervise or learn, in the order in which the config's models are found. The judge is
        left out."""
        return [field for field in self.models.by_field if not field.startswith(f"{JUDGE}.")]

    @property
    def unresolved(self) -> list[str]:
        """The hub ids that are known by name alone, because the hub could not be asked for their commit."""
        known = [*self.models.identities, *(artifact.fingerprint for artifact in self.data.values())]
        return identity.unresolved([*known, *([self.embedder.fingerprint] if self.embedder else [])])


def resolve(config: Config, offline_ok: bool, known: KnownHashes | None = None) -> ExperimentInputs:
    """Find every model and dataset that a config names, before anything is spent.

    If `offline_ok` is true, a hub id that cannot be resolved becomes "unresolved" instead of an error (for a dry run).
    Files that are `known` and unchanged are not hashed again. Raises ConfigError naming the field, DataError if data
    cannot be read, BackendError if the hub does not answer.
    """
    check_programs(_programs(config))
    models = find_models(wanted_models(config), config.execution, offline_ok, known)
    data, task = _resolve_data(config.task, offline_ok, known)
    # A dry run talks to no server. A real run checks the judge's server now, so that a wrong address does not show only
    # after hours of training.
    if not offline_ok:
        for judge in server_judges(config):
            check_server(judge, budget_of(config))
    return ExperimentInputs(
        models=models,
        data=data,
        task=task,
        embedder=embedder_of(config.differs, offline_ok, known),
        demonstrations=_demonstrations(config, known),
    )


def _demonstrations(config: Config, known: KnownHashes | None) -> Artifact | None:
    """Return the identity of the file of demonstrations, or None if they come from elsewhere. Raises ConfigError if
    there is no such file."""
    given, field = config.supervision.demonstrations, "supervision.demonstrations.path"
    if not isinstance(given, FileDemonstrations):
        return None
    path = expanded(given.path, field)
    if not os.path.isfile(path):  # Path.is_file raises OSError for a name that is too long
        raise ConfigError(f"{field}: {given.path!r:.300} is no file; `burnish study export` writes one")
    return replace(identity.of_files([Path(path)], known), path=path)


def wanted_models(config: Config) -> Iterator[WantedModel]:
    """Yield every model that an experiment names, with its field."""
    # This order is also the order in which a plan lists the base models.
    yield from config.supervision.annotator.models(ANNOTATOR, simulated=True)
    yield WantedModel(STRONG, config.models.strong)
    if config.models.weak is not None:
        yield WantedModel(WEAK, config.models.weak)
    for place, method in enumerate(config.methods):
        yield from method.models(f"{METHOD_FIELD}.{place}")
    if config.judge is not None:
        yield from config.judge.models(JUDGE, simulated=False)


def _programs(config: Config) -> Iterator[WantedProgram]:
    """Yield every program that an experiment runs, with its field."""
    # An annotator that no method and no measure asks is never run.
    if any(method.asks_annotator for method in config.methods) or "win_rate" in config.measure:
        yield from config.supervision.annotator.programs(ANNOTATOR)
    if config.judge is not None:
        yield from config.judge.programs(JUDGE)


def server_judges(config: Config) -> list[JudgeConfig]:
    """Return the language models on servers that an experiment asks, as its annotator or for win rates."""
    asked: list[AnnotatorSettings] = [*config.supervision.annotator.members]
    asked += [config.judge] if config.judge is not None else []
    return [annotator for annotator in asked if isinstance(annotator, JudgeConfig)]


def budget_of(config: Config) -> CallBudget:
    """Return how much this experiment may spend on calls to servers."""
    return CallBudget(max_calls=config.execution.max_calls, max_cost=config.execution.max_cost)


def _resolve_data(
    task: TaskSettings, offline_ok: bool, known: KnownHashes | None
) -> tuple[dict[str, Artifact], TaskSettings]:
    """Return the identity of the data by role, and the task with its hub dataset fixed to a commit."""
    files = files_by_role(task)
    if files:
        # Files are identified by their content: a moved or copied file is still the same data.
        return {role: identity.of_files(paths, known) for role, paths in files.items()}, task
    if task.hub_dataset is not None:
        source, revision = task.hub_dataset
        dataset = identity.of_hub("dataset", source, revision, "task.source", offline_ok)
        return {"dataset": dataset}, task.at_commit(dataset.fingerprint.removeprefix("hub:"))
    return {}, task


def resolved(config: Config, inputs: ExperimentInputs) -> Config:
    """Return the config as it ran: hub ids have their commits, and `auto` is replaced by the number format that was
    used."""
    models, judge = inputs.models, config.judge
    found = {"strong": models[STRONG].model} | ({"weak": models[WEAK].model} if config.models.weak is not None else {})
    return config.model_copy(
        update={
            "models": config.models.model_copy(update=found),
            "supervision": config.supervision.model_copy(
                update={"annotator": _with_found(config.supervision.annotator, inputs, ANNOTATOR, simulated=True)}
            ),
            "task": inputs.task,
            "methods": tuple(
                method.with_models(_finder(inputs, method.models(f"{METHOD_FIELD}.{place}")))
                for place, method in enumerate(config.methods)
            ),
            "judge": judge and _with_found(judge, inputs, JUDGE, simulated=False),
        }
    )


def _with_found(
    annotator: AnnotatorSettings, inputs: ExperimentInputs, field: str, simulated: bool
) -> AnnotatorSettings:
    """Return the settings with their models as they were found."""
    return annotator.with_models(_finder(inputs, annotator.models(field, simulated)))


def _finder(inputs: ExperimentInputs, models: Iterator[WantedModel]) -> Callable[[ModelConfig], ModelConfig]:
    """Return what replaces each of these models by the model as it was found, if it is asked in their order."""
    # `models` and `with_models` visit the models in the same order, so the n-th field belongs to the n-th model.
    fields = (wanted.field for wanted in models)
    return lambda model: inputs.models.settings(next(fields), model)


def semantic(config: Config) -> dict[str, Any]:
    """Return the part of a config that changes results, with every default filled in."""
    # `execution` says how and where to compute, so it must not enter results.json.
    return config.model_dump(mode="json", exclude={"execution"})
