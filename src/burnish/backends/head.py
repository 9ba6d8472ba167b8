"""Applies a language model's head to chosen positions alone. The vocabulary is by far the largest axis of the logits.

Axes: B is the rows of a batch, T the token positions, H the hidden states, V the vocabulary, and N the chosen
positions.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def head_at(model: Any, chosen_BT: torch.Tensor) -> Generator[None, None, None]:
    """Let one forward pass in this block give the logits of the chosen positions alone, with the shape (1, N, V).

    The positions come row by row. What a model does with its logits after the head (a scale, a soft cap) is done with
    each of them by itself, so their values are those of a pass over all positions. Raises ValueError if the model
    has no head of its own (see `has_head`).
    """
    head = model.get_output_embeddings()
    if head is None:
        raise ValueError(f"{type(model).__name__} has no output embeddings")
    # A hook, because the argument `logits_to_keep` of transformers takes the same positions for all rows.
    hook = head.register_forward_pre_hook(
        # The layers of a large model may be on several devices, and the head on another one than the ids.
        lambda _, inputs: (inputs[0][chosen_BT.to(inputs[0].device)].unsqueeze(0), *inputs[1:])
    )
    try:
        yield
    finally:
        hook.remove()


def has_head(model: Any) -> bool:
    """Say whether `head_at` works with this model."""
    return model.get_output_embeddings() is not None
