"""Experiments with `rounds: auto`: every seed has every round, for any number of workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from experiment import fake, small
from pydantic import ValidationError
from working import DECODE, TWO, faked, outputs, ran

from burnish.config import Config
from burnish.lab.running import plan, run
from burnish.results import Results
from burnish.store.gc import collect
from burnish.store.stages import Store

AUTO: dict[str, Any] = {"kind": "ilr", "rounds": "auto", "max_rounds": 4, "gate": 0.66, "alpha": 0.4}
FIXED: dict[str, Any] = {"kind": "ilr", "name": "fixed", "rounds": 4, "gate": 0.66, "alpha": 0.4}


def config(*methods: dict[str, Any], **changes: Any) -> Config:
    return small(methods=[{"kind": "sft"}, *methods], seeds=[0, 1, 2], decode=DECODE, **changes)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("alone")
    run(config(AUTO, FIXED), where / "out", where / "store", backend=fake)
    return where


def results(where: Path) -> Results:
    return Results.model_validate_json((where / "out" / "results.json").read_bytes())


@pytest.mark.slow
def test_every_seed_has_every_round_and_what_follows_the_end_repeats_it(alone: Path) -> None:
    found = results(alone)
    ends: set[int] = set()
    for seed in (0, 1, 2):
        rounds = {run.round: run for run in found.runs if run.method == "ilr" and run.seed == seed}
        fixed = {run.round: run for run in found.runs if run.method == "fixed" and run.seed == seed}
        assert list(rounds) == [0, 1, 2, 3, 4]
        # The first round in which less than a fifth of the preferred proposals holds is the end.
        share = {k: fixed[k].counts["held"] / max(fixed[k].counts["preferred"], 1) for k in range(1, 5)}
        end = next((k for k in range(1, 5) if share[k] < 0.2), 5)
        ends.add(end)
        for k in range(1, 5):
            if k < end:
                assert (rounds[k].metrics, rounds[k].counts) == (fixed[k].metrics, fixed[k].counts)
            else:
                assert rounds[k].metrics["test_accuracy"] == rounds[end - 1].metrics["test_accuracy"]
                assert rounds[k].metrics["label_accuracy"] == rounds[end - 1].metrics["label_accuracy"]
                assert ("held" in rounds[k].counts) is (k == end)
        if end < 5:
            assert rounds[end].counts.get("accepted", 0) == 0
    # Without an end and without a round that goes on, this would show nothing.
    assert any(1 < end < 5 for end in ends), ends


@pytest.mark.slow
def test_results_are_the_same_for_two_workers_and_no_round_after_the_end_is_computed(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faked(monkeypatch)
    out = ran(config(AUTO, FIXED, execution=TWO), tmp_path)
    for name in ("results.json", "changes.jsonl", "confidence.jsonl"):
        assert (out / name).read_bytes() == (alone / "out" / name).read_bytes()
    assert outputs(tmp_path / "store") == outputs(alone / "store")


@pytest.mark.slow
def test_workers_compute_only_the_rounds_up_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch)
    ran(config(AUTO, execution=TWO), tmp_path)
    again = tmp_path / "again"
    run(config(AUTO), again / "out", again / "store", backend=fake)
    assert outputs(tmp_path / "store") == outputs(again / "store")
    assert collect(Store(tmp_path / "store"), dry_run=True) == []
    # A plan now knows every decision, so nothing is left to run.
    assert {stage.state for stage in plan(config(AUTO), tmp_path / "store").stages} == {"done"}


def test_a_dry_run_shows_all_rounds_that_may_run(tmp_path: Path) -> None:
    labels = [stage.label for stage in plan(config(AUTO), tmp_path / "store").stages]
    assert [f"seed {seed} round 4 stopping rule" in labels for seed in (0, 1, 2)] == [True] * 3
    assert not list(tmp_path.glob("store/stages/*"))


def test_dpo_cannot_follow_an_unknown_number_of_rounds() -> None:
    after = {"kind": "dpo", "after": {key: value for key, value in AUTO.items() if key != "name"}}
    with pytest.raises(ValidationError, match="rounds: auto cannot be used before another method"):
        config(after)


@pytest.mark.slow
def test_a_config_with_a_number_of_rounds_is_recorded_as_before(alone: Path) -> None:
    found = json.loads((alone / "out" / "results.json").read_text())["config"]["methods"]
    assert "max_rounds" not in found[2]
    assert found[1]["max_rounds"] == 4
