"""Everything that a refinement names: the dataset, the model, and the annotators' models. It is found before anything
is spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from burnish.config import CommandDiffers, FileProposals, OracleConfig, RefineConfig, WantedModel, WantedProgram
from burnish.errors import ConfigError
from burnish.forms.table import DataTable, open_table
from burnish.inputs.distances import FIELD as DIFFERS
from burnish.inputs.distances import embedder_of
from burnish.inputs.feasible import check_programs, in_one_process
from burnish.inputs.models import FoundModels, find_models
from burnish.refinery.proposals import ProposalsFile, find_file
from burnish.refinery.referee import referee_of
from burnish.refinery.refusals import refused_rows
from burnish.store import identity
from burnish.store.known_hashes import KnownHashes
from burnish.tasks.own import Known
from burnish.types import Artifact

STUDENT, ANNOTATOR, AUDITOR = "model", "annotator", "audit.by"
"""The fields of the config that name models."""
CHECKER = "method.checker"
"""The field that names the program of the method `verified`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementInputs:
    """What a refinement works on. `models` are found by the field of the config that names each.

    `refused` is {position: reason} for the rows that the chat template of a model cannot take.
    """

    config: RefineConfig
    table: DataTable
    refused: Mapping[int, str]
    source: Artifact
    referee: Known
    """Who compares answers with the reference column."""
    models: FoundModels
    embedder: Artifact | None
    proposals: ProposalsFile | None

    @property
    def unresolved(self) -> list[str]:
        """The hub ids that are known by name alone, because the hub could not be asked for their commit."""
        known = [self.source.fingerprint, *self.models.identities]
        return identity.unresolved([*known, *([self.embedder.fingerprint] if self.embedder else [])])


def find(config: RefineConfig, offline_ok: bool, known: KnownHashes | None = None) -> RefinementInputs:
    """Open the dataset and find the models.

    If `offline_ok` is true (a dry run), hub ids may stay unresolved. Files that are `known` and unchanged are not
    hashed again. Raises ConfigError naming the field, DataError if the data cannot be read, BackendError if the hub
    does not answer.
    """
    # First of all, since the table reads the reference column, too.
    config = _with_reference(config)
    check_programs(_programs(config))
    execution = in_one_process(config.execution, "a refinement")
    table = open_table(config.data)
    models = find_models(_wanted(config), execution, offline_ok, known)
    return RefinementInputs(
        config=config,
        table=table,
        refused=refused_rows(table, config.data, models),
        source=_source(table, config, offline_ok),
        referee=referee_of(config, table),
        models=models,
        embedder=embedder_of(config.differs, offline_ok, known),
        proposals=_proposals(config, known),
    )


def _proposals(config: RefineConfig, known: KnownHashes | None) -> ProposalsFile | None:
    """Return the file with proposals, or None if the config names none."""
    given = config.proposals
    return find_file(given, config.data, known) if isinstance(given, FileProposals) else None


def _wanted(config: RefineConfig) -> Iterator[WantedModel]:
    """Yield every model that a refinement names, with its field."""
    if config.model is not None:
        yield WantedModel(STUDENT, config.model)
    if config.annotator is not None:
        yield from config.annotator.models(ANNOTATOR, simulated=False)
    if config.audit is not None:
        yield from config.audit.by.models(AUDITOR, simulated=False)


def _programs(config: RefineConfig) -> Iterator[WantedProgram]:
    """Yield every program that a refinement runs, with its field."""
    # The annotator of a method that asks nobody is never run.
    if config.annotator is not None and config.method.asks_annotator:
        yield from config.annotator.programs(ANNOTATOR)
    if config.audit is not None:
        yield from config.audit.by.programs(AUDITOR)
    if config.method.program is not None:
        yield WantedProgram(CHECKER, config.method.program)
    if isinstance(config.differs, CommandDiffers):
        yield WantedProgram(f"{DIFFERS}.command", config.differs.command)


def _with_reference(config: RefineConfig) -> RefineConfig:
    """Make the column of an oracle the reference column, since there is only one. Raises ConfigError if two columns are
    named, or if rows are held out and no column is named."""
    asked = [(ANNOTATOR, annotator) for annotator in config.annotators]
    asked += [(AUDITOR, config.audit.by)] if config.audit is not None else []
    columns = [
        (f"{field} ({annotator.kind})", annotator.column)
        for field, annotator in asked
        if isinstance(annotator, OracleConfig)
    ]
    reference = config.data.reference_column
    for field, column in columns:
        # Accuracies are measured by the reference column. With two columns, an oracle's verdicts and the measure would
        # disagree.
        if reference not in {None, column}:
            raise ConfigError(
                f"{field}: the column {column!r} found, but the reference is {reference!r}; name one column for both"
            )
        reference = column
    if config.holdout is not None and reference is None:
        raise ConfigError(
            f"holdout: {config.holdout} found, but no column has right answers, so nothing could be measured; name one "
            "with --reference COLUMN"
        )
    return config.model_copy(update={"data": config.data.model_copy(update={"reference_column": reference})})


def _source(table: DataTable, config: RefineConfig, offline_ok: bool) -> Artifact:
    """Return the identity of the dataset: by content for files, by commit for a dataset on the hub."""
    if table.files:
        return identity.of_files(table.files)
    return identity.of_hub("dataset", config.data.source, config.data.revision, "data.source", offline_ok)
