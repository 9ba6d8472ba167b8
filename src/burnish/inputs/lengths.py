"""Whether rows and answers fit: into a model's context, and into `decode.max_new_tokens`, which cuts longer answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from burnish import backends
from burnish.config import Decoding, ModelConfig, TrainSettings
from burnish.errors import ConfigError, DataError
from burnish.types import TrainingRow

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


def check_fits(
    rows: Sequence[TrainingRow],
    count: int,
    model: ModelConfig,
    train: TrainSettings,
    decode: Decoding | None,
    field: str = "train",
) -> None:
    """Check that the rows that `spread` chose from `count` ones fit into a model's context, with a new answer and with
    their own. Without `decode`, new answers are not checked.

    The id of a row says where it is, and `field` is where the settings of the training are. Raises ConfigError or
    DataError naming the first row that does not fit, and BackendError if the model is not on this machine.
    """
    # The same limits as when the rows are answered and trained on.
    context = backends.max_positions(model)
    lengths = list(zip(rows, backends.row_lengths(model, rows), strict=True))
    among = f"{len(lengths):,} rows" + (f" (evenly spaced among {count:,})" if len(lengths) < count else "")
    if decode is not None:
        prompts = [(row.id, prompt) for row, (prompt, _) in lengths]
        _check_prompts(prompts, context, decode.max_new_tokens, model.source, among)
    limit = train.max_tokens or context
    longer = [(row.id, whole) for row, (_, whole) in lengths if whole > limit]
    if not longer:
        return
    where, first = longer[0]
    most = max(whole for _, whole in longer)
    shown = f"The first is {where}, with {first:,} tokens"
    if train.max_tokens is None:
        raise DataError(
            f"{where}: {first:,} tokens with its answer and its end, but the model {model.source!r} takes at most "
            f"{limit:,}. So it is with {len(longer):,} of {among}, and the longest has {most:,}. Shorten or remove "
            "these rows, or use a model with a longer context"
        )
    fix = f"Set it to {most} (--set {field}.max_tokens={most}), or shorten" if most <= context else "Shorten"
    raise ConfigError(
        f"{field}.max_tokens: {limit} found, but {len(longer):,} of {among} have more tokens with their answer and its "
        f"end. {shown}. {fix} or remove these rows"
    )


def _check_prompts(prompts: Sequence[tuple[str, int]], context: int, new: int, source: str, among: str) -> None:
    """Raise ConfigError if a prompt, given as its place and its number of tokens, leaves no room for `new` tokens."""
    longer = [(where, prompt) for where, prompt in prompts if prompt + new > context]
    if not longer:
        return
    where, first = longer[0]
    last, most = max(longer, key=lambda one: one[1])
    # The longest prompt decides which value fits all.
    fitting = context - most
    fix = (
        f"At most {fitting} fit with the longest prompt: lower it (--set {FIELD}={fitting}), or shorten"
        if fitting > 0
        else f"The longest prompt is {last}, with {most:,} tokens, and no value fits it: shorten"
    )
    raise ConfigError(
        f"{FIELD}: {new} found, but the model {source!r} takes at most {context:,} tokens, prompt and answer together. "
        f"The prompts of {len(longer):,} of {among} are too long for that. The first is {where}, with {first:,} "
        f"tokens. {fix} or remove these rows"
    )


def _fitting(lengths: Sequence[int]) -> int:
    """Return the limit that nearly all of the sorted lengths meet."""
    return lengths[math.ceil(NEARLY_ALL * len(lengths)) - 1]
