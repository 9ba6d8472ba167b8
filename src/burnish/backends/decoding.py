"""Decodes answers with the `generate` of transformers, which holds the loop over tokens for greedy and beam search.

A loop of our own was tried, and gained too little to be kept. Three things are added around the library's loop, all
by means of its cache of keys and values:

- Each prompt is read once. Its beams, and its samples in one batch, start from copies of one cache. The library alone
  reads a prompt once for each beam.
- On a CPU, the prompts of a large batch are read in pieces. A step of one token is the fastest with many rows, but
  whole prompts of many rows do not fit into the processor's cache.
- Rows that have ended leave a batch without beams. The library alone goes on with them until the longest row ends.

They change results only by rounding: in float32 the tokens are the same, and in bfloat16 two beams that are about
equally likely may change places. A model whose rows are not independent of each other, or whose cache cannot be copied
row by row (Phi 3 and Mamba, for example), is decoded by the library alone.

Axes: B is the rows of a batch, P its different prompts, and T the token positions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import (
    DynamicCache,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from burnish.config import Decoding

LEAVING = 4
"""Rows leave a batch when one in `LEAVING` of them has ended. Each time, the others' cache is copied once."""
FEW = 8
"""In a step of fewer rows, reading the weights takes longer than the arithmetic. So fewer rows never leave."""


def decode(
    model: Any,
    ids: Sequence[Sequence[int]],
    settings: Decoding,
    processors: Callable[[Sequence[int]], Sequence[LogitsProcessor]] = lambda _: (),
    read_tokens: int = 2**31,
) -> list[list[int]]:
    """Return the new tokens of each row of prompts. Tokens after a row's end, if there are any, mean nothing.

    `processors` takes rows, as their places in `ids`, and returns what chooses their tokens. What ends a row is the
    model's own `generation_config`. `read_tokens` is how many tokens of prompts are read at once, padding included.
    """
    input_BT, mask_BT = _left_padded(ids, model)
    longest = input_BT.shape[1]
    width = longest + settings.max_new_tokens
    answers: list[list[int]] = [[] for _ in ids]
    rows = list(range(len(ids)))
    ends_E = _ends(model)
    with torch.inference_mode():
        cache = _prefilled(model, ids, settings.beams, read_tokens)
        while rows:
            thinned = _Thinned(ends_E, len(rows)) if cache is not None and settings.beams == 1 else None
            input_BT = model.generate(
                input_ids=input_BT,
                attention_mask=mask_BT,
                max_new_tokens=width - input_BT.shape[1],
                num_beams=settings.beams,
                do_sample=False,
                logits_processor=LogitsProcessorList(processors(rows)),
                stopping_criteria=StoppingCriteriaList([] if thinned is None else [thinned]),
                **({} if cache is None else {_cache_name(model.forward): cache}),
            )
            for row, new in zip(rows, input_BT[:, longest:].tolist(), strict=True):
                answers[row] = new
            if cache is None or thinned is None or input_BT.shape[1] == width:
                break
            going = (~thinned.ended_B).nonzero()[:, 0]
            rows = [rows[place] for place in going.tolist()]
            mask_BT = torch.nn.functional.pad(mask_BT, (0, input_BT.shape[1] - mask_BT.shape[1]), value=1)[going]
            input_BT = input_BT[going]
            cache.batch_select_indices(going)
    return answers


