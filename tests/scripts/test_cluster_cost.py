"""The calculated costs on GPUs: the simulated schedule, and the formulas by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from cluster_cost import MODELS, PAPER, Cost, Gpu, Refinement, experiment, millions, schedule  # noqa: E402

NEEDS = {"a": [], "b": [], "c": ["a"], "d": ["a", "b"], "e": ["c"]}


def costs(**gpus: int) -> dict[str, Cost]:
    seconds = {"a": 2.0, "b": 3.0, "c": 4.0, "d": 1.0, "e": 5.0}
    return {key: Cost(kind="train", seconds=each, gpus=gpus.get(key, 1), stored=0) for key, each in seconds.items()}


def test_one_gpu_does_everything_in_turn() -> None:
    assert schedule(NEEDS, costs(), 1) == 15.0


def test_more_gpus_end_at_the_longest_path() -> None:
    assert schedule(NEEDS, costs(), 2) == 11.0  # a, c, e
    assert schedule(NEEDS, costs(), 64) == 11.0


def test_a_stage_waits_until_enough_gpus_are_free() -> None:
    # c needs both GPUs, so it starts when b has ended.
    assert schedule(NEEDS, costs(c=2), 2) == 3.0 + 4.0 + 5.0
    assert schedule(NEEDS, costs(c=3), 2) is None


def test_ten_million_rows_by_hand() -> None:
    found = millions(Refinement(), Gpu())
    trained = 6 * MODELS["mistral-7b"].weights * 10e6 * 300 / (989e12 * 0.35) / 3600
    assert found["gpu_hours"]["train"] == pytest.approx(3 * trained, abs=1)
    assert found["judge_requests"] == 20_000_000


@pytest.mark.slow
def test_the_committed_figures_are_what_the_code_calculates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    committed = json.loads((ROOT / "docs" / "results" / "cluster-cost.json").read_text())
    assert committed["experiments"] == json.loads(json.dumps({name: experiment(name, Gpu()) for name in PAPER}))
    assert committed["ten_million_rows"] == millions(Refinement(), Gpu())
