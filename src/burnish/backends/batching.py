"""Chooses which rows share a batch. It plans over all rows of a stage, so that a resumed run gets the same batches."""

from __future__ import annotations

from collections.abc import Sequence


def plan_batches(
    lengths: Sequence[int], batch_tokens: int, targets: Sequence[int] | None = None, most_targets: int = 0
) -> list[list[int]]:
    """Group row indices into batches, the longest rows first. `lengths` are the rows' numbers of tokens.

    In a batch, the number of rows times the longest length is at most `batch_tokens`. With `targets`, which are numbers
    of tokens too, their sum in a batch is at most `most_targets`. Rows of the same length keep their order. A row that
    exceeds a limit by itself is a batch of its own.
    """
    batches: list[list[int]] = []
    longest = summed = 0
    # Rows of about the same length share a batch, so there is little padding. The longest rows come first, so that a
    # row that does not fit into memory fails at once and not after hours.
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        target = 0 if targets is None else targets[index]
        # The first row of a batch is its longest one, and all others are padded to it.
        if not batches or (len(batches[-1]) + 1) * longest > batch_tokens or summed + target > most_targets:
            batches.append([])
            longest, summed = max(1, lengths[index]), 0
        batches[-1].append(index)
        summed += target
    return batches


def micro_batch(batch_size: int, longest: int, batch_tokens: int) -> int:
    """Return the largest divisor of `batch_size` whose rows of `longest` tokens fit into `batch_tokens`."""
    # It must be a divisor, so that the passes of one step have exactly `batch_size` rows together.
    fitting = [n for n in range(1, batch_size + 1) if batch_size % n == 0 and n * longest <= batch_tokens]
    return max(fitting, default=1)
