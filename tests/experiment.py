"""A small experiment on the fake backend, for tests of the lab, the stages and the methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.backends.fake import FakeBackend
from burnish.config import Config
from burnish.running import Finished, run
from burnish.tasks.sums_world import generate

TRAIN, TEST = 80, 30


def small(**changes: Any) -> Config:
    """Return a config with one seed and two rounds; `changes` replace its top-level fields."""
    values: dict[str, Any] = {
        "name": "small",
        "task": {"kind": "sums", "train": TRAIN, "test": TEST},
        "models": {"weak": "builtin:weak", "strong": "builtin:strong"},
        "supervision": {"annotator": {"kind": "likelihood", "model": "builtin:judge-3"}},
        "train": {"lora": None},
        "decode": {"beams": 1, "max_new_tokens": 8},
        "methods": [
            {"kind": "sft"},
            {"kind": "naive", "rounds": 2, "alpha": 0.15},
            {"kind": "ilr", "rounds": 2, "alpha": 0.15},
        ],
    }
    return Config.model_validate(values | changes)


def fake(before_unit: Callable[[str], None] = lambda _: None) -> FakeBackend:
    """Return a backend that knows the gold answers of the small experiment's world."""
    return FakeBackend({p.question: str(p.answer) for p in generate(TRAIN + TEST, 0)}, before_unit)


def run_small(config: Config, where: Path, backend: FakeBackend | None = None) -> Finished:
    """Run on the fake backend into `where`."""
    chosen = backend or fake()
    return run(config, out=where / "out", store=where / "store", backend=lambda: chosen)
