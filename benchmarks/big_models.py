"""Calculate the memory of a training of 13B and 70B models: python benchmarks/big_models.py. Nothing is trained.

The formulas are those of `burnish run --dry-run` (src/burnish/models/memory.py). The training is LoRA of rank 64 on all
linear layers or all weights, AdamW, bfloat16 arithmetic with activation checkpointing, and passes of 4,096 tokens of
which all are learned.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench_output import put

from burnish.config import DType, LoraConfig, TrainSettings
from burnish.models.memory import PassSize, Shape, training

DEVICES = 8
MEMORY = 80e9
"""Bytes of an H100."""
TOKENS = 4_096
# The sizes in the config.json of Llama 2.
SHAPES = {
    "13B": Shape(layers=40, hidden=5120, inner=13_824, heads=40, key_heads=40, head=128, vocabulary=32_000, tied=False),
    "70B": Shape(layers=80, hidden=8192, inner=28_672, heads=64, key_heads=8, head=128, vocabulary=32_000, tied=False),
}
LORA = TrainSettings(lora=LoraConfig(r=64, alpha=128), gradient_checkpointing=True)
FULL = TrainSettings(lora=None, gradient_checkpointing=True)
WAYS: dict[str, tuple[TrainSettings, dict[str, Any]]] = {
    "LoRA, one device": (LORA, {}),
    "QLoRA (nf4), one device": (LORA, {"quantised": True}),
    f"LoRA, FSDP2 over {DEVICES}": (LORA, {"split_over": DEVICES}),
    f"all weights, FSDP2 over {DEVICES}": (FULL, {"split_over": DEVICES}),
}
"""By name: the settings, and how the weights are kept."""


def main() -> None:
    """Print the bytes of each device as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    size = PassSize(tokens=TOKENS, supervised=TOKENS)
    found: dict[str, dict[str, Any]] = {}
    for name, shape in SHAPES.items():
        for way, (settings, kept) in WAYS.items():
            need = training(shape, settings, DType.BFLOAT16, size, **kept)
            fits = need.total < MEMORY
            found.setdefault(name, {})[way] = {**asdict(need), "total": need.total, "fits_into_80_GB": fits}
    put(
        {
            "command": "python benchmarks/big_models.py",
            "calculated": "nothing of this was run",
            "unit": "bytes of each device",
            "models": found,
        },
        options.out,
    )


if __name__ == "__main__":
    main()
