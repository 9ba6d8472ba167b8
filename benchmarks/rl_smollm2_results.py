"""What rl_smollm2.py publishes: its measurements so far, without anybody's texts and without folders of a machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.algorithms.seam import SHOWN, Variant
from burnish.results import Metric, read_models, read_results
from burnish.seam.table import TableRow, read_table
from burnish.stats import mean_interval, share_over_items

RUNS = ("policy", "rl-checker", "rl-model")
"""The folders of experiments. The later ones have the models of the earlier ones, too."""
SOURCES = ("adversarial", "weaker")
"""The sources of worse answers."""
FILES = ("pairs", "off-policy")
"""The files of pairs."""


def measured(place: Path) -> dict[str, Any]:
    """Return what the parts in the folder `place` have measured so far. A part that was not done is null."""
    names = {
        str(place / "reward"): "the reward model",
        **{str(place / f"{name}.jsonl"): f"{name}.jsonl" for name in FILES},
    }
    accuracy: dict[str, Any] = {}
    for run in RUNS:
        if (place / run / "results.json").exists():
            names |= {one.folder: one.label.removeprefix("seed 0 ") for one in read_models(place / run).models}
            accuracy |= {
                f"{one.method}, round {one.round}": one.metrics["test_accuracy"].model_dump(mode="json")
                for one in read_results(place / run).runs
            }
    reports = {
        "reward_model": place / "reward" / "reward.json",
        "fit": place / "check" / "check.json",
        **{f"mismatch_against_{source}": place / f"mismatch-{source}" / "mismatch.json" for source in SOURCES},
        "mismatch_after": place / "mismatch-after" / "mismatch.json",
    }
    tables = {source: place / f"seam-{source}" / "table.jsonl" for source in SOURCES}
    return {
        "test_accuracy": accuracy,
        **{name: renamed(read_json(path), names) for name, path in reports.items()},
        "seam": {source: means_of(read_table(path)) if path.exists() else None for source, path in tables.items()},
    }


def read_json(path: Path, missing: Any = None) -> Any:
    """Return the content of a JSON file, or `missing` if there is none."""
    return json.loads(path.read_bytes()) if path.exists() else missing


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a report in which each folder of a model has the model's name."""
    if isinstance(value, dict):
        return {key: renamed(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [renamed(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


def means_of(rows: Sequence[TableRow]) -> dict[str, Any]:
    """Return the means of a table of SEAM, with intervals over prompts, and how many answers were scored."""
    found = {variant: [v for row in rows if (v := row.score.values[variant]) is not None] for variant in SHOWN}
    means = {
        # The margin is no share.
        str(variant): (mean_interval if variant is Variant.MARGIN else share_over_items)(values)
        for variant, values in found.items()
        if values
    }
    return {
        "prompts": len(rows),
        "undefined": sum(not row.score.defined for row in rows),
        "answers": sum(1 + len(row.worse) for row in rows),
        "means": {name: Metric.of(interval).model_dump(mode="json") for name, interval in means.items()},
    }


def cost(sessions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the CPU seconds of each part, all its sessions together."""
    parts: dict[str, float] = {}
    for one in sessions:
        parts[one["part"]] = round(parts.get(one["part"], 0.0) + one["cpu_seconds"], 1)
    return parts
