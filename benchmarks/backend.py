"""Training and generation through the backend against a bare PyTorch loop, side by side on the same rows.

    python benchmarks/backend.py --model builtin:strong --out docs/results/backend-embedded.json
    python benchmarks/backend.py --model path/to/SmolLM2-135M.gguf --out docs/results/backend-smollm2.json

The bare loop has no trainer, no callbacks and no bookkeeping: forward, backward, AdamW, and a greedy loop with a KV
cache. It is given the best of several batch sizes. Figures are tokens/s and the ratio backend / bare.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from bench_output import put
from peft import LoraConfig as PeftLora
from peft import get_peft_model

from burnish.backends.device import choose_dtype, torch_dtype
from burnish.backends.hf import HfBackend
from burnish.backends.load import load, load_base, renderer_of
from burnish.config import Decoding, DType, Execution, LoraConfig, ModelConfig, TrainSettings
from burnish.models.card import ModelCard, Weights, write_card
from burnish.protocols import SamplingKey
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Message, Prompt, Role, TrainingRow

CPU = torch.device("cpu")


class Clock:
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def start(self, label: str, total: int, done: int = 0) -> None:
        """A piece of work begins; nothing to note."""

    def advance(self, amount: int) -> None:
        """A step has ended."""
        self.ends.append(time.monotonic())


def rows_of(count: int) -> list[TrainingRow]:
    """Return word problems with their solutions."""
    return [
        TrainingRow(id=f"{i:05d}", prompt=(Message(role=Role.USER, content=p.question),), completion=p.solution)
        for i, p in enumerate(generate(count, 1))
    ]


def bare_training(base: ModelConfig, rows: list[TrainingRow], settings: TrainSettings, micro: int) -> float:
    """Return tokens a second of a plain loop, counted from the end of its first step."""
    renderer = renderer_of(base)
    model: Any = load_base(base, torch_dtype(base.dtype) if settings.lora else torch.float32, labels=None)
    if settings.lora:
        model = get_peft_model(
            model, PeftLora(r=settings.lora.r, lora_alpha=settings.lora.alpha, target_modules="all-linear")
        )
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=settings.learning_rate)
    tokens = [renderer.row(row, 512) for row in rows]
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=base.dtype is DType.BFLOAT16)
    started, counted = time.monotonic(), 0
    for first in range(0, len(tokens), settings.batch_size):
        batch = tokens[first : first + settings.batch_size]
        for at in range(0, len(batch), micro):
            part = batch[at : at + micro]
            longest = max(len(row.ids) for row in part)
            input_BT = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in part])
            labels_BT = torch.tensor([row.labels + [-100] * (longest - len(row.ids)) for row in part])
            mask_BT = torch.tensor([[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in part])
            with autocast:
                loss = model(input_ids=input_BT, attention_mask=mask_BT, labels=labels_BT, use_cache=False).loss
            (loss * len(part) / len(batch)).backward()
            counted += sum(len(row.ids) for row in part)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if first == 0:
            started, counted = time.monotonic(), 0
    return counted / (time.monotonic() - started)


def our_training(base: Artifact, config: ModelConfig, rows: list[TrainingRow], settings: TrainSettings) -> float:
    """Return tokens a second of the backend's training, from the end of its first step to that of its last.

    Reading the model and saving it are left out, as they are on the other side; rows are shuffled: steps count alike.
    """
    renderer, clock = renderer_of(config), Clock()
    with tempfile.TemporaryDirectory() as into:
        _backend(clock).train(base, rows, settings, 0, Path(into))
    tokens, steps = sum(len(renderer.row(row, 512).ids) for row in rows), len(clock.ends)
    return tokens * (steps - 1) / steps / (clock.ends[-1] - clock.ends[0])


def bare_generation(base: Artifact, rows: list[TrainingRow], new_tokens: int, batch: int) -> float:
    """Return new tokens a second of a greedy loop that always makes `new_tokens`."""
    loaded = load(Path(base.path), CPU, {})
    prompts = sorted((loaded.renderer.prompt(row.prompt) for row in rows), key=len)
    started = time.monotonic()
    with torch.inference_mode():
        for first in range(0, len(prompts), batch):
            part = prompts[first : first + batch]
            longest = max(map(len, part))
            ids_BT = torch.tensor([[0] * (longest - len(row)) + row for row in part])
            mask_BT = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in part])
            position_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
            cache, step_ids = None, ids_BT
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
                mask_BT = torch.cat([mask_BT, torch.ones_like(step_ids)], dim=1)
                position_BT = position_BT[:, -1:] + 1
    return len(prompts) * new_tokens / (time.monotonic() - started)


def our_generation(base: Artifact, rows: list[TrainingRow], new_tokens: int) -> float:
    """Return new tokens a second of the backend with its own batch size; the model never ends before the limit."""
    backend = _backend()
    prompts = [Prompt(id=row.id, messages=row.prompt) for row in rows]
    loaded = backend._load(base)  # pyright: ignore[reportPrivateUsage]
    loaded.model.generation_config.eos_token_id = None  # both sides make the same number of tokens
    started = time.monotonic()
    settings = Decoding(beams=1, max_new_tokens=new_tokens)
    for _ in backend.generate(base, prompts, settings, SamplingKey(seed=0, stage="bench", round=0), set()):
        pass
    return len(prompts) * new_tokens / (time.monotonic() - started)


def _backend(clock: Clock | None = None) -> HfBackend:
    return HfBackend(Execution(device="cpu"), clock or Clock(), {})


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure in turn, bare and ours, so that a drifting machine moves both."""
    small = options.model.startswith("builtin:")
    dtype = DType.FLOAT32 if small else choose_dtype(CPU)
    config = ModelConfig(source=options.model, dtype=dtype)
    lora = None if small else LoraConfig(r=16, alpha=32)
    settings = TrainSettings(epochs=1, learning_rate=1e-4, batch_size=options.batch_size, lora=lora)
    rows = rows_of(options.rows)
    with tempfile.TemporaryDirectory() as place:
        write_card(Path(place), ModelCard(base=config, content="", weights=Weights.BASE))
        base = Artifact(path=place, kind="base", fingerprint="")
        bare_training(config, rows[:8], settings, 8)  # warm-up
        trained = {micro: bare_training(config, rows, settings, micro) for micro in options.micro}
        ours = our_training(base, config, rows, settings)
        generated = {batch: bare_generation(base, rows, options.new_tokens, batch) for batch in options.batch}
        ours_generated = our_generation(base, rows, options.new_tokens)
    return {
        "model": Path(options.model).name,
        "rows": options.rows,
        "threads": torch.get_num_threads(),
        "dtype": str(dtype),
        "training": _side_by_side(trained, ours),
        "generation": _side_by_side(generated, ours_generated),
    }


def _side_by_side(bare: dict[int, float], ours: float) -> dict[str, Any]:
    best = max(bare.values())
    return {
        "bare_tokens_per_second_by_batch": {str(size): round(speed, 1) for size, speed in bare.items()},
        "backend_tokens_per_second": round(ours, 1),
        "ratio_to_best_bare": round(ours / best, 3),
    }


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--micro", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    put(compare(options), options.out)


if __name__ == "__main__":
    main()
