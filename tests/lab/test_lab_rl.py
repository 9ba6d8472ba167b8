"""Reinforcement learning in whole experiments on the fake backend: rewards, curves, rounds, what cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment import ROWS, Poor, gold, measured, small

from burnish.steps.artifacts import TRAINING, read_json
from burnish.steps.reinforcing import read_policy_curve

ORACLE = {"annotator": {"kind": "oracle"}}


def rl(**changes: Any) -> dict[str, Any]:
    return {"kind": "rl", "reward": "checker", "steps": 4, "prompts": 8, "samples": 4, **changes}


def test_a_policy_learns_from_the_checker(tmp_path: Path) -> None:
    found = measured(small(methods=[{"kind": "sft"}, rl(rounds=2)]), tmp_path, Poor(gold()))
    before, after = (found.outcome("rl", number).round.model for number in (0, 2))
    assert before == found.outcome("sft", 0).round.model
    assert skill(after) == pytest.approx(skill(before) + 2 * 4 * 0.02)
    for number in (1, 2):
        curve = read_policy_curve(found.outcome("rl", number).training)
        assert [point.step for point in curve] == [1, 2, 3, 4]
        assert [point.kl for point in curve] == pytest.approx([0, 0.1, 0.2, 0.3])
        run = found.run("rl", number)
        assert run.counts["train_rows"] == 4 * 8
        # Labels stay as they are.
        assert run.metrics["label_accuracy"] == found.run("sft", 0).metrics["label_accuracy"]


def skill(model: Any) -> float:
    return float((Path(model.path) / "skill.json").read_text())


def test_rewards_are_standardised_on_samples_of_the_first_policy(tmp_path: Path) -> None:
    found = measured(small(methods=[rl()]), tmp_path, Poor(gold()))
    (scale,) = read_json(found.outcome("rl", 1).training, TRAINING)["scales"]
    # A share p of right answers has the standard deviation sqrt(p (1 - p)).
    right = round(scale["mean"] * ROWS)
    assert scale["mean"] == pytest.approx(right / ROWS)
    assert scale["sd"] == pytest.approx((scale["mean"] * (1 - scale["mean"])) ** 0.5)
    first = read_policy_curve(found.outcome("rl", 1).training)[0]
    assert first.accuracy is not None
    assert first.reward == pytest.approx((first.accuracy - scale["mean"]) / scale["sd"])
