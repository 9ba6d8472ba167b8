"""Measures how different two texts are, with sentence embeddings from sentence-transformers."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.errors import BackendError

INSTALL = "pip install 'burnish[embed]'"
BATCH = 64


class Embedder:
    """Embeds texts with a model. It is a local folder, or a hub id at a commit, and is loaded at the first use."""

    def __init__(self, model: str, commit: str | None, device: str | None) -> None:
        self.model, self.commit, self.device = model, commit, device

    def distances(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[float]]:
        """Yield the cosine distances of pairs of texts, from 0 (equal direction) to 2, one batch of pairs at a time.

        Raises BackendError if the library is missing, or if the model cannot be loaded.
        """
        if not pairs:
            return
        encoder = self._encoder()
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            # The two texts of pair i are at the positions 2i and 2i + 1.
            texts = [text for pair in batch for text in pair]
            vectors_ND = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
            # The vectors have length 1, so their product is the cosine. Rounding can make it a little larger than 1.
            yield [max(0.0, 1.0 - float(vectors_ND[2 * i] @ vectors_ND[2 * i + 1])) for i in range(len(batch))]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the unit vectors of texts, of the shape (texts, numbers of a vector). Raises as `distances` does."""
        found: Any = self._encoder().encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(found, dtype=np.float64)

    def _encoder(self) -> Any:
        if importlib.util.find_spec("sentence_transformers") is None:
            raise BackendError(f"sentence-transformers is not installed and is needed to embed; install: {INSTALL}")
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 takes seconds to import

        try:
            return SentenceTransformer(str(Path(self.model).expanduser()), revision=self.commit, device=self.device)
        except (OSError, ValueError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise BackendError(
                f"differs.model: {self.model!r} cannot be loaded: {first}; give a sentence-transformers folder or a "
                "hub id"
            ) from error
