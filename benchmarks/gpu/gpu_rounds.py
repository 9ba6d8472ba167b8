"""A round of ILR and a round of DPO on GSM8K, through `burnish.run`, with the seconds of each stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gpu_setup import Setup

import burnish
from burnish.config import Config, Gsm8kTask

TRAIN_ROWS, TEST_PROMPTS = 800, 500
METHODS: Mapping[str, Mapping[str, Any]] = {
    "ilr": {"kind": "ilr", "rounds": 1, "alpha": 0.15},
    "dpo": {"kind": "dpo", "rounds": 1, "learning_rate": 1e-6},
}


def task_of(setup: Setup) -> Gsm8kTask:
    """Return the rows to learn from and the test prompts."""
    return Gsm8kTask(
        kind="gsm8k",
        source=str(setup.data),
        train=setup.count(TRAIN_ROWS, 32),
        test=setup.count(TEST_PROMPTS, 8),
    )


def config_of(setup: Setup, method: str) -> Config:
    """Return the experiment: weak labels, q~ with two checkpoints, one round."""
    cuda = setup.device.type == "cuda"
    lora = {"r": 16, "alpha": 32}
    model = {"source": str(setup.model), "dtype": "bfloat16"}
    answers = {"beams": 1, "max_new_tokens": setup.new_tokens}
    return Config.model_validate(
        {
            "name": f"gpu-{method}",
            "task": task_of(setup),
            "models": {"weak": model | {"layers": weak_layers(setup.model)}, "strong": model},
            "supervision": {
                "demonstrations": "weak",
                "annotator": {"kind": "classifier", "checkpoints": 2, "decode": answers | {"temperature": 0.6}},
            },
            # On the CPU a small share of the rows must still make some steps: after ten, the supervisor's answers had
            # no end, and the student had nothing to learn from.
            "train": {"epochs": 4, "learning_rate": 1e-3, "batch_size": 32 if cuda else 4, "lora": lora},
            "decode": answers,
            "methods": [METHODS[method]],
            "execution": {
                "device": setup.device.type,
                # A card with 80 GB holds the keys and values of 260,000 tokens of this model in 6 GB.
                "batch_tokens": 262_144 if cuda else "auto",
            },
        }
    )


def weak_layers(model: Path) -> int:
    """Return how many layers the supervisor keeps: 28 of 30, as in configs/mawps-smollm2-cpu.yaml, or that share."""
    layers = json.loads((model / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
    return max(1, round(layers * 28 / 30))


def round_of(method: str) -> Callable[[Setup, dict[str, Any]], None]:
    """Return the step that runs a method. All methods share one store, so what they have in common is computed once."""

    def run(setup: Setup, report: dict[str, Any]) -> None:
        store, config = setup.place / "store", config_of(setup, method)
        before = stages_of(store)
        report |= {"train_rows": task_of(setup).train, "test_prompts": task_of(setup).test}
        setup.forget_peak()
        try:
            finished = burnish.run(config, setup.place / method, store)
            report["metrics"] = {
                f"{one.method} {one.round}": {name: metric.value for name, metric in one.metrics.items()}
                for one in finished.results.runs
            }
        finally:  # what was finished in time is reported, too
            report["stages"] = [stage for place, stage in stages_of(store).items() if place not in before]
            report["peak_bytes"] = setup.peak_bytes()

    return run


def stages_of(store: Path) -> dict[str, dict[str, Any]]:
    """Return {folder: name, seconds and counts} of the finished stages of a store, the oldest first."""
    manifests = sorted(store.rglob("manifest.json"), key=lambda path: path.stat().st_mtime)
    stages: dict[str, dict[str, Any]] = {}
    for path in manifests:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        kept = {"stage": manifest["payload"]["name"], "seconds": manifest["seconds"], **manifest["counts"]}
        stages[str(path.parent)] = kept
    return stages
