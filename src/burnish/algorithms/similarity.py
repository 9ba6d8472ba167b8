"""Which texts are similar: vectors of their words, and the nearest neighbours of each.

Axes: N counts the texts and V the different words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

PIECE = 512
"""How many texts are compared with all others at once."""
_WORD = re.compile(r"\w+")


def word_vectors(texts: Sequence[str]) -> Any:
    """Return unit vectors of texts as a sparse matrix (N, V).

    A word counts as often as it occurs in a text, times log((1 + N) / (1 + the texts that have it)) + 1. So rare words
    count more. A text without words has a vector of zeros.
    """
    from scipy.sparse import csr_matrix  # noqa: PLC0415 slow to import

    counted = [Counter(_WORD.findall(text.lower())) for text in texts]
    texts_with = Counter(word for words in counted for word in words)
    place = {word: number for number, word in enumerate(sorted(texts_with))}
    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for words in counted:
        weights = {w: n * (math.log((1 + len(texts)) / (1 + texts_with[w])) + 1) for w, n in words.items()}
        length = math.sqrt(math.fsum(weight**2 for weight in weights.values())) or 1.0
        values += [weight / length for weight in weights.values()]
        columns += [place[word] for word in weights]
        ends.append(len(values))
    return csr_matrix((values, columns, ends), shape=(len(texts), max(1, len(place))))


def neighbours(vectors: Any) -> Iterator[list[tuple[int, float]]]:
    """Yield for each text all others as (place, cosine), the nearest first. `vectors` are unit vectors, also sparse.

    Texts of equal similarity come in the order of their places.
    """
    count = vectors.shape[0]
    for start in range(0, count, PIECE):
        product = vectors[start : start + PIECE] @ vectors.T
        cosine_PN = np.asarray(product.toarray() if hasattr(product, "toarray") else product, dtype=np.float64)
        for number, cosine_N in enumerate(cosine_PN, start):
            order = np.argsort(-cosine_N, kind="stable")
            yield [(int(place), float(cosine_N[place])) for place in order if place != number]
