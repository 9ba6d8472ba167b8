"""From results folders to verdicts: what is shown is held, what is not shown is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import better, claim, drawn, write_world

from burnish.evidence.measured import components_of, in_worlds
from burnish.evidence.page import claims_page
from burnish.evidence.verdicts import Finding, PValues, as_record, decide, verdict, weigh
from burnish.results import PairedRow
from burnish.stats import ByCounts, ByT, InEachWorld, benjamini_hochberg, over_seeds, variance_components

BASE = drawn(0.5)
SURE, UNSURE = 0.001, 0.4


@pytest.mark.parametrize(
    ("kind", "difference", "shown", "differs", "expected"),
    [
        ("gain", 0.1, SURE, SURE, Finding.HELD),
        ("gain", -0.1, SURE, SURE, Finding.NOT_HELD),
        ("gain", 0.1, UNSURE, UNSURE, Finding.NOT_TOLD_APART),
        ("loss", -0.1, SURE, SURE, Finding.HELD),
        ("loss", 0.1, SURE, SURE, Finding.NOT_HELD),
        ("loss", -0.1, UNSURE, UNSURE, Finding.NOT_TOLD_APART),
        ("no_gain", -0.1, SURE, SURE, Finding.HELD),
        ("no_gain", 0.1, UNSURE, SURE, Finding.NOT_HELD),
        ("no_gain", 0.01, SURE, SURE, Finding.HELD),
        ("no_gain", 0.0, UNSURE, UNSURE, Finding.NOT_TOLD_APART),
        ("no_gain", -0.1, UNSURE, SURE, Finding.NOT_TOLD_APART),
        ("alike", 0.0, SURE, UNSURE, Finding.HELD),
        ("alike", -0.1, UNSURE, SURE, Finding.NOT_HELD),
        ("alike", 0.0, UNSURE, UNSURE, Finding.NOT_TOLD_APART),
    ],
)
def test_nothing_is_held_by_default(
    kind: str, difference: float, shown: float, differs: float, expected: Finding
) -> None:
    assert verdict(claim(kind).kind, difference, PValues(shown=shown, differs=differs)) is expected


def test_verdicts_on_a_clear_gain(tmp_path: Path) -> None:
    write_world(tmp_path / "one", {"base": BASE, "ours": better(BASE, 0.4)})
    found = decide([claim(kind) for kind in ("gain", "loss", "no_gain", "alike")], tmp_path)
    assert [one.finding for one in found] == [Finding.HELD, Finding.NOT_HELD, Finding.NOT_HELD, Finding.NOT_HELD]


def test_verdicts_on_equal_answers(tmp_path: Path) -> None:
    write_world(tmp_path / "one", {"base": BASE, "ours": BASE})
    gain, alike = decide([claim("gain"), claim("alike")], tmp_path)
    assert (gain.finding, alike.finding) == (Finding.NOT_TOLD_APART, Finding.HELD)
    low, high = as_record(gain)["ci95"]
    assert low < 0 < high


def test_few_data_leave_everything_undecided(tmp_path: Path) -> None:
    small = drawn(0.5, (2, 1, 10))
    write_world(tmp_path / "one", {"base": small, "ours": better(small, 0.2)})
    found = decide([claim(kind) for kind in ("gain", "loss", "no_gain", "alike")], tmp_path)
    assert {one.finding for one in found} == {Finding.NOT_TOLD_APART}


def test_a_gain_in_one_of_two_worlds_is_not_held(tmp_path: Path) -> None:
    write_world(tmp_path / "one", {"base": BASE, "ours": better(BASE, 0.4)})
    write_world(tmp_path / "two", {"base": BASE, "ours": BASE}, task=1, models=1)
    (one, both) = decide([claim("gain"), claim("gain", "one", "two", id="both")], tmp_path)
    assert (one.finding, both.finding) == (Finding.HELD, Finding.NOT_TOLD_APART)
    assert isinstance(both.weighed.found, InEachWorld)
    assert [world["results"] for world in as_record(both)["worlds"]] == ["one", "two"]


@pytest.mark.parametrize(("models", "kind"), [(range(4), ByT), ((0, 0, 1, 1), InEachWorld)])
def test_four_worlds_are_a_sample_if_they_have_nothing_in_common(
    tmp_path: Path, models: Any, kind: type[ByT | InEachWorld]
) -> None:
    names = ("a", "b", "c", "d")
    for number, (name, model) in enumerate(zip(names, models, strict=True)):
        base = drawn(0.5, (2, 1, 50), seed=number)
        write_world(tmp_path / name, {"base": base, "ours": better(base, 0.3, number + 10)}, task=number, models=model)
    assert isinstance(weigh(claim("gain", *names), tmp_path).found, kind)


def test_all_tests_of_the_list_are_corrected_together(tmp_path: Path) -> None:
    write_world(tmp_path / "one", {"base": BASE, "ours": better(BASE, 0.4)})
    claims = [claim("gain"), claim("alike", id="alike"), claim("gain", "missing", id="open")]
    found = decide(claims, tmp_path)
    gain, alike = (one.weighed.tests for one in found[:2])
    assert gain is not None
    assert alike is not None
    # The gain has one test, the other claim two, and the open one has none.
    expected = benjamini_hochberg([gain.shown, alike.shown, alike.differs])
    assert found[0].q == PValues(shown=expected[0], differs=expected[0])
    assert found[1].q == PValues(shown=expected[1], differs=expected[2])
    assert (found[2].finding, found[2].q) == (Finding.OPEN, None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"results": ("one", "two")}, "There are no results in two yet."),
        ({"a": {"method": "theirs", "round": 0}}, "one has no test_accuracy of theirs after round 0."),
        ({"b": {"method": "base", "round": 3}}, "one has no test_accuracy of base after round 3."),
    ],
)
def test_a_claim_without_its_results_stays_open(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    write_world(tmp_path / "one", {"base": BASE, "ours": BASE})
    (found,) = decide([claim("gain", **changes)], tmp_path)
    assert found.finding is Finding.OPEN
    assert found.weighed.why == why
    record = as_record(found)
    assert (record["verdict"], record["why"]) == ("open", why)
    assert "difference" not in record


def test_grades_are_averaged_over_orders_and_paired_by_prompt(tmp_path: Path) -> None:
    base, ours = drawn(0.5, (3, 2, 40)), drawn(0.6, (3, 3, 40), seed=5)
    write_world(tmp_path / "one", {"base": base, "ours": ours})
    (world,) = in_worlds(claim(), tmp_path)
    assert world.found == over_seeds(ours.mean(axis=1), base.mean(axis=1))
    assert (world.seeds, world.orders, world.prompts) == (3, 2, 40)
    assert world.basis == "single grades; covers seeds, row orders, prompts"
    # Components need as many orders on both sides: the first two of each.
    assert components_of([world]) == variance_components((ours[:, :2] - base)[None, None])


def test_components_tell_worlds_from_base_models_where_they_are_crossed(tmp_path: Path) -> None:
    names = {"aa": (0, 0), "ab": (0, 1), "ba": (1, 0), "bb": (1, 1)}
    for number, (name, (task, models)) in enumerate(names.items()):
        base = drawn(0.5, (2 + number % 2, 1, 30), seed=number)
        write_world(tmp_path / name, {"base": base, "ours": better(base, 0.3)}, task=task, models=models)
    crossed = {part.name: part for part in components_of(in_worlds(claim("gain", *names), tmp_path))}
    assert crossed["world"].variance is not None
    assert crossed["base"].variance is not None
    together = {part.name: part for part in components_of(in_worlds(claim("gain", "aa", "bb"), tmp_path))}
    assert together["world"].variance is not None
    assert together["base"].variance is None


def row(difference: float, ci95: tuple[float, float]) -> PairedRow:
    return PairedRow(
        metric="test_accuracy",
        a="ours",
        a_round=0,
        b="base",
        b_round=0,
        difference=difference,
        ci95=ci95,
        seeds=5,
        prompts=200,
    )


def test_an_old_folder_is_used_for_what_is_there(tmp_path: Path) -> None:
    ours = better(BASE, 0.4)
    write_world(tmp_path / "one", {"base": BASE, "ours": ours}, graded=False)
    means = (ours - BASE).mean(axis=(1, 2))
    (world,) = in_worlds(claim(), tmp_path)
    assert isinstance(world.found, ByT)
    assert world.found.value == pytest.approx(means.mean())
    assert world.found.error == pytest.approx(means.std(ddof=1) / np.sqrt(5))
    assert (world.prompts, world.basis) == (0, "no single grades; covers seeds")
    assert components_of([world]) == ()
    # A recorded bootstrap over seeds and prompts is wider: what it has more is the part of prompts.
    write_world(tmp_path / "two", {"base": BASE, "ours": ours}, graded=False, paired=[row(means.mean(), (0.1, 0.3))])
    (wider,) = in_worlds(claim("gain", "two"), tmp_path)
    assert isinstance(wider.found, ByT)
    booted = (0.2 / 2 / 1.959964) ** 2
    assert wider.found.error**2 == pytest.approx(booted + world.found.error**2 / 5, rel=1e-4)
    assert wider.basis == "no single grades; covers seeds and prompts, by the recorded interval"


def test_an_old_folder_without_any_noise(tmp_path: Path) -> None:
    write_world(tmp_path / "one", {"base": BASE, "ours": BASE}, graded=False)
    (world,) = in_worlds(claim(), tmp_path)
    right = round(200 * BASE.mean())
    assert world.found == ByCounts(both=right, first_only=0, second_only=0, neither=200 - right)
    write_world(tmp_path / "two", {"base": BASE[:1], "ours": BASE[:1]}, graded=False)
    (found,) = decide([claim("alike", "two")], tmp_path)
    assert found.finding is Finding.OPEN
    assert "no grades of single prompts" in found.weighed.why


def test_another_metric_is_compared_over_seeds(tmp_path: Path) -> None:
    write_world(tmp_path / "one", {"base": BASE, "ours": BASE})
    sides = ({"method": name, "round": 0, "metric": "label_accuracy"} for name in ("ours", "base"))
    (world,) = in_worlds(claim("gain", a=next(sides), b=next(sides)), tmp_path)
    # 0.10 to 0.14 in five seeds: mean 0.12, error sqrt(0.00025 / 5)
    assert (world.found.value, world.prompts) == (pytest.approx(0.12), 0)
    assert isinstance(world.found, ByT)
    assert world.found.error == pytest.approx(0.00707, abs=1e-5)


def test_two_folders_are_compared_by_seed_and_prompt(tmp_path: Path) -> None:
    ours = better(BASE, 0.4)
    write_world(tmp_path / "one", {"ours": ours})
    write_world(tmp_path / "two", {"base": BASE[:4]})
    sides = {"b": {"method": "base", "round": 0, "results": ("two",)}}
    (world,) = in_worlds(claim("gain", **sides), tmp_path)
    assert world.found == over_seeds(ours[:4, 0], BASE[:4, 0])
    assert as_record(decide([claim("gain", **sides)], tmp_path)[0])["worlds"][0]["results"] == ["one", "two"]


def test_the_page_says_what_was_decided_and_what_is_open(tmp_path: Path) -> None:
    write_world(tmp_path / "one", {"base": BASE, "ours": better(BASE, 0.4)})
    write_world(tmp_path / "two", {"base": BASE, "ours": BASE}, task=1, models=1)
    claims = [
        claim("gain"),
        claim("no_gain", "one", "two", id="both", seen=True, statement="Ours | theirs do not differ."),
        claim("gain", "three", id="open"),
    ]
    page = claims_page(decide(claims, tmp_path))
    assert "Of 3 claims: 1 held, 0 not held, 1 cannot be told apart, 1 open. 3 tests were corrected together." in page
    assert "There are no results in three yet." in page
    assert "Ours \\| theirs do not differ. (no gain; margin 5.0)" in page
    assert "one +" in page  # each world's own difference
    assert "5 seeds x 200 prompts, single grades; covers seeds, prompts" in page
    before, after = page.index("registered before their results"), page.index("when their results were known")
    assert before < page.index("(gain)") < after < page.index("(no gain; margin 5.0)")
