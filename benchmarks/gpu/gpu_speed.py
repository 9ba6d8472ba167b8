"""Tokens a second in training, generation and scoring, the share of the card's peak, and the peak memory."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from gpu_setup import Setup, Silent, prompts_of

from burnish.backends.load import renderer_of
from burnish.config import Decoding, DType, LoraConfig, TrainSettings
from burnish.protocols import SamplingKey
from burnish.types import TrainingRow

PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12}
"""{part of a card's name: operations a second in dense bfloat16 matrix products}, from the data sheets."""
TRAINING_ROWS, BATCH_SIZE = 1_536, 64
PROMPTS, NEW_TOKENS, BEAMS = 256, 64, 4
SCORED_ROWS = 1_024
KEY = SamplingKey(seed=0, stage="gpu", round=0)


class Steps(Silent):
    """Notes when each step of a training ended."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.ends = setup, list[float]()

    def advance(self, amount: int) -> None:
        """A step has ended; the device may still be at work on it."""
        self.setup.synchronize()
        self.ends.append(time.monotonic())


def training(setup: Setup, parameters: int, report: dict[str, Any]) -> None:
    """Train all weights and an adapter in bfloat16 through the backend. Counted from the end of the first step."""
    rows = setup.rows(setup.count(TRAINING_ROWS, 3 * BATCH_SIZE))
    if setup.device.type == "cpu":  # three steps are enough to show that it works
        rows = rows[: 3 * setup.count(BATCH_SIZE, 4)]
    report["rows"] = len(rows)
    # A token costs 2 operations for each weight forward, 2 for the gradient of what enters a layer, and 2 for that of
    # the weight itself. Frozen weights do without the last.
    for name, lora, operations in (("all weights", None, 6), ("adapter", LoraConfig(r=64, alpha=128), 4)):
        setup.forget_peak()
        steps = Steps(setup)
        settings = TrainSettings(
            epochs=1,
            learning_rate=1e-4,
            lora=lora,
            batch_size=BATCH_SIZE if setup.device.type == "cuda" else len(rows) // 3,
        )
        with tempfile.TemporaryDirectory(dir=setup.place) as into:
            started = time.monotonic()
            backend = setup.backend(setup.device, steps)
            tokens = backend.train(setup.base(DType.BFLOAT16), rows, settings, 0, Path(into))
            whole = time.monotonic() - started
        per_second = tokens * (1 - 1 / len(steps.ends)) / (steps.ends[-1] - steps.ends[0])
        report[name] = {
            "tokens_per_second": round(per_second, 1),
            "seconds_of_the_whole_call": round(whole, 2),
            "peak_bytes": setup.peak_bytes(),
            **share_of_peak(setup, operations * parameters * per_second),
        }


def share_of_peak(setup: Setup, operations: float) -> dict[str, Any]:
    """Return operations a second, and their share of the card's peak where that is known."""
    name = torch.cuda.get_device_name() if setup.device.type == "cuda" else "CPU"
    peak = next((value for card, value in PEAKS.items() if card in name), None)
    share = None if peak is None else round(operations / peak, 4)
    return {"operations_per_second": float(f"{operations:.4g}"), "card": name, "peak": peak, "share_of_the_peak": share}


def generation(setup: Setup, report: dict[str, Any]) -> None:
    """Answer prompts in bfloat16, greedily and with beams, and score rows. The model was read before."""
    base, config = setup.base(DType.BFLOAT16), setup.config(DType.BFLOAT16)
    backend = setup.backend(setup.device)
    prompts = prompts_of(setup.rows(setup.count(PROMPTS, 4), "test"))
    # The first call reads the model and warms the device up.
    list(backend.generate(base, prompts[:2], Decoding(beams=1, max_new_tokens=4), KEY, set()))
    for name, beams, asked in (
        ("greedy", 1, prompts),
        (f"{BEAMS} beams", BEAMS, prompts[: max(2, len(prompts) // BEAMS)]),
    ):
        setup.forget_peak()
        decode = Decoding(beams=beams, max_new_tokens=NEW_TOKENS)
        started = time.monotonic()
        answers = [answer for batch in backend.generate(base, asked, decode, KEY, set()) for answer in batch]
        setup.synchronize()
        report[name] = _rate(setup, sum(answer.tokens for answer in answers), started) | {"prompts": len(answers)}
    rows: list[TrainingRow] = setup.rows(setup.count(SCORED_ROWS, 8))
    setup.forget_peak()
    started = time.monotonic()
    scored = sum(len(batch) for batch in backend.logprobs(base, rows, set()))
    setup.synchronize()
    renderer = renderer_of(config)
    tokens = sum(len(renderer.row(row, 2**20).ids) for row in rows)
    report["scoring"] = _rate(setup, tokens, started) | {"rows": scored}


def _rate(setup: Setup, tokens: int, started: float) -> dict[str, Any]:
    seconds = time.monotonic() - started
    return {
        "tokens": tokens,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_bytes": setup.peak_bytes(),
    }
