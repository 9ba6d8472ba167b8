"""Calculate what an experiment of the paper, and a refinement of 10 million rows, would cost on GPUs. Nothing is run.

    python benchmarks/cluster_cost.py --out docs/results/cluster-cost.json

The stages and what they need come from burnish's own planner. The time of each stage comes from a formula (`work`) with
the assumptions below; none of them was measured on such a machine. A simulated schedule starts the stage with the
longest path of work behind it first, as burnish does, on as many GPUs as the stage's model needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.config import Config
from burnish.config.reading import read_config
from burnish.lab.inputs import resolve
from burnish.lab.planned_experiment import planner_of
from burnish.store.files import pretty
from burnish.store.stages import Stage, Store

CONFIGS = Path(__file__).parent.parent / "configs"
SIZES = (1, 4, 8, 16, 32, 64)
"""The numbers of GPUs of the simulated schedules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What is assumed of a GPU: an H100 with 80 GB. The three shares are what large programs usually reach."""

    memory: float = 80e9
    flops: float = 989e12
    bandwidth: float = 3.35e12
    train_share: float = 0.35
    read_share: float = 0.4
    bandwidth_share: float = 0.6
    usable: float = 0.85
    sequences: int = 128
    disk: float = 2e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: weights, and the weights of a LoRA adapter of rank 64 on all linear layers (calculated by hand)."""

    weights: float
    adapter: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A dataset: its rows, and how many tokens a prompt and an answer have in the mean (assumed)."""

    train: int
    test: int
    prompt: int
    answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a stage costs: seconds on `gpus` GPUs, and bytes in the store."""

    kind: str
    seconds: float
    gpus: int
    stored: float


