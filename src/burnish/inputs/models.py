"""Models that a config names, found before anything is spent: where they are, what identifies them, how they end."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from burnish import backends
from burnish.config import (
    DType,
    Execution,
    ModelConfig,
    Template,
    WantedModel,
    expanded,
)
from burnish.errors import BackendError
from burnish.models import location
from burnish.models.adapter import beneath, check_adapter, content_of_adapter
from burnish.models.card import CARD
from burnish.models.checks import check_files
from burnish.steps.basic import Steps
from burnish.store import identity
from burnish.types import Artifact, Head


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model with its commit and number format, the identity of its weights, and what it ends in.

    `trained`: it is a folder that burnish trained, which is used as it is.
    """

    model: ModelConfig
    weights: Artifact
    head: Head = Head.NONE
    trained: bool = False

    def artifact(self, steps: Steps) -> Artifact:
        """Return the model as an artifact: the stage that describes it, or the trained folder."""
        if self.trained:
            path = location.find(self.model)
            return Artifact(path=str(path), kind="trained", fingerprint=self.weights.fingerprint)
        return steps.base(self.model, self.weights, self.head)


@dataclass(frozen=True, slots=True)
class FoundModels:
    """All models of a run by the field of the config that names each, such as `models.weak` or `annotator.model`."""

    by_field: Mapping[str, FoundModel]

    def __getitem__(self, field: str) -> FoundModel:
        return self.by_field[field]

    def __contains__(self, field: object) -> bool:
        return field in self.by_field

    def settings(self, field: str, default: ModelConfig) -> ModelConfig:
        """Return the resolved settings of a field's model, `default` where none was found under it."""
        return self.by_field[field].model if field in self.by_field else default

    @property
    def sources(self) -> dict[str, ModelConfig]:
        """Where each base model is, by its content."""
        return {one.weights.fingerprint: one.model for one in self.by_field.values() if not one.trained}

    @property
    def identities(self) -> list[str]:
        """What identifies the weights of each."""
        return [one.weights.fingerprint for one in self.by_field.values()]


def find_models(wanted: Iterable[WantedModel], execution: Execution, offline_ok: bool) -> FoundModels:
    """Find models and what identifies their weights, before anything is spent.

    A folder that burnish trained is used as it is where an annotator brings it. `offline_ok`: an unresolved hub id is
    no error (a dry run). Raises ConfigError naming the field, and BackendError where the hub does not answer.
    """
    return FoundModels({one.field: _found(one, execution, offline_ok) for one in wanted})


def _found(one: WantedModel, execution: Execution, offline_ok: bool) -> FoundModel:
    path = location.find(one.model, one.field)
    if one.as_it_is and path is not None and (path / CARD).is_file():
        check_files(one.model, path, one.field)
        return FoundModel(model=one.model, weights=content_of(path), head=one.head, trained=True)
    model, weights = resolve_model(one.model, one.field, execution, offline_ok)
    return FoundModel(model=model, weights=weights, head=one.head)


def resolve_model(
    model: ModelConfig, where: str, execution: Execution, offline_ok: bool
) -> tuple[ModelConfig, Artifact]:
    """Return a model with its commit, number format and end of an answer filled in, and the identity of its weights.

    `where` is the field that names it, for errors. `offline_ok`: an unresolved hub id is no error (a dry run).
    """
    path = location.check(model, where)
    adapter = path if path is not None and location.is_adapter(path) else None
    check_adapter(model, adapter, where)
    if path is not None:
        check_files(model, path, where)
    whole = model if adapter is None else beneath(model, adapter, where)
    revision, weights = _whole_weights(whole, where, offline_ok)
    if adapter is not None and not identity.unresolved([weights.fingerprint]):
        weights = replace(weights, fingerprint=content_of_adapter(adapter, weights.fingerprint))
    if revision is not None:
        model = model.model_copy(update={"revision": revision})
    model = model.model_copy(update={"dtype": _dtype(model, execution, offline_ok)})
    return model.model_copy(update={"end": _end(model, path, weights, offline_ok)}), weights


def _whole_weights(model: ModelConfig, where: str, offline_ok: bool) -> tuple[str | None, Artifact]:
    """Return the commit of a model on the hub, None for a local one, and the identity of the weights."""
    path = location.check(model, where)
    if path is not None:
        check_files(model, path, where)
        return None, content_of(path)
    weights = identity.of_hub("model", expanded(model.source, where), model.revision, where, offline_ok)
    commit = weights.fingerprint.removeprefix("hub:")
    return (None if identity.unresolved([commit]) else commit), weights


@functools.cache
def content_of(path: Path) -> Artifact:
    """Identify a file or folder by its content, read once a process."""
    return identity.of_files([path])


def _end(model: ModelConfig, path: Path | None, weights: Artifact, offline_ok: bool) -> str | None:
    """Return the token that ends an answer, None where it is the tokenizer's end of a sequence.

    A tokenizer is only loaded where the answer may be another one: that takes seconds.
    """
    if (model.end is None and not _may_chat(model, path)) or identity.unresolved([weights.fingerprint]):
        return model.end
    try:
        return backends.end_of(model)
    except BackendError:
        if offline_ok:
            return model.end
        raise


def _may_chat(model: ModelConfig, path: Path | None) -> bool:
    """Say whether a model may read prompts through a chat template. A model on the hub may."""
    match model.template:
        case Template.CHAT:
            return True
        case Template.AUTO:
            if model.chat_template is not None or path is None or location.may_have_template(path):
                return True
            return location.is_adapter(path) and _may_chat(beneath(model, path), location.find(beneath(model, path)))
        case Template.PAPER | Template.EMBEDDED:
            return False


def _dtype(model: ModelConfig, execution: Execution, offline_ok: bool) -> DType:
    if model.dtype is not DType.AUTO:
        return model.dtype
    if model.source.startswith(location.BUILTIN):  # 0.1M parameters: bfloat16 is ten times slower on a CPU
        return DType.FLOAT32
    try:
        return backends.fast_dtype(execution)
    except BackendError:
        if offline_ok:
            return DType.AUTO
        raise
