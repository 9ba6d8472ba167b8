"""Bare PyTorch loops: no trainer, no callbacks, no bookkeeping. Each returns tokens and the seconds that they took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from bench_models import CPU
from bench_time import Spent, now, since
from peft import LoraConfig as PeftLora
from peft import get_peft_model

from burnish.backends.device import torch_dtype
from burnish.backends.load import load, load_base, renderer_of
from burnish.config import DType, ModelConfig, TrainSettings
from burnish.types import Artifact, TrainingRow

I = TypeVar("I")  # noqa: E741 (an item)


def parts(items: Sequence[I], size: int) -> Iterator[Sequence[I]]:
    """Cut a sequence into parts of at most `size` items."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def training(base: ModelConfig, rows: list[TrainingRow], settings: TrainSettings, micro: int) -> tuple[int, Spent]:
    """Forward, backward and AdamW, `micro` rows at a time. Counted from the end of the first optimiser step."""
    renderer = renderer_of(base)
    model: Any = load_base(base, torch_dtype(base.dtype) if settings.lora else torch.float32, labels=None)
    if settings.lora:
        lora = PeftLora(r=settings.lora.r, lora_alpha=settings.lora.alpha, target_modules="all-linear")
        model = get_peft_model(model, lora)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=settings.learning_rate)
    tokens = [renderer.row(row, 2**20) for row in rows]
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=base.dtype is DType.BFLOAT16)
    started, counted = now(), 0
    for number, batch in enumerate(parts(tokens, settings.batch_size)):
        for part in parts(batch, micro):
            input_BT, mask_BT = padded([row.ids for row in part])
            longest = input_BT.shape[1]
            labels_BT = torch.tensor([row.labels + [-100] * (longest - len(row.ids)) for row in part])
            with autocast:
                loss = model(input_ids=input_BT, attention_mask=mask_BT, labels=labels_BT, use_cache=False).loss
            (loss * len(part) / len(batch)).backward()
            counted += sum(len(row.ids) for row in part)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if number == 0:
            started, counted = now(), 0
    return counted, since(started)


def generation(base: Artifact, rows: list[TrainingRow], new_tokens: int, batch: int) -> tuple[int, Spent]:
    """Greedy search with a KV cache, from texts to texts. A batch ends when all of its rows have ended.

    Loading is not counted.
    """
    loaded = load(Path(base.path), CPU, {})
    ends = torch.tensor(loaded.renderer.ends)
    made, started = 0, now()
    prompts = sorted((loaded.renderer.prompt(row.prompt) for row in rows), key=len)
    with torch.inference_mode():
        for part in parts(prompts, batch):
            ids_BT, mask_BT = padded(part, left=True)
            position_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
            cache, step_ids, open_B1 = None, ids_BT, torch.ones(len(part), 1, dtype=torch.bool)
            written: list[torch.Tensor] = []
            for _ in range(new_tokens):
                out = loaded.model(
                    input_ids=step_ids,
                    attention_mask=mask_BT,
                    position_ids=position_BT,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                cache, step_ids = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
                written.append(step_ids)
                made += int(open_B1.sum())
                open_B1 &= ~torch.isin(step_ids, ends)
                if not open_B1.any():
                    break
                mask_BT = torch.cat([mask_BT, torch.ones_like(step_ids)], dim=1)
                position_BT = position_BT[:, -1:] + 1
            loaded.renderer.tokenizer.batch_decode(torch.cat(written, dim=1), skip_special_tokens=True)
    return made, since(started)


def scoring(base: Artifact, rows: list[TrainingRow], batch: int) -> tuple[int, Spent]:
    """Log-probabilities of the completions, from texts on. The head is applied to every position.

    Loading is not counted.
    """
    loaded = load(Path(base.path), CPU, {})
    started = now()
    tokens = sorted((loaded.renderer.row(row, 2**20) for row in rows), key=lambda row: len(row.ids))
    with torch.inference_mode():
        for part in parts(tokens, batch):
            input_BT, mask_BT = padded([row.ids for row in part])
            logits_BTV = loaded.model(input_ids=input_BT, attention_mask=mask_BT, use_cache=False).logits[:, :-1]
            target_BT = torch.tensor(
                [row.labels + [-100] * (input_BT.shape[1] - len(row.ids)) for row in part], dtype=torch.long
            )[:, 1:]
            kept = target_BT != -100
            torch.nn.functional.cross_entropy(logits_BTV[kept].float(), target_BT[kept], reduction="none").tolist()
    return sum(len(row.ids) for row in tokens), since(started)


def padded(rows: Sequence[Sequence[int]], left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask of a batch, padded with 0 on the right or on the left."""
    longest = max(map(len, rows))
    fill = [[0] * (longest - len(row)) for row in rows]
    ids = [gap + list(row) if left else list(row) + gap for row, gap in zip(rows, fill, strict=True)]
    ones = [[1] * len(row) for row in rows]
    mask = [gap + one if left else one + gap for one, gap in zip(ones, fill, strict=True)]
    return torch.tensor(ids), torch.tensor(mask)
