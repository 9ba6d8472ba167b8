"""Finds the models that a config names, before anything is spent: where they are, their identity, and their head."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from burnish import backends
from burnish.backends.served.host import ServedModel
from burnish.backends.tracking import check_trackers
from burnish.config import (
    DType,
    Execution,
    ModelConfig,
    Template,
    WantedModel,
    expanded,
)
from burnish.errors import BackendError
from burnish.inputs.feasible import check_processes
from burnish.inputs.found import FoundModel
from burnish.inputs.served import sent_to_servers, with_servers
from burnish.models import location
from burnish.models.adapter import beneath, check_adapter, content_of_adapter
from burnish.models.card import CARD, Weights, read_card
from burnish.models.checks import check_files
from burnish.store import identity
from burnish.store.known_hashes import KnownHashes
from burnish.types import Artifact


@dataclass(frozen=True, slots=True)
class FoundModels:
    """All models of a run. The key is the config field that names the model, such as `models.weak` or
    `annotator.model`."""

    by_field: Mapping[str, FoundModel]

    def __getitem__(self, field: str) -> FoundModel:
        return self.by_field[field]

    def __contains__(self, field: object) -> bool:
        return field in self.by_field

    def settings(self, field: str, default: ModelConfig) -> ModelConfig:
        """Return the resolved settings of the model that a field names, or `default` if the field names no model."""
        return self.by_field[field].model if field in self.by_field else default

    @property
    def sources(self) -> dict[str, ModelConfig]:
        """Return {fingerprint of the weights: settings} of each base model. The settings say where the model is."""
        return {found.weights.fingerprint: found.model for found in self.by_field.values() if not found.trained}

    @property
    def identities(self) -> list[str]:
        """The fingerprint of the weights of each model, and the version of each server."""
        weights = [found.weights.fingerprint for found in self.by_field.values()]
        return [*weights, *(one.serving.version for one in self.by_field.values() if one.serving is not None)]

    @property
    def hosts(self) -> list[ServedModel]:
        """The servers of models that are served. Each is there once."""
        return list(dict.fromkeys(host for one in self.by_field.values() if (host := one.host) is not None))

    def sent(self) -> tuple[str, ...]:
        """Return a line for each server on another machine that answers in a model's place: what is sent there."""
        return tuple(sent_to_servers(self.by_field.values()))

    def rest(self) -> None:
        """Stop all servers that burnish started. They start again when they are needed."""
        for host in self.hosts:
            host.rest()


def find_models(
    wanted: Iterable[WantedModel], execution: Execution, offline_ok: bool, known: KnownHashes | None = None
) -> FoundModels:
    """Find models and the identity of their weights, before anything is spent. Weights that are `known` and unchanged
    are not hashed again. Also check that the programs which get metrics are installed.

    A folder that burnish trained is accepted for an annotator that uses its model without training. With `offline_ok`
    (a dry run), a hub id whose commit is unknown is not an error. Raises ConfigError, which names the field, if a model
    cannot be used, and BackendError if the hub does not answer.
    """
    check_trackers(execution)
    check_processes(execution)
    found = {model.field: _found(model, execution, offline_ok, known) for model in wanted}
    return FoundModels(with_servers(found, execution, offline_ok))


def _found(wanted: WantedModel, execution: Execution, offline_ok: bool, known: KnownHashes | None) -> FoundModel:
    path = location.find(wanted.model, wanted.field)
    # A model that is trained starts from a base model (Algorithm 1), so only one that is used as it is may be such a
    # folder.
    if wanted.as_it_is and path is not None and (path / CARD).is_file():
        check_files(wanted.model, path, wanted.field)
        _check_beneath(path, wanted.field)
        return FoundModel(
            model=wanted.model, weights=content_of(path, known), head=wanted.head, trained=True, as_it_is=True
        )
    model, weights = resolve_model(wanted.model, wanted.field, execution, offline_ok, known)
    return FoundModel(model=model, weights=weights, head=wanted.head, as_it_is=wanted.as_it_is)


def _check_beneath(trained: Path, field: str) -> None:
    """Check the base model that a folder which burnish trained still needs. Raises ConfigError naming `field`."""
    card = read_card(trained)
    if card.weights is Weights.FULL:
        return
    base = location.check(card.base, field)
    if base is not None:
        check_files(card.base, base, field)


