"""The annotator's quality as a dial: each built-in judge's share right of the decisive pairs in round 1, and what one
round of refinement with it does.

    python benchmarks/dial.py --seeds 0 1 --out docs/results/dial.json

Shares its stages with configs/embedded.yaml when both use one store.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from burnish.config import Config
from burnish.running import run
from burnish.stats import mean_interval

CONFIG = Path(__file__).parent.parent / "configs" / "embedded.yaml"
LIKELIHOOD = [f"builtin:judge-{number}" for number in range(1, 6)]
COMPARER = {
    "kind": "classifier",
    "model": "builtin:comparer",
    "checkpoints": 10,
    "decode": {"beams": 1, "max_new_tokens": 32, "temperature": 0.6},
    "train": {"epochs": 1, "learning_rate": 1e-3, "batch_size": 16, "lora": None, "schedule": "linear"},
}


def annotators(with_classifier: bool) -> dict[str, dict[str, Any]]:
    """Return the dial's positions by name."""
    found: dict[str, dict[str, Any]] = {name: {"kind": "likelihood", "model": name} for name in LIKELIHOOD}
    return found | ({"builtin:comparer": COMPARER} if with_classifier else {})


def measure(name: str, annotator: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Run one round with an annotator and return what it measured, a value a seed."""
    values: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    values["name"] = f"dial-{name.removeprefix('builtin:')}"
    values["supervision"] |= {"annotator": annotator}
    values["methods"] = [{"kind": "ilr", "rounds": 1, "alpha": 0.15}]
    values["seeds"] = options.seeds
    results = run(Config.model_validate(values), out=options.runs / values["name"], store=options.store).results
    first = [item for item in results.runs if item.method == "ilr" and item.round == 1]
    accuracy = [item.metrics["annotator_accuracy"] for item in first]
    right = mean_interval([metric.value for metric in accuracy if metric.value is not None])
    return {
        "annotator": name,
        "kind": annotator["kind"],
        "annotator_accuracy": [metric.value for metric in accuracy],
        "decisive_pairs": [metric.n for metric in accuracy],
        "mean": right.value,
        "label_accuracy": [item.metrics["label_accuracy"].value for item in first],
        "test_accuracy": [item.metrics["test_accuracy"].value for item in first],
    }


def main() -> None:
    """Measure every position, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--store", type=Path, default=Path(".burnish"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--classifier", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = [measure(name, annotator, options) for name, annotator in annotators(options.classifier).items()]
    text = json.dumps({"seeds": options.seeds, "round": 1, "annotators": found}, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
