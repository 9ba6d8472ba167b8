"""Base models, found before anything is spent: where they are, what identifies them, which number format they get."""

from __future__ import annotations

import functools
from pathlib import Path

from burnish import backends, identity
from burnish.config import DType, Execution, ModelConfig, expanded
from burnish.errors import BackendError
from burnish.types import Artifact


def resolve_model(
    model: ModelConfig, where: str, execution: Execution, offline_ok: bool
) -> tuple[ModelConfig, Artifact]:
    """Return a model with its commit and number format filled in, and the identity of its weights.

    `where` is the field that names it, for errors. `offline_ok`: an unresolved hub id is no error (a dry run).
    """
    path = identity.check_model(model, where)
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
    if model.source.startswith(identity.BUILTIN):  # 0.1M parameters: bfloat16 is ten times slower on a CPU
        return DType.FLOAT32
    try:
        return backends.fast_dtype(execution)
    except BackendError:
        if offline_ok:
            return DType.AUTO
        raise
