"""Models that a config names, found before anything is spent: where they are, what identifies them, how they end."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish import backends
from burnish.config import (
    DType,
    Execution,
    GivenAnnotator,
    GivenClassifierConfig,
    GivenLikelihoodConfig,
    ModelConfig,
    ReferenceJudge,
    RewardModelConfig,
    expanded,
)
from burnish.errors import BackendError
from burnish.models import location
from burnish.models.card import CARD, Head
from burnish.steps.basic import Steps
from burnish.store import identity
from burnish.types import Artifact

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


def judging_models(
    annotators: Sequence[GivenAnnotator | ReferenceJudge], field: str = "annotator"
) -> dict[str, FoundModel]:
    """Return the models that annotators bring, unresolved, by the name that errors give each."""
    unknown = Artifact(path="", kind="", fingerprint="")
    return {
        judge_field(one.model, field): FoundModel(model=one.model, weights=unknown, head=HEADS[one.kind])
        for one in annotators
        if isinstance(one, GivenClassifierConfig | RewardModelConfig | GivenLikelihoodConfig)
    }


def judge_field(model: ModelConfig, field: str = "annotator") -> str:
    """Name a judging model in errors; several annotators may vote."""
    return f"{field}.model {model.source}"


def resolved_judge(found: FoundModel, execution: Execution, offline_ok: bool, field: str) -> FoundModel:
    """Find a judging model and what identifies its weights; one that burnish trained is used as it is."""
    path = location.find(found.model, field)
    if path is not None and (path / CARD).is_file():
        return dataclasses.replace(found, weights=content_of(path), trained=True)
    model, weights = resolve_model(found.model, field, execution, offline_ok)
    return dataclasses.replace(found, model=model, weights=weights)


def base_of(steps: Steps, found: FoundModel) -> Artifact:
    """Return a found model as an artifact."""
    if found.trained:
        path = location.find(found.model)
        return Artifact(path=str(path), kind="trained", fingerprint=found.weights.fingerprint)
    return steps.base(found.model, found.weights, found.head)


def resolve_model(
    model: ModelConfig, where: str, execution: Execution, offline_ok: bool
) -> tuple[ModelConfig, Artifact]:
    """Return a model with its commit and number format filled in, and the identity of its weights.

    `where` is the field that names it, for errors. `offline_ok`: an unresolved hub id is no error (a dry run).
    """
    path = location.check(model, where)
    if path is None:
        source = expanded(model.source, where)
        weights = identity.of_hub("model", source, model.revision, where, offline_ok)
        commit = weights.fingerprint.removeprefix("hub:")
        if not commit.startswith(identity.UNRESOLVED):
            model = model.model_copy(update={"revision": commit})
    else:
        weights = content_of(path)
    return model.model_copy(update={"dtype": _dtype(model, execution, offline_ok)}), weights


@functools.cache
def content_of(path: Path) -> Artifact:
    """Identify a file or folder by its content, read once a process."""
    return identity.of_files([path])


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
