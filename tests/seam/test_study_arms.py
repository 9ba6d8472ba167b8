"""The experiments with reinforcement learning, on the fake backend: arms, what they keep or add, and their page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from refinement import fake
from test_study import backend

from burnish.algorithms.reinforcement import PolicyPoint
from burnish.config.seam_study import AnyStudy, MismatchStudy, SeamStudy, SelectionArm
from burnish.errors import ConfigError, DataError
from burnish.seam.arm_page import paired
from burnish.seam.arm_results import TRUTH, ArmResults, Quantity
from burnish.seam.study_arms import chosen
from burnish.seam.study_rl import POINTS, thinned
from burnish.seam.study_run import run_study

TRAIN = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 8, "lora": None}
OWN = {"kind": "own", "samples": 8}


def study(kind: str, **more: Any) -> SeamStudy:
    given: dict[str, Any] = {
        "kind": kind,
        "name": "tiny",
        "task": {"kind": "sums", "train": 160, "test": 8},
        "base": "builtin:strong",
        "rejected_by": "builtin:weak",
        "rejected_rows": 5,
        "samples": 6,
        "train": TRAIN,
        "train_rewards": TRAIN,
        "seeds": [0],
        "rl": {"steps": 3, "prompts": 4, "samples": 4},
        "rl_rows": 20,
    }
    return TypeAdapter[SeamStudy](AnyStudy).validate_python(given | more)


def arms_of(kind: str, where: Path, units: list[str] | None = None, **more: Any) -> ArmResults:
    settings = study(kind, **more)
    made = backend(settings, units)
    found = run_study(settings, where / "store", where / "out", lambda: made)
    assert isinstance(found, ArmResults)
    return found


@pytest.mark.slow
def test_every_policy_is_trained_on_every_reward_and_on_the_truth_and_nothing_is_computed_twice(
    tmp_path: Path,
) -> None:
    more: dict[str, Any] = {"policies": [5, 20], "rewards": [4, 8]}
    units: list[str] = []
    found = arms_of("saturation", tmp_path, units, **more)
    assert [(one.policy, one.reward) for one in found.arms] == [
        (policy, reward) for policy in (5, 20) for reward in ("4 pairs", "8 pairs", TRUTH)
    ]
    assert (units.count("train_rewards"), units.count("train_policy")) == (2, 6)
    units.clear()
    assert arms_of("saturation", tmp_path, units, **more) == found
    assert units == []
    assert ArmResults.model_validate(json.loads((tmp_path / "out" / "results.json").read_text())) == found
    for one in found.arms:
        learned = one.reward != TRUTH
        assert (one.off_policy is not None) == learned == (one.before.mismatch is not None)
        assert one.prompts == 20
        assert one.steps == len(one.curve) == 3
    # The fake policy learns from the true reward.
    assert all(one.curve[-1].kl > one.curve[0].kl for one in found.arms)
    page = (tmp_path / "out" / "report.html").read_text()
    for word in ("policy on 20 rows", "8 pairs", "truth", "Right answers while training"):
        assert word in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_arms_of_selection_differ_in_their_prompts_alone(tmp_path: Path) -> None:
    arms = [
        {"name": "all", "by": "all"},
        {"name": "low", "by": "seam", "keep": 0.5},
        {"name": "high", "by": "seam", "keep": 0.5, "order": "highest"},
        {"name": "random", "by": "random", "keep": 0.5},
        {"name": "oracle", "by": "mismatch", "keep": 0.5},
    ]
    found = arms_of("selection", tmp_path, seeds=[0, 1], policy=20, reward=8, source=OWN, arms=arms)
    assert [(one.seed, one.arm) for one in found.arms] == [(s, arm["name"]) for s in (0, 1) for arm in arms]
    first = {one.arm: one for one in found.arms if one.seed == 0}
    assert first["all"].prompts == 20
    assert first["low"].prompts == first["high"].prompts == first["random"].prompts < 20
    assert len({one.before.sampled.value for one in first.values()}) == 1
    table = paired(found.arms[1:2], found.arms[:1], Quantity.SAMPLED)
    low, everything = (first[name].after.sampled.value for name in ("low", "all"))
    assert low is not None
    assert everything is not None
    assert table.value == pytest.approx(low - everything)
    differences = (
        (tmp_path / "out" / "report.html").read_text().split("Differences, paired by seed")[1].split("</table>")[0]
    )
    assert "Samples right after RL" in differences
    # All arms have one reward model, so these are the same for all of them.
    for shared in ("Mismatch before RL", "held-out pairs"):
        assert shared not in differences


@pytest.mark.slow
def test_arms_of_augmentation_have_as_many_pairs(tmp_path: Path) -> None:
    arms = [
        {"name": "none", "add": "nothing"},
        {"name": "standard", "add": "more"},
        {"name": "random", "add": "random", "source": OWN},
        {"name": "seam", "add": "seam", "source": OWN},
    ]
    more: dict[str, Any] = {"policy": 10, "reward": 8, "pool_rows": 20, "rl_rows": 15, "arms": arms, "share": 1.0}
    found = arms_of("augmentation", tmp_path, extra=3, **more)
    assert [(one.arm, one.reward) for one in found.arms] == [
        ("none", "8 pairs"),
        ("standard", "11 pairs"),
        ("random", "11 pairs"),
        ("seam", "11 pairs"),
    ]
    few = more | {"pairs_a_prompt": 1, "share": 0.1, "extra": 6}
    with pytest.raises(DataError, match=r"arms: (random|seam): 6 pairs are to be added, but only"):
        arms_of("augmentation", tmp_path / "more", None, **few)


def test_what_an_arm_keeps() -> None:
    values = {"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.3, "e": None}

    def kept(**arm: Any) -> set[str]:
        return chosen(SelectionArm(name="x", **arm), values, 0)

    assert kept(by="all") == set(values)
    assert kept(by="seam", keep=0.5) == {"a", "d", "e"}
    assert kept(by="mismatch", keep=0.5, order="highest") == {"b", "c", "e"}
    assert len(kept(by="random", keep=0.5)) == 3
    assert len({frozenset(chosen(SelectionArm(name="x", by="random", keep=0.5), values, s)) for s in range(9)}) > 1


def test_a_curve_keeps_its_ends() -> None:
    def point(step: int) -> PolicyPoint:
        return PolicyPoint(step=step, reward=0.0, accuracy=None, kl=0.1, length=3, unfinished=0, unscored=0, flat=0)

    assert [one.step for one in thinned([point(1)])] == [1]
    steps = [one.step for one in thinned([point(n) for n in range(1, 51)])]
    assert (steps[0], steps[-1], len(steps)) == (1, 50, POINTS)


def test_settings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source: none given, but add is 'seam'"):
        study("augmentation", policy=5, reward=5, pool_rows=5, extra=2, arms=[{"name": "a", "add": "seam"}])
    with pytest.raises(ValueError, match="source: one found, but add is 'more'"):
        study(
            "augmentation",
            policy=5,
            reward=5,
            pool_rows=5,
            extra=2,
            arms=[{"name": "a", "add": "more", "source": {"kind": "own"}}],
        )
    with pytest.raises(ValueError, match="only that of rejected_by, 'builtin:weak', is finetuned here"):
        MismatchStudy.model_validate(
            study("saturation", policies=[5], rewards=[2]).model_dump(exclude={"rl", "rl_rows"})
            | {"kind": "mismatch", "sources": [{"kind": "weaker", "model": "builtin:weak-long"}]}
        )
    with pytest.raises(ValueError, match="two have the name 'a'"):
        study("selection", policy=5, reward=5, source=OWN, arms=[{"name": "a"}, {"name": "a", "by": "all"}])
    with pytest.raises(DataError, match=r"task\.train: 160 rows, of which 20 are kept, but 141 are wanted"):
        run_study(study("saturation", policies=[5], rewards=[2], rejected_rows=141), tmp_path, tmp_path, fake)
    with pytest.raises(DataError, match=r"task\.train: 160 rows, of which 161 are kept, but 161 are wanted"):
        run_study(study("saturation", policies=[5], rewards=[2], rl_rows=161), tmp_path, tmp_path, fake)
    with pytest.raises(ConfigError, match="nothing computes such an experiment"):
        run_study(SeamStudy.model_construct(kind="other"), tmp_path, tmp_path, fake)
