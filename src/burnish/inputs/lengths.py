"""Whether answers as long as the given ones can be written: `decode.max_new_tokens` cuts longer ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from burnish import backends
from burnish.config import Decoding, ModelConfig
from burnish.errors import ConfigError

T = TypeVar("T")
FIELD = "decode.max_new_tokens"
MOST_COUNTED = 1000
"""The tokens of at most so many answers are counted, evenly spaced over all rows: that takes less than a second."""
MANY, NEARLY_ALL = 0.05, 0.99
"""From the first share of answers that are too long on, there is a warning. It names a limit that the second share of
the answers meets: a limit for the longest one would often be far higher and cost memory."""
_SPARE = 2
"""Tokens that an answer has beside its text: its end, and the mark of a space that some tokenizers put before it."""


def spread(items: Iterable[T], count: int, most: int = MOST_COUNTED) -> Iterator[T]:
    """Yield at most `most` of `count` items, evenly spaced: the order of a file may follow the length of its rows."""
    return islice(items, 0, None, max(1, math.ceil(count / most)))


def check_lengths(answers: Iterable[str], count: int, model: ModelConfig, decode: Decoding, what: str) -> str | None:
    """Count the tokens of the answers that `spread` chose from `count` ones, and compare them with the limit.

    `what` names the answers, as in "given answers". Returns a warning if many are longer. Raises ConfigError if all
    are, and BackendError if the tokenizer is not on this machine.
    """
    texts = list(answers)
    # Hardly any tokenizer makes more tokens than bytes. So short answers need none, which saves seconds.
    if sum(len(text.encode()) + _SPARE > decode.max_new_tokens for text in texts) < MANY * len(texts):
        return None
    lengths = sorted(backends.answer_lengths(model, texts))
    too_long = sum(length > decode.max_new_tokens for length in lengths)
    if not lengths or too_long < MANY * len(lengths) or not too_long:
        return None
    wanted = _fitting(lengths)
    which = f"{len(lengths):,} {what}" + (f" (evenly spaced among {count:,})" if len(lengths) < count else "")
    if too_long == len(lengths):
        raise ConfigError(
            f"{FIELD}: {decode.max_new_tokens} found, but all of {which} have more tokens, the shortest {lengths[0]:,} "
            "with its end. Every new answer would be cut, and a cut answer counts as none. Set it to "
            f"{wanted} (--set {FIELD}={wanted})"
        )
    return (
        f"{too_long:,} of {which} have more than {decode.max_new_tokens} tokens with their end ({FIELD}). New answers "
        f"of that length are cut, and a cut answer counts as none. {wanted} tokens are enough for 99 of 100 "
        f"(--set {FIELD}={wanted})"
    )


def _fitting(lengths: Sequence[int]) -> int:
    """Return the limit that nearly all of the sorted lengths meet."""
    return lengths[math.ceil(NEARLY_ALL * len(lengths)) - 1]
