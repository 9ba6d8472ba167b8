"""Chooses which rows share a batch. It plans over all rows of a stage, so that a resumed run gets the same batches."""

from __future__ import annotations

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group row indices into batches, the longest rows first. `lengths` are the rows' numbers of tokens.

    In a batch, the number of rows times the longest length is at most `batch_tokens`. Rows of the same length keep
    their order. A row that is longer than `batch_tokens` is a batch of its own.
    """
    batches: list[list[int]] = []
    longest = 0
    # Rows of about the same length share a batch, so there is little padding. The longest rows come first, so that a
    # row that does not fit into memory fails at once and not after hours.
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        # The first row of a batch is its longest one, and all others are padded to it.
        if not batches or (len(batches[-1]) + 1) * longest > batch_tokens:
            batches.append([])
            longest = max(1, lengths[index])
        batches[-1].append(index)
    return batches


def micro_batch(batch_size: int, longest: int, batch_tokens: int) -> int:
    """Return the largest divisor of `batch_size` whose rows of `longest` tokens fit into `batch_tokens`."""
    # It must be a divisor, so that the passes of one step have exactly `batch_size` rows together.
    fitting = [n for n in range(1, batch_size + 1) if batch_size % n == 0 and n * longest <= batch_tokens]
    return max(fitting, default=1)
