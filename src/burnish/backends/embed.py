"""Sentence embeddings through sentence-transformers: how far apart two texts are."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from burnish.backends import Progress
from burnish.errors import BackendError

INSTALL = "pip install 'burnish[embed]'"
BATCH = 64


class Embedder:
    """Loads a model when it is first asked; a local folder, or a hub id."""

    def __init__(self, model: str, device: str | None, progress: Progress) -> None:
        self.model, self.device, self.progress = model, device, progress

    def distances(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[float]]:
        """Yield for batches of pairs of texts their cosine distance, 0 (alike) to 2.

        Raises BackendError where the library or the model is missing.
        """
        if not pairs:
            return
        if importlib.util.find_spec("sentence_transformers") is None:
            raise BackendError(f"sentence-transformers is not installed and is needed to embed; install: {INSTALL}")
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 takes seconds to import

        try:
            encoder = SentenceTransformer(str(Path(self.model).expanduser()), device=self.device)
        except (OSError, ValueError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise BackendError(
                f"differs.model: {self.model!r} cannot be loaded: {first}; give a sentence-transformers folder or a "
                "hub id"
            ) from error
        self.progress.start("embedding", len(pairs))
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            texts = [text for pair in batch for text in pair]
            vectors_ND = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
            yield [max(0.0, 1.0 - float(vectors_ND[2 * i] @ vectors_ND[2 * i + 1])) for i in range(len(batch))]
            self.progress.advance(len(batch))
