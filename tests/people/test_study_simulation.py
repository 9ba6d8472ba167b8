"""The simulated study at a tiny size: through a real server to Figure 6, and again after a stop."""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import simulated_study
import simulated_texts
from simulated_people import GAP, Crowd, Shown, World, drawn, shown_on
from simulated_serving import judged
from simulated_study import Simulation
from simulated_texts import Row, Side, updated
from study_pages import COMPARISONS, in_process, made_study, rows

from burnish.people.study.model import AnswerRow, AssignmentState, ItemRole, ReviewVerdict


def alpaca(path: Path, count: int) -> Path:
    rows = [
        {"instruction": f"Say {number}.", "input": "", "output": f"{number} is said in {number} words. " * 4}
        | {"subsets": [simulated_texts.SUBSET]}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_share_of_right_choices_is_the_planted_accuracy() -> None:
    crowd = Crowd(bots=0, leave=0, lean=0, accuracy=(0.8, 0.8), gain=100.0)
    question = Shown(token="t", prompt="q", first="worse", second="better")
    world = World(crowd=crowd, quality={("q", "worse"): 0.0, ("q", "better"): GAP}, texts={})
    chance, who = random.Random(0), drawn(crowd, "s0", 10, 0)
    right = sum(world.value(who, question, chance) > 0 for _ in range(4000))
    assert right / 4000 == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / 4000))


def test_people_are_drawn_by_name_with_the_stated_shares() -> None:
    crowd = Crowd(bots=0.2, leave=0.3, lean=0.25)
    people = [drawn(crowd, f"s{number}", 18, 7) for number in range(1000)]
    assert people[5] == drawn(crowd, "s5", 18, 7) != drawn(crowd, "s5", 18, 8)
    assert sum(one.bot for one in people) / 1000 == pytest.approx(0.2, abs=0.04)
    humans = [one for one in people if not one.bot]
    assert sum(one.leaves_at is not None for one in humans) / len(humans) == pytest.approx(0.3, abs=0.05)
    assert sum(one.lean > 0 for one in humans) / len(humans) == pytest.approx(0.25, abs=0.05)
    assert all(0.75 <= one.accuracy <= 0.97 for one in people)


def test_a_page_is_read_as_people_see_it(tmp_path: Path) -> None:
    item = rows(1)[0] | {"prompt": "a < b\n\nand 'c'?", "first": "<b>one</b> & more", "second": "two"}
    study = made_study(tmp_path, COMPARISONS, "per_sitting: 1\n", [item])
    (study.path / "questions.yaml").write_text("[]")
    with in_process(study) as served:
        browser, _ = served.begun("ann")
        assert browser.last is not None
        seen = shown_on(browser.last.text)
    assert seen is not None
    assert (seen.prompt, {seen.first, seen.second}) == (item["prompt"], {item["first"], item["second"]})
    assert shown_on("<p>no question</p>") is None


def test_labels_are_updated_by_the_surest_choices_up_to_the_cap() -> None:
    made = [Row(id=f"r{number}", prompt=f"q{number}", completion="") for number in range(10)]
    labels = {row.prompt: Side(text="old", source="human", quality=0.0) for row in made}
    new = {row.prompt: Side(text="new", source="proposal round 1", quality=0.0) for row in made}
    leans = {row.id: 0.0 for row in made} | {"r1": 2 / 3, "r2": 1.0, "r3": 1 / 3, "r4": 1.0}
    after = updated(made, labels, new, leans, 0.2)
    assert [prompt for prompt, side in after.items() if side.text == "new"] == ["q2", "q4"]
    # A slight preference is not enough, also where there is room.
    after = updated(made, labels, new, leans, 0.9)
    assert [prompt for prompt, side in after.items() if side.text == "new"] == ["q1", "q2", "q4"]


def said(role: ItemRole = ItemRole.WORK, text: str = "", early: bool = False) -> AnswerRow:
    return AnswerRow(
        item="i",
        role=role,
        example_id="i",
        prompt="q",
        a="",
        b="",
        expected='{"look_for": "3", "words": ["3", "three"]}' if role is ItemRole.CHECK else "",
        by="p001",
        shown=None,
        state=AssignmentState.ANSWERED,
        text=text,
        value=None,
        note="",
        seconds=1.0,
        late=False,
        early=early,
        trial=1,
        weight=1.0,
        why="",
    )


def test_the_administrator_rejects_missed_checks_and_haste() -> None:
    right, wrong = said(ItemRole.CHECK, "There are three."), said(ItemRole.CHECK, "13")
    assert judged([said(), right])[0] is ReviewVerdict.ACCEPT
    assert judged([said(), wrong]) == (ReviewVerdict.REJECT, "1 check with none of the expected words")
    assert judged([said(early=True), said()])[0] is ReviewVerdict.ACCEPT
    assert judged([said(early=True), said(early=True), said()])[0] is ReviewVerdict.REJECT


# Seven servers start. Most of the time is waiting.
@pytest.mark.slow
def test_a_tiny_simulation_goes_from_the_link_to_the_figure(tmp_path: Path) -> None:
    crowd = Crowd(leave=0.0, bots=0.0, lean=0.0, spread=0.1)
    simulation = Simulation(
        alpaca=alpaca(tmp_path / "alpaca.jsonl", 12),
        work=tmp_path / "work",
        out=tmp_path / "out",
        prompts=4,
        per_sitting=2,
        overlap=2,
        speed=300,
        at_once=3,
        crowd=crowd,
    )
    # Stopped somewhere, it goes on. Those who were at work do not come back, and their time runs out.
    with suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(simulated_study.simulated(simulation), 4))
    studies = asyncio.run(simulated_study.simulated(simulation))
    lines = simulated_study.reported(simulation, studies)
    assert len(lines) == 3
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["studies"]) == ["demonstrations", "dpo-1", "dpo-2", "ilr-1", "ilr-2", "overlap"]
    for name, one in results["studies"].items():
        assert one["answers_that_count"] == one["answers_wanted"] == (6 if name == "overlap" else 4)
        assert (one["statuses_5xx"], one["broken_invariants"]) == (0, [])
        if name != "demonstrations":
            assert one["sides"]["compared"] > 0
            assert one["sides"]["other_than_meant"] == 0
    assert results["studies"]["ilr-1"]["agreement"]["krippendorff_nominal"]["value"] is None
    page = (tmp_path / "out" / "README.md").read_text()
    assert "**No person took part." in page
    assert "| answers wanted | 4 | 4 | 4 | 4 | 4 | 6 |" in page
    figure = json.loads((tmp_path / "out" / "figure-6.json").read_text())
    assert figure["simulated"] is True
    assert [row["preferred"]["n"] for row in figure["choices"] if row["writer"] == "all"] == [4, 4]
    # Everything is closed now: the same call plays nothing again.
    assert asyncio.run(simulated_study.simulated(simulation)) == studies