MODELS = {
    "gemma-2b": Model(weights=2.51e9, adapter=78e6),
    "mistral-7b": Model(weights=7.24e9, adapter=168e6),
    "llama-70b": Model(weights=70.6e9, adapter=828e6),
}
GSM8K = Data(train=7_473, test=1_319, prompt=80, answer=130)
PAPER = {
    "gsm8k-gemma2b-mistral7b": ("gemma-2b", "mistral-7b", GSM8K),
    "gsm8k-mistral7b-llama70b": ("mistral-7b", "llama-70b", GSM8K),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """A large refinement with a judge on a server. `differ` is the share of proposals that are not the label, and
    `asked` the tokens of the judge's own instructions (all assumed)."""

    rows: int = 10_000_000
    prompt: int = 150
    answer: int = 150
    rounds: int = 2
    epochs: int = 1
    differ: float = 0.5
    asked: int = 200
    model: str = "mistral-7b"


class Calculator:
    """Knows the cost of a stage of an experiment."""

    def __init__(self, config: Config, weak: Model, strong: Model, data: Data, gpu: Gpu) -> None:
        self.config, self.weak, self.strong, self.data, self.gpu = config, weak, strong, data, gpu

    def cost(self, stage: Stage) -> Cost:
        """Return what a stage costs. Stages without a model cost nothing here: they read and write rows on CPUs."""
        settings: dict[str, Any] = dict(stage.config)
        model = self.weak if "weak" in stage.label or "checkpoint" in stage.label else self.strong
        half = self.data.train // 2
        read = self.data.prompt + self.data.answer
        pair = self.data.prompt + 2 * self.data.answer
        match stage.name:
            case "train":
                rows = half / 2 if "without part" in stage.label else half
                saved = settings.get("checkpoints") or 1
                return self.train(model, rows * settings["train"]["epochs"] * read, saved)
            case "train_classifier":
                rows = half * sum(name.startswith("checkpoint") for name in stage.inputs) * 2
                return self.train(self.weak, rows * settings["train"]["epochs"] * pair, 1)
            case "train_preferences":
                kept = 0.15 * 3 * half
                # Both sides of a pair, and the reference model reads them, too.
                return self.train(model, kept * settings["train"]["epochs"] * 2 * read * 4 / 3, 1)
            case "answer":
                return self.answer(model, stage, half)
            case "judge":
                pairs = 3 * half if "pairs" in stage.label else half
                return self.read(self.weak, 2 * pairs * pair)
            case _:
                return Cost(kind="rows", seconds=0.0, gpus=0, stored=0.0)

    def train(self, model: Model, tokens: float, saved: int) -> Cost:
        """Return the cost of training an adapter with checkpointing: 6 FLOPs for each weight and token.

        Forward 2, forward again 2, backward for the activations 2; the base has no gradients of weights."""
        needed = 2 * model.weights + 16 * model.adapter + 10e9
        gpus = math.ceil(needed / (self.gpu.usable * self.gpu.memory))
        seconds = 6 * model.weights * tokens / (gpus * self.gpu.flops * self.gpu.train_share)
        return Cost(kind="train", seconds=seconds + self._load(model), gpus=gpus, stored=4 * model.adapter * saved)

    def answer(self, model: Model, stage: Stage, half: int) -> Cost:
        """Return the cost of answering with beams or samples: prompts are read once, then token after token."""
        settings: dict[str, Any] = dict(stage.config)
        rows = self.data.test if settings["split"] == "test" else half
        rows = rows / 2 if "proposals" in stage.label else rows
        lines = rows * settings["decode"]["beams"] * settings["samples"]
        needed = 2 * model.weights + 15e9
        gpus = math.ceil(needed / (self.gpu.usable * self.gpu.memory))
        read = 2 * model.weights * rows * self.data.prompt / (gpus * self.gpu.flops * self.gpu.read_share)
        batch = min(lines, self.gpu.sequences * gpus)
        step = max(
            2 * model.weights / (gpus * self.gpu.bandwidth * self.gpu.bandwidth_share),
            2 * model.weights * batch / (gpus * self.gpu.flops * self.gpu.read_share),
        )
        seconds = read + math.ceil(lines / batch) * self.data.answer * step
        return Cost(
            kind="answer", seconds=seconds + self._load(model), gpus=gpus, stored=6.0 * lines * self.data.answer
        )

    def read(self, model: Model, tokens: float) -> Cost:
        """Return the cost of reading texts once."""
        gpus = math.ceil((2 * model.weights + 10e9) / (self.gpu.usable * self.gpu.memory))
        seconds = 2 * model.weights * tokens / (gpus * self.gpu.flops * self.gpu.read_share)
        return Cost(kind="judge", seconds=seconds + self._load(model), gpus=gpus, stored=0.0)

    def _load(self, model: Model) -> float:
        return 2 * model.weights / self.gpu.disk


def schedule(needs: Mapping[str, Sequence[str]], costs: Mapping[str, Cost], gpus: int) -> float | None:
    """Return the seconds of a schedule on some GPUs, or None if a stage needs more of them than there are.

    `needs` is in the order of the plan: each stage comes after the stages that it needs.
    """
    if any(cost.gpus > gpus for cost in costs.values()):
        return None
    path: dict[str, float] = {}
    for key in reversed(list(needs)):
        behind = (path[other] for other in path if key in needs[other])
        path[key] = costs[key].seconds + max(behind, default=0.0)
    waiting, running, done, now, free = list(needs), dict[str, float](), set[str](), 0.0, gpus
    while waiting or running:
        ready = sorted((key for key in waiting if done.issuperset(needs[key])), key=lambda key: -path[key])
        for key in ready:
            if costs[key].gpus <= free:
                free -= costs[key].gpus
                running[key] = now + costs[key].seconds
                waiting.remove(key)
        first = min(running, key=lambda key: running[key])
        now = running.pop(first)
        free += costs[first].gpus
        done.add(first)
    return now


def experiment(name: str, gpu: Gpu) -> dict[str, Any]:
    """Return what a config of the paper would cost."""
    weak, strong, data = PAPER[name]
    config = read_config(CONFIGS / f"{name}.yaml")
    calculator = Calculator(config, MODELS[weak], MODELS[strong], data, gpu)
    with tempfile.TemporaryDirectory() as empty:
        planner = planner_of(config, resolve(config, offline_ok=True), Store(Path(empty)))
    stages = {record.fingerprint: record.stage for record in planner.records}
    costs = {key: calculator.cost(stage) for key, stage in stages.items()}
    needs = {key: [need for need in stage.needs if need in stages] for key, stage in stages.items()}
    kinds = sorted({cost.kind for cost in costs.values()} - {"rows"})
    hours = {
        kind: sum(cost.seconds * cost.gpus for cost in costs.values() if cost.kind == kind) / 3600 for kind in kinds
    }
    walls = {str(gpus): schedule(needs, costs, gpus) for gpus in SIZES}
    return {
        "models": [weak, strong],
        "data": dataclasses.asdict(data),
        "seeds": len(config.seeds),
        "stages": len(stages),
        "trainings": sum(cost.kind == "train" for cost in costs.values()),
        "gpu_hours": {kind: round(value, 1) for kind, value in hours.items()} | {"all": round(sum(hours.values()), 1)},
        "stored_gb": round(sum(cost.stored for cost in costs.values()) / 1e9, 1),
        "hours_on_gpus": {gpus: None if wall is None else round(wall / 3600, 1) for gpus, wall in walls.items()},
    }


def millions(large: Refinement, gpu: Gpu) -> dict[str, Any]:
    """Return what a large refinement would cost."""
    model = MODELS[large.model]
    tokens = large.rows * large.epochs * (large.prompt + large.answer)
    trained = 6 * model.weights * tokens / (gpu.flops * gpu.train_share) / 3600
    step = max(
        2 * model.weights / (gpu.bandwidth * gpu.bandwidth_share),
        2 * model.weights * gpu.sequences / (gpu.flops * gpu.read_share),
    )
    read = 2 * model.weights * large.rows * large.prompt / (gpu.flops * gpu.read_share)
    answered = (read + math.ceil(large.rows / gpu.sequences) * large.answer * step) / 3600
    # Both orders of a pair are asked.
    requests = round(2 * large.rounds * large.rows * large.differ)
    return {
        **dataclasses.asdict(large),
        # Each round trains two models on half of the rows and answers every row. One model is trained at the end.
        "gpu_hours": {"train": round((large.rounds + 1) * trained), "answer": round(large.rounds * answered)},
        "judge_requests": requests,
        "judge_tokens_read": requests * (large.prompt + 2 * large.answer + large.asked),
    }


def main() -> None:
    """Calculate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    gpu = Gpu()
    found: dict[str, Any] = {
        "command": f"python benchmarks/cluster_cost.py --out {out}",
        "what": "calculated, not measured; the assumptions are in `gpu`, `models` and `data`",
        "gpu": dataclasses.asdict(gpu),
        "models": {name: dataclasses.asdict(model) for name, model in MODELS.items()},
        "experiments": {name: experiment(name, gpu) for name in PAPER},
        "ten_million_rows": millions(Refinement(), gpu),
    }
    out.write_bytes(pretty(found))
    for name, said in [*found["experiments"].items(), ("ten million rows", found["ten_million_rows"])]:
        print(f"{name}: {said}")


if __name__ == "__main__":
    main()