def resolve_model(
    model: ModelConfig, where: str, execution: Execution, offline_ok: bool, known: KnownHashes | None = None
) -> tuple[ModelConfig, Artifact]:
    """Return a model with its commit, number format and end of an answer filled in, and the identity of its weights.

    `where` is the config field that names the model, for errors. With `offline_ok` (a dry run), a hub id whose commit
    is unknown is not an error. Raises as `find_models` does.
    """
    path = location.check(model, where)
    adapter = path if path is not None and location.is_adapter(path) else None
    # First the checks that read little, then the files of weights, which may have many gigabytes.
    check_adapter(model, adapter, where)
    if path is not None:
        check_files(model, path, where)
    # An adapter's folder holds no whole weights: its identity is that of both, its own and those of its base.
    whole = model if adapter is None else beneath(model, adapter, where)
    revision, weights = _whole_weights(whole, where, offline_ok, known)
    # In a dry run without network the base may be unknown, and then the identity of both is unknown, too.
    if adapter is not None and not identity.unresolved([weights.fingerprint]):
        weights = replace(weights, fingerprint=content_of_adapter(adapter, weights.fingerprint, known))
    # From here on the commit is used, so that a new commit on the hub does not change a run.
    if revision is not None:
        # For an adapter this is the commit of its base, which `beneath` reads from here.
        model = model.model_copy(update={"revision": revision})
    model = model.model_copy(update={"dtype": _dtype(model, execution, offline_ok)})
    if not offline_ok:
        backends.check_loading(model, execution)
    # Last, since the tokenizer that tells the end is loaded at the commit that was found.
    return model.model_copy(update={"end": _end(model, path, weights, offline_ok)}), weights


def _whole_weights(
    model: ModelConfig, where: str, offline_ok: bool, known: KnownHashes | None
) -> tuple[str | None, Artifact]:
    """Return the commit of a model on the hub, None for a local one, and the identity of the weights."""
    path = location.check(model, where)
    if path is not None:
        check_files(model, path, where)
        return None, content_of(path, known)
    weights = identity.of_hub("model", expanded(model.source, where), model.revision, where, offline_ok)
    commit = weights.fingerprint.removeprefix("hub:")
    return (None if identity.unresolved([commit]) else commit), weights


@functools.cache
def content_of(path: Path, known: KnownHashes | None = None) -> Artifact:
    """Identify a file or folder by its content. It is read once in a process, because weights can have many
    gigabytes."""
    return identity.of_files([path], known)


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


def reward_doubts(found: FoundModel) -> Iterator[str]:
    """Yield what may be wrong with a reward model of somebody else.

    Without a chat template nobody knows which text it was trained to read. With one token as pad and as end, the end of
    an answer does not count. A reward model that burnish trained has neither fault.

    Raises BackendError if its files or a library are missing.
    """
    name = found.model.source
    if found.trained or name.startswith(location.BUILTIN):
        return
    if found.model.template is Template.AUTO and backends.chat_of(found.model) is None:
        yield (
            f"warning: {name}: the reward model's tokenizer has no chat template, so prompts are written as USER: and "
            "ASSISTANT:; if it was trained on another text, put its template into the tokenizer"
        )
    if backends.reads_before_end(found.model):
        yield (
            f"warning: {name}: the pad token of the reward model is also its end token, so its head reads the token "
            "before the end: an answer that was cut has the same reward as one that ended. If it was trained with "
            "another pad token, name that one as pad_token in its tokenizer_config.json"
        )


def _may_chat(model: ModelConfig, path: Path | None) -> bool:
    """Say whether a model may read prompts through a chat template. A model on the hub may."""
    match model.template:
        case Template.CHAT:
            return True
        case Template.AUTO:
            if model.chat_template is not None or path is None or location.may_have_template(path):
                return True
            # An adapter's folder may hold no template. Then that of its base counts.
            return location.is_adapter(path) and _may_chat(beneath(model, path), location.find(beneath(model, path)))
        case Template.PAPER | Template.EMBEDDED:
            return False


def _dtype(model: ModelConfig, execution: Execution, offline_ok: bool) -> DType:
    if model.dtype is not DType.AUTO:
        return model.dtype
    # The built-in models have 0.1 million parameters. For them bfloat16 is ten times slower than float32 on a CPU.
    if model.source.startswith(location.BUILTIN):
        return DType.FLOAT32
    try:
        return backends.fast_dtype(execution)
    except BackendError:
        if offline_ok:  # a dry run must also work where no backend is installed
            return DType.AUTO
        raise
