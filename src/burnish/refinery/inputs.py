"""What a refinement names, found before anything is spent: the dataset, the model, the annotators' models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from burnish.config import OracleConfig, RefineConfig, WantedModel
from burnish.errors import ConfigError
from burnish.forms.table import Table, open_table
from burnish.inputs.distances import embedder_of
from burnish.inputs.models import FoundModels, find_models
from burnish.refinery.referee import referee_of
from burnish.refinery.refusals import refused_rows
from burnish.store import identity
from burnish.tasks.own import Known
from burnish.types import Artifact

STUDENT, ANNOTATOR, AUDITOR = "model", "annotator", "audit.by"
"""The fields of the config that name models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a refinement works on. `models` goes by the field of the config that names each.

    `refused` is {position: why} of rows that the chat template of a model cannot take.
    """

    config: RefineConfig
    table: Table
    refused: Mapping[int, str]
    source: Artifact
    referee: Known
    """Who compares answers with the reference column."""
    models: FoundModels
    embedder: Artifact | None

    @property
    def unresolved(self) -> list[str]:
        """The hub ids that are known by name alone, since nobody could be asked for their commit."""
        known = [self.source.fingerprint, *self.models.identities]
        return identity.unresolved([*known, *([self.embedder.fingerprint] if self.embedder else [])])


def find(config: RefineConfig, offline_ok: bool) -> Found:
    """Open the dataset and find the models; a dry run may leave hub ids unresolved. Raises ConfigError, DataError."""
    config = _with_reference(config)
    table = open_table(config.data)
    models = find_models(_wanted(config), config.execution, offline_ok)
    return Found(
        config=config,
        table=table,
        refused=refused_rows(table, config.data, models),
        source=_source(table, config, offline_ok),
        referee=referee_of(config, table),
        models=models,
        embedder=embedder_of(config.differs, offline_ok),
    )


def _wanted(config: RefineConfig) -> Iterator[WantedModel]:
    yield WantedModel(STUDENT, config.model)
    if config.annotator is not None:
        yield from config.annotator.models(ANNOTATOR, simulated=False)
    if config.audit is not None:
        yield from config.audit.by.models(AUDITOR, simulated=False)


def _with_reference(config: RefineConfig) -> RefineConfig:
    """Let an oracle's column be the reference; there is one."""
    asked = [(ANNOTATOR, one) for one in config.annotators]
    asked += [(AUDITOR, config.audit.by)] if config.audit is not None else []
    columns = [(f"{field} ({one.kind})", one.column) for field, one in asked if isinstance(one, OracleConfig)]
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
