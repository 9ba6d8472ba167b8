"""Distances between texts, from the embeddings of an OpenAI-compatible server (section 5.1, appendix C)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pydantic import BaseModel, ValidationError

from burnish.config import EmbeddingServerDiffers
from burnish.services.endpoint import Endpoint, Failure, Why
from burnish.services.failures import Advice, after_retries, error_of

if TYPE_CHECKING:
    import openai
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float64]

BLANK = " "
"""This is sent in place of a text that is empty or has only white space, because OpenAI refuses an empty text."""


class _Embedding(BaseModel):
    embedding: list[float]
    index: int | None = None


class _Reply(BaseModel):
    data: list[_Embedding]


class EmbeddingServer:
    """Asks a server for the vectors of texts, one request after the other.

    Raises ConfigError if the API key is missing or the address is wrong, and AnnotatorError if the package openai is
    not installed.
    """

    def __init__(self, config: EmbeddingServerDiffers) -> None:
        self.config = config
        self._endpoint = Endpoint(config, "differs")
        self._pause = threading.Event().wait
        # Vectors of another length than before come from another model, for example after a restart of the server.
        self._length: int | None = None

    def distances(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[float]]:
        """Yield the cosine distances of the pairs of texts, from 0 (equal) to 2. Each batch is yielded at once.

        Equal texts of a batch are sent once. Raises AnnotatorError if the server refuses to answer, or does not answer
        after all retries.
        """
        sendable = ((a if a.strip() else BLANK, b if b.strip() else BLANK) for a, b in pairs)
        for batch in batches(sendable, self.config.batch_size):
            # One text can be in several pairs of a batch.
            texts = list(dict.fromkeys(text for pair in batch for text in pair))
            vector_of = dict(zip(texts, self._vectors(texts), strict=True))
            # Equal texts are exactly 0 apart, whatever the rounding of their vectors is: only a distance above 0 counts
            # as different.
            yield [0.0 if a == b else _distance(vector_of[a], vector_of[b]) for a, b in batch]

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return the unit vectors of texts, of the shape (texts, numbers of a vector).

        Equal texts are sent once. Raises as `distances` does.
        """
        sendable = [text if text.strip() else BLANK for text in texts]
        different = list(dict.fromkeys(sendable))
        vector_of = dict(zip(different, self._vectors(different), strict=True))
        return np.array([vector_of[text] for text in sendable])

    def _vectors(self, texts: Sequence[str]) -> Iterator[Vectors]:
        """Yield a unit vector for each text. With batch_size 1, even a single pair needs two requests."""
        for start in range(0, len(texts), self.config.batch_size):
            yield from self._asked(texts[start : start + self.config.batch_size])

    def _asked(self, texts: Sequence[str]) -> Vectors:
        def send(client: openai.OpenAI) -> str:
            create = client.embeddings.with_raw_response.create
            # The SDK's own choice is base64, which not every server knows.
            return create(model=self.config.model, input=list(texts), encoding_format="float").text

        outcome = self._endpoint.ask(send, lambda body: self._read(body, len(texts)), self._pause)
        if isinstance(outcome, Failure):
            raise error_of(self.config, "differs", outcome, _advice(self.config, outcome))
        self._length = outcome.shape[1]
        return outcome

    def _read(self, body: str, count: int) -> Vectors | Failure:
        try:
            return unit_vectors(body, count, self._length)
        except ValueError as error:
            return Failure(why=Why.UNANSWERED, text=self._endpoint.shown(str(error)))


def batches(pairs: Iterable[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    """Yield the pairs in order, in batches. A batch has at most `size` different texts, but at least one pair."""
    batch: list[tuple[str, str]] = []
    texts: set[str] = set()
    for pair in pairs:
        if batch and len(texts.union(pair)) > size:
            yield batch
            batch, texts = [], set()
        batch.append(pair)
        texts.update(pair)
    if batch:
        yield batch


def unit_vectors(body: str, count: int, length: int | None) -> Vectors:
    """Read `count` vectors from the body of a response. They are in the order of the texts and scaled to length 1.

    The shape is (count, numbers of a vector). `length` is how many numbers earlier vectors had, or None. Raises
    ValueError if the body does not hold such vectors. Its message says what came instead.
    """
    try:
        rows = _Reply.model_validate_json(body).data
    except ValidationError:
        raise ValueError(f"no embeddings came back: {body!r}") from None
    if len(rows) != count:
        raise ValueError(f"{len(rows)} vectors came back for {count} texts")
    # Servers may return the vectors in another order. `index` says to which text each belongs.
    places = [place if row.index is None else row.index for place, row in enumerate(rows)]
    if sorted(places) != list(range(count)):
        raise ValueError(f"vectors with the indexes {places} came back for {count} texts")
    lengths = sorted({len(row.embedding) for row in rows} | ({length} if length else set()))
    if len(lengths) > 1:
        raise ValueError(f"vectors of different length came back: of {lengths[0]} and of {lengths[-1]} numbers")
    vectors_ND = np.array([row.embedding for _, row in sorted(zip(places, rows, strict=True), key=lambda row: row[0])])
    with np.errstate(over="ignore"):  # an overflow gives infinity, which is refused below
        norms_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    if not (np.isfinite(norms_N1).all() and (norms_N1 > 0).all()):
        raise ValueError("a vector of zeros, or one that is not finite, came back")
    return vectors_ND / norms_N1


def _distance(a: Vectors, b: Vectors) -> float:
    # Rounding can bring the product of two unit vectors above 1, and the distance below 0.
    return float(np.clip(1.0 - a @ b, 0.0, 2.0))


def _advice(config: EmbeddingServerDiffers, failure: Failure) -> Advice:
    address, model, words = config.base_url, config.model, failure.text
    return Advice(
        unanswered=f"differs.base_url: {address} gives no embeddings ({words})"
        f"{after_retries(config.retries)}; check the server or correct the address, then run again",
        refused=f"differs.model: {address} refuses what {model!r} is sent ({words}); correct the model, or lower "
        "differs.batch_size",
        filtered=f"differs: {address} refuses the content of a text ({words}); remove the row, or use another server "
        "or differs: text",
        too_long=f"differs.model: {model!r} at {address} does not take such a long text or request ({words}); use a "
        "model with a longer context, or lower differs.batch_size",
        kept="what was measured is kept",
    )
