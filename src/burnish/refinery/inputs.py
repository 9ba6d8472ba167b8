"""What a refinement names, found before anything is spent: the dataset, the model, the annotators' models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish import identity
from burnish.bases import content_of, resolve_model
from burnish.config import (
    ColumnConfig,
    EmbeddingDiffers,
    Execution,
    GivenAnnotator,
    GivenClassifierConfig,
    GivenLikelihoodConfig,
    ModelConfig,
    RefineConfig,
    RewardModelConfig,
)
from burnish.errors import ConfigError
from burnish.forms.table import Table, open_table
from burnish.model_card import CARD, Head
from burnish.steps import Steps
from burnish.types import Artifact

STUDENT = "model"
"""The field of the config that names the model that is finetuned."""
HEADS = {"classifier": Head.CLASSIFIER, "reward_model": Head.REWARD, "likelihood": Head.NONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model with its commit and number format, the identity of its weights, and what it ends in.

    `trained`: a folder that burnish trained, which is used as it is.
    """

    model: ModelConfig
    weights: Artifact
    head: Head = Head.NONE
    trained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a refinement works on. `models` goes by the field of the config that names each."""

    config: RefineConfig
    table: Table
    source: Artifact
    models: Mapping[str, FoundModel]
    embedder: Artifact | None

    @property
    def sources(self) -> dict[str, ModelConfig]:
        """Where each base model is, by its content."""
        return {found.weights.fingerprint: found.model for found in self.models.values() if not found.trained}

    @property
    def unresolved(self) -> list[str]:
        """The hub ids that are known by name alone, since nobody could be asked for their commit."""
        known = [self.source.fingerprint, *(found.weights.fingerprint for found in self.models.values())]
        known += [self.embedder.fingerprint] if self.embedder else []
        prefix = identity.UNRESOLVED
        return sorted({name.removeprefix(prefix) for name in known if name.startswith(prefix)})


def find(config: RefineConfig, offline_ok: bool) -> Found:
    """Open the dataset and find the models; a dry run may leave hub ids unresolved. Raises ConfigError, DataError."""
    config = _with_reference(config)
    table = open_table(config.data)
    models = {STUDENT: FoundModel(model=config.model, weights=Artifact(path="", kind="", fingerprint=""))}
    models |= judging_models(config.annotators)
    return Found(
        config=config,
        table=table,
        source=_source(table, config, offline_ok),
        models={field: resolved(found, config.execution, offline_ok, field) for field, found in models.items()},
        embedder=_embedder(config, offline_ok),
    )


def _with_reference(config: RefineConfig) -> RefineConfig:
    """Let an oracle's column be the reference; there is one."""
    columns = [(f"annotator ({one.kind})", one.column) for one in config.annotators if isinstance(one, ColumnConfig)]
    if config.audit is not None and isinstance(config.audit.by, ColumnConfig):
        columns.append(("audit.by", config.audit.by.column))
    reference = config.data.reference_column
    for field, column in columns:
        if reference not in {None, column}:
            raise ConfigError(
                f"{field}: the column {column!r} found, but the reference is {reference!r}; name one column for both"
            )
        reference = column
    return config.model_copy(update={"data": config.data.model_copy(update={"reference_column": reference})})


def judging_models(annotators: Sequence[GivenAnnotator]) -> dict[str, FoundModel]:
    """Return the models that annotators bring, unresolved."""
    unknown = Artifact(path="", kind="", fingerprint="")
    return {
        judge_field(one.model): FoundModel(model=one.model, weights=unknown, head=HEADS[one.kind])
        for one in annotators
        if isinstance(one, GivenClassifierConfig | RewardModelConfig | GivenLikelihoodConfig)
    }


def judge_field(model: ModelConfig) -> str:
    """Name an annotator's model in errors."""
    return f"annotator.model {model.source}"


def resolved(found: FoundModel, execution: Execution, offline_ok: bool, field: str = "") -> FoundModel:
    """Find a model and what identifies its weights; a classifier that burnish trained is used as it is."""
    field = field or judge_field(found.model)
    path = identity.location(found.model, field)
    if field != STUDENT and path is not None and (path / CARD).is_file():
        return dataclasses.replace(found, weights=content_of(path), trained=True)
    model, weights = resolve_model(found.model, field, execution, offline_ok)
    return dataclasses.replace(found, model=model, weights=weights)


def base_of(steps: Steps, found: FoundModel) -> Artifact:
    """Return a found model as an artifact."""
    if found.trained:
        path = identity.location(found.model)
        return Artifact(path=str(path), kind="trained", fingerprint=found.weights.fingerprint)
    return steps.base(found.model, found.weights, found.head)


def _source(table: Table, config: RefineConfig, offline_ok: bool) -> Artifact:
    if table.files:
        return identity.of_files(table.files)
    return identity.of_hub("dataset", config.data.source, config.data.revision, "data.source", offline_ok)


def _embedder(config: RefineConfig, offline_ok: bool) -> Artifact | None:
    if not isinstance(config.differs, EmbeddingDiffers):
        return None
    path = identity.location(ModelConfig(source=config.differs.model), "differs.model")
    if path is None:
        return identity.of_hub("model", config.differs.model, None, "differs.model", offline_ok)
    if not (path / "modules.json").is_file():
        raise ConfigError(
            f"differs.model: {config.differs.model!r} is no sentence-transformers model: it holds no modules.json; "
            "give a folder or a hub id"
        )
    return content_of(path)
