"""Builds what measures how far apart labels and proposals are, both for `refine` and for experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, assert_never

from burnish.algorithms.comparisons import request_text
from burnish.annotators.program import said
from burnish.backends import Progress
from burnish.backends.embed import Embedder
from burnish.config import (
    AnswerDiffers,
    CommandDiffers,
    Differs,
    EmbeddingDiffers,
    EmbeddingServerDiffers,
    Execution,
    ModelConfig,
    NumberDiffers,
    TaskDiffers,
    TextDiffers,
    expanded,
)
from burnish.errors import ConfigError
from burnish.inputs.models import content_of
from burnish.models import location
from burnish.models.checks import MODULES, check_embedder
from burnish.perturbations.resources import EmbeddedBy
from burnish.protocols import Score
from burnish.services.embeddings import EmbeddingServer
from burnish.services.program import Program, converse, gathered, identified, on_stderr
from burnish.steps.setting import Differing, TextPair
from burnish.store import identity
from burnish.store.known_hashes import KnownHashes
from burnish.types import Artifact

AnyDiffers: TypeAlias = Differs | TaskDiffers
"""The settings `differs` of a refinement or an experiment."""
FIELD = "differs"
"""The field that holds these settings in both configs. Errors name it."""


class Embeds(Protocol):
    """Measures how far apart two texts are."""

    def distances(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[float]]:
        """Yield the cosine distances of the pairs of texts in batches, from 0 (equal) to 2."""
        ...


def embedder_of(differs: AnyDiffers, offline_ok: bool, known: KnownHashes | None = None) -> Artifact | None:
    """Check the model or server that makes embeddings before anything is spent, and identify a model on this machine.

    A folder is identified by its content, and a hub id by its commit. None is returned for a server, whose address and
    model name are settings of the stage, and for settings that need no embeddings. Raises ConfigError if a folder is
    not a sentence-transformers model, or, unless `offline_ok` (a dry run), if a server's key is missing. Raises
    BackendError if the hub does not answer, and AnnotatorError if the package openai is not installed.
    """
    match differs:
        case EmbeddingDiffers(model=model):
            return _local(model, offline_ok, known)
        case EmbeddingServerDiffers():
            if not offline_ok:
                EmbeddingServer(differs)  # otherwise a missing key would only be noticed after hours of training
            return None
        case AnswerDiffers() | TextDiffers() | NumberDiffers() | CommandDiffers():
            return None
        case _:
            assert_never(differs)


def _local(model: str, offline_ok: bool, known: KnownHashes | None) -> Artifact:
    field = f"{FIELD}.model"
    # A local path is looked for first; what is not there counts as a hub id.
    path = location.find(ModelConfig(source=model), field)
    if path is None:
        return identity.of_hub("model", model, None, field, offline_ok)
    # sentence-transformers lists the parts of a model in this file. A plain language model has none.
    if not (path / MODULES).is_file():
        raise ConfigError(
            f"{field}: {model!r} is no sentence-transformers model: it holds no modules.json; give a folder or a hub id"
        )
    check_embedder(path, field)
    return content_of(path, known)


def differing_of(
    differs: AnyDiffers,
    embedder: Artifact | None,
    execution: Execution,
    progress: Progress,
    say: Callable[[str], None] = on_stderr,
) -> Differing | None:
    """Return what measures distances, or None if comparing the answers themselves is enough.

    `embedder` is what `embedder_of` returned. A model is loaded, or a server is asked, only when something is measured.
    `say` gets messages about odd answers of a program.
    """
    match differs:
        case AnswerDiffers() | TextDiffers() | NumberDiffers():
            return None
        case CommandDiffers(command=command, timeout=timeout):
            # The timeout is no part of the identity, so that it can be raised without asking the program again.
            described, inputs = identified(command)
            program = Program(command=command, field=f"{FIELD}.command", timeout=timeout, say=say)
            return Differing(
                config=described, inputs=inputs, measure=lambda pairs: _told_apart(program, pairs), outside=True
            )
        case EmbeddingDiffers(model=model, share=share):
            assert embedder is not None, model
            place, device = expanded(model, f"{FIELD}.model"), None if execution.device == "auto" else execution.device
            # A hub model is loaded at the commit that identifies it, even if the hub has a newer one by now.
            commit = embedder.fingerprint.removeprefix("hub:") if embedder.kind == "hub" else None
            return Differing(
                # The model is an input, known by its content. Its path is left out, so that a moved folder gives the
                # same stage.
                config={"kind": "embedding"},
                inputs={"embedder": embedder},
                measure=lambda pairs: _measured(lambda: Embedder(place, commit, device), progress, pairs),
                share=share,
            )
        case EmbeddingServerDiffers(base_url=base_url, model=model, share=share):
            return Differing(
                # Nobody can see the weights behind a server, so its address and the model's name identify it.
                config={"kind": "embedding_server", "base_url": base_url, "model": model},
                inputs={},
                measure=lambda pairs: _measured(lambda: EmbeddingServer(differs), progress, pairs),
                share=share,
                outside=True,
            )
        case _:
            assert_never(differs)


def _told_apart(program: Program, pairs: Sequence[TextPair]) -> Iterator[Sequence[Score]]:
    questions = (
        {"id": pair.id, "prompt": request_text(pair.prompt), "current": pair.current, "proposal": pair.proposal}
        for pair in pairs
    )
    answers = converse(program, questions, lambda answer: said(answer, "differs", program.field))
    # The program only says whether two answers differ, which becomes the distance 1 or 0.
    yield from gathered(Score(id=id_, value=float(differs), tokens=0) for id_, differs in answers)


def _measured(make: Callable[[], Embeds], progress: Progress, pairs: Sequence[TextPair]) -> Iterator[Sequence[Score]]:
    """Yield the distances batch by batch. A batch can be kept on disk before the next one is measured."""
    # Before `make` is called, which loads a model.
    if not pairs:
        return
    progress.start("embedding", len(pairs))
    # The distances come in the order of the pairs but in batches of any size, so an iterator gives each its id.
    waiting = iter(pairs)
    for batch in make().distances([(pair.current, pair.proposal) for pair in pairs]):
        yield [Score(id=next(waiting).id, value=value, tokens=0) for value in batch]
        progress.advance(len(batch))


def embedded_by(differs: EmbeddingDiffers | EmbeddingServerDiffers, execution: Execution) -> EmbeddedBy:
    """Return what turns texts into vectors, and what identifies it. Raises as `embedder_of` does."""
    embedder = embedder_of(differs, offline_ok=False)
    match differs:
        case EmbeddingDiffers(model=model):
            assert embedder is not None, model
            place, device = expanded(model, f"{FIELD}.model"), None if execution.device == "auto" else execution.device
            commit = embedder.fingerprint.removeprefix("hub:") if embedder.kind == "hub" else None
            # As in `differing_of`, the model is known by its content, and a server by its address.
            return EmbeddedBy(
                config={"kind": "embedding"},
                inputs={"embedder": embedder},
                vectors=lambda texts: Embedder(place, commit, device).vectors(texts),
            )
        case EmbeddingServerDiffers(base_url=base_url, model=model):
            return EmbeddedBy(
                config={"kind": "embedding_server", "base_url": base_url, "model": model},
                vectors=lambda texts: EmbeddingServer(differs).vectors(texts),
                outside=True,
            )
