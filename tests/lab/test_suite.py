"""Several experiments as one run: places, what they share, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from experiment import small

from burnish.errors import ConfigError
from burnish.lab.running import planned
from burnish.lab.suite import models_of, run_suite, slug
from burnish.store.stages import Store

SWEEP = """
name: tiny
task: {kind: sums, train: 120, test: 20}
models: {weak: "builtin:weak", strong: "builtin:strong"}
supervision: {demonstrations: gold, annotator: {kind: oracle}}
train: {epochs: 1, learning_rate: 1e-3, lora: null}
decode: {beams: 1, max_new_tokens: 24}
methods: [{kind: sft}, {kind: dpo, rounds: 1, samples: 2}]
execution: {workers: 2}
variants:
  one seed: {}
  two seeds: {seeds: [0, 1]}
"""


def test_a_label_becomes_a_folder() -> None:
    assert [slug(label) for label in ("weak to strong", "a/b", "../x", "..", "")] == [
        "weak-to-strong",
        "a-b",
        "x",
        "",
        "",
    ]


def test_two_experiments_with_one_place_are_refused(tmp_path: Path) -> None:
    configs = [small(variant="a b"), small(variant="a-b")]
    with pytest.raises(
        ConfigError, match=r"name: two experiments would write into '.*small/a-b'; give one of them another"
    ):
        run_suite(configs, tmp_path)


def test_shared_models_are_counted_once(tmp_path: Path) -> None:
    sft, ilr = {"kind": "sft"}, {"kind": "ilr", "rounds": 1}
    configs = [small(name="first", methods=[sft]), small(name="second", methods=[sft, ilr])]
    models = models_of(configs, Store(tmp_path))
    # First: p~, its judge, SFT. Second: the same, two half-data models, and the round's.
    assert (models.trained, models.alone) == (6, 3 + 6)
    assert models.share == "67 %"


def test_settings_of_one_name_are_one_experiment(tmp_path: Path) -> None:
    configs = [small(variant="a"), small(variant="b", seeds=[0, 1])]
    models = models_of(configs, Store(tmp_path))
    assert models.trained == models.alone


def test_a_plan_refers_to_what_it_will_make(tmp_path: Path) -> None:
    from burnish.lab.inputs import resolve

    config = small()
    records = planned(config, resolve(config, offline_ok=False), Store(tmp_path))
    assert len({record.fingerprint for record in records}) == len(records)
    assert not any(record.reused for record in records)


@pytest.mark.slow
def test_a_sweep_from_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "tiny.yaml").write_text(SWEEP)
    command = [sys.executable, "-m", "burnish", "run", "tiny.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report: runs/report.html" in done.stdout
    for label, seeds in (("one-seed", 1), ("two-seeds", 2)):
        place = tmp_path / "runs" / "tiny" / label
        results = json.loads((place / "results.json").read_text())
        assert len({run["seed"] for run in results["runs"]}) == seeds
        timings = json.loads((place / "timings.json").read_text())
        assert not all(stage["reused"] for stage in timings["stages"])  # what workers did is this run's work
    suite = json.loads((tmp_path / "runs" / "suite.json").read_text())
    assert suite["models_trained"] == suite["models_alone"] > 0
    assert "one seed" in (tmp_path / "runs" / "tiny" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gsm8k-gemma2b-mistral7b", "gsm8k-mistral7b-llama70b"])
def test_the_papers_own_settings_are_planned_offline(name: str, tmp_path: Path) -> None:
    config = Path(__file__).parents[2] / "configs" / f"{name}.yaml"
    command = [sys.executable, "-m", "burnish", "run", str(config), "--dry-run"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "unresolved  openai/gsm8k" in done.stdout
    assert "0 done" in done.stdout