def _left_padded(ids: Sequence[Sequence[int]], model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask, both of the shape (B, T).

    The padding is on the left, so that all rows continue at the same position, after the last column.
    """
    longest, pad = max(len(row) for row in ids), model.generation_config.pad_token_id
    input_BT = torch.tensor([[*[pad] * (longest - len(row)), *row] for row in ids], device=model.device)
    mask_BT = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids], device=model.device)
    return input_BT, mask_BT


def _ends(model: PreTrainedModel) -> torch.Tensor:
    ends = model.generation_config.eos_token_id
    return torch.tensor([] if ends is None else ends, dtype=torch.long, device=model.device).view(-1)


class _Thinned(StoppingCriteria):
    """Stops the library's loop when so many rows have ended that they should leave the batch."""

    def __init__(self, ends_E: torch.Tensor, rows: int) -> None:
        self.ends_E = ends_E
        self.ended_B = torch.zeros(rows, dtype=torch.bool, device=ends_E.device)
        self.enough = max(FEW, rows // LEAVING)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        """Return for each row whether to stop. All rows stop together."""
        self.ended_B |= torch.isin(input_ids[:, -1], self.ends_E)
        return (self.ended_B.sum() >= self.enough).expand_as(self.ended_B)


def _prefilled(
    model: PreTrainedModel, ids: Sequence[Sequence[int]], beams: int, read_tokens: int
) -> DynamicCache | None:
    """Return the cache from which the rows and their beams start, or None if the model has no such cache.

    It holds all columns but the last, from which `generate` continues. It is empty if there is nothing to share and all
    prompts are read at once: `generate` does that itself.
    """
    prompts = {prompt: place for place, prompt in enumerate(dict.fromkeys(map(tuple, ids)))}
    cache, shared = _empty(model), len(prompts) < len(ids) * beams
    if cache is None:
        return None
    pieces = _pieces(list(prompts), read_tokens)
    # A window keeps only the last columns, so that caches of different widths cannot be joined. And a prompt of one
    # token leaves no column to read.
    if not all(type(one) is DynamicLayer for one in cache.layers) or any(len(piece[0]) == 1 for piece in pieces):
        pieces = [list(prompts)]
    if (len(pieces) == 1 and not shared) or max(map(len, prompts)) == 1:
        return cache
    cache = _joined(model, [_read(model, piece) for piece in pieces])
    if shared:
        starts = [prompts[tuple(row)] for row in ids for _ in range(beams)]
        cache.batch_select_indices(torch.tensor(starts, device=model.device))
    return cache


def _pieces(prompts: Sequence[tuple[int, ...]], read_tokens: int) -> list[list[tuple[int, ...]]]:
    """Cut prompts into pieces of at most so many tokens, padding included."""
    pieces: list[list[tuple[int, ...]]] = []
    longest = 0
    for prompt in prompts:
        longest = max(longest, len(prompt))
        if not pieces or (len(pieces[-1]) + 1) * longest > read_tokens:
            pieces.append([])
            longest = len(prompt)
        pieces[-1].append(prompt)
    return pieces


def _read(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> DynamicCache:
    """Return the cache of all columns of these prompts but the last."""
    cache = _empty(model)
    assert cache is not None
    input_PT, mask_PT = (both_PT[:, :-1] for both_PT in _left_padded(prompts, model))
    # The model without its head: nothing is asked of these positions but their keys and values.
    body: Any = model.base_model
    parameters = inspect.signature(body.forward).parameters
    # Positions are counted as `generate` counts them, without the padding.
    positions = {"position_ids": (mask_PT.cumsum(-1) - 1).clamp(min=0)} if "position_ids" in parameters else {}
    body(input_ids=input_PT, attention_mask=mask_PT, use_cache=True, **{_cache_name(body.forward): cache}, **positions)
    return cache


def _joined(model: PreTrainedModel, caches: Sequence[DynamicCache]) -> DynamicCache:
    """Return the rows of several caches as one. Narrow ones get zeros on the left, where the attention mask is 0."""
    whole = _empty(model)
    assert whole is not None
    if len(caches) == 1:
        return caches[0]
    width = max(cache.get_seq_length() for cache in caches)
    for number in range(len(caches[0].layers)):
        keys, values = (
            torch.cat([_widened(getattr(cache.layers[number], part), width) for cache in caches])
            for part in ("keys", "values")
        )
        whole.update(keys, values, number)
    return whole


def _widened(states_BHTD: torch.Tensor, width: int) -> torch.Tensor:
    """Return keys or values (rows, heads, positions, numbers of a head) with zeros on the left up to this width."""
    return torch.nn.functional.pad(states_BHTD, (0, 0, width - states_BHTD.shape[2], 0))


def _empty(model: PreTrainedModel) -> DynamicCache | None:
    """Return an empty cache whose rows can be copied and chosen, or None if the model has another kind of cache."""
    body: Any = model
    if not body._supports_default_dynamic_cache() or _cache_name(model.forward) is None:
        return None
    # Such positions (of Phi 3, for example) depend on the longest row of the batch. If it left, the others' new keys
    # would not fit their old ones.
    kinds = {str(getattr(part, "rope_type", None)) for part in model.modules()}
    if any(kind in known for kind in ("longrope", "dynamic") for known in kinds):
        return None
    cache = DynamicCache(config=model.config)
    # States of other kinds (of Mamba, for example) do not grow column by column.
    return cache if all(type(one) in (DynamicLayer, DynamicSlidingWindowLayer) for one in cache.layers) else None


def _cache_name(forward: Any) -> Any:
    """Return the name of the argument that takes the cache. transformers 5.24 gave it a new one."""
    parameters = inspect.signature(forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in parameters), None)
