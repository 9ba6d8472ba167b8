"""What a refinement names, found before anything is spent: the dataset, the model, the annotators' models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from burnish.config import ColumnConfig, ModelConfig, RefineConfig
from burnish.errors import ConfigError
from burnish.forms.table import Table, open_table
from burnish.inputs.distances import embedder_of
from burnish.inputs.models import FoundModel, judging_models, resolve_model, resolved_judge
from burnish.store import identity
from burnish.types import Artifact

STUDENT = "model"
"""The field of the config that names the model that is finetuned."""


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
    student, weights = resolve_model(config.model, STUDENT, config.execution, offline_ok)
    judges = judging_models(config.annotators)
    return Found(
        config=config,
        table=table,
        source=_source(table, config, offline_ok),
        models={
            STUDENT: FoundModel(model=student, weights=weights),
            **{field: resolved_judge(one, config.execution, offline_ok, field) for field, one in judges.items()},
        },
        embedder=embedder_of(config.differs, offline_ok),
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


def _source(table: Table, config: RefineConfig, offline_ok: bool) -> Artifact:
    if table.files:
        return identity.of_files(table.files)
    return identity.of_hub("dataset", config.data.source, config.data.revision, "data.source", offline_ok)
