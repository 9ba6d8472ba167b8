"""A route as the annotator of a refinement: a program judges first, and people where it is not sure."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from refinement import PROBLEMS, Refined, bytes_of, refine, rows, script, settings, written
from test_refinery_pauses import answered, paused, through, truth

from burnish.config import RouteConfig
from burnish.config.reading import read_annotator
from burnish.errors import ConfigError
from burnish.people.mailbox import Mailbox, Said
from burnish.store.stages import Store
from burnish.types import Reason

# By its number modulo 6, a row is judged with a position bias, not at all, with little confidence, wrongly, or rightly.
JUDGE = """
NUMBER = {question: n for n, question in enumerate(RIGHT)}
for row in rows:
    right = [side == "#### " + RIGHT[row["prompt"]] for side in (row["first"], row["second"])]
    toward = 0.5 if right[0] == right[1] else float(right[1])
    match NUMBER[row["prompt"]] % 6:
        case 0: say(row["id"], verdict="first")
        case 1: say(row["id"], verdict="abstain")
        case 2: say(row["id"], p_second=0.5 + 0.2 * (toward - 0.5))
        case 3: say(row["id"], p_second=0.5 - 0.8 * (toward - 0.5))
        case _: say(row["id"], p_second=0.5 + 0.8 * (toward - 0.5))
"""
WHY = {0: "people:orders_disagree", 1: "people:abstained", 2: "people:low_confidence"}


def route(folder: Path, **fields: Any) -> dict[str, Any]:
    first = {"kind": "command", "command": script(folder, "judge.py", JUDGE)}
    return {"kind": "route", "first": first, "control": 0.5, **fields}


def number_of(row: str) -> int:
    return int(row.removeprefix("row-"))


def judged(found: Refined) -> dict[int, str]:
    """Return {number of a row: who decided} of the rows that were compared in round 1."""
    return {number_of(line.example_id): line.annotator for line in found.of_round(1) if line.annotator}


@pytest.mark.slow
def test_people_are_asked_where_the_judge_is_not_sure_and_in_the_control(tmp_path: Path) -> None:
    config = settings(written(tmp_path), annotator=route(tmp_path), rounds=1, alpha=1.0)
    stop = paused(config, tmp_path)
    waiting = {number_of(ask.example_id) for ask in Mailbox(tmp_path / "out").asked()}
    assert stop.message == f"{len(waiting)} of {len(waiting)} pairs wait for people (compare)"
    asked = {number_of(ask.example_id): ask for ask in Mailbox(tmp_path / "out").asked()}
    answered(tmp_path / "out", truth)
    found = refine(config, tmp_path)
    who = judged(found)
    unsure = {n for n in who if n % 6 in WHY}
    sure = who.keys() - unsure
    # Rows whose two answers are both wrong are judged as ties, which are never sure.
    control = {n for n in sure if who[n] == "people:control"}
    assert waiting == {n for n, by in who.items() if by.startswith("people:")}
    assert {who[n] for n in unsure} <= {*WHY.values()}
    assert {n for n in unsure if who[n] != WHY[n % 6]} == set()
    decided_alone = {n for n, by in who.items() if by == "command:sure"}
    assert len(control) == -(-(len(control) + len(decided_alone)) // 2)
    # Each pair that waits says why, and how many pairs it stands for.
    assert {n: ask.why for n, ask in asked.items()} == {n: who[n].removeprefix("people:") for n in asked}
    assert {n: ask.weight for n, ask in asked.items() if n in unsure} == dict.fromkeys(unsure, 1.0)
    assert {asked[n].weight for n in control} == {(len(control) + len(decided_alone)) / len(control)}
    # What the judge gets wrong where it is sure stands only where people were not asked.
    wrong = {n for n in decided_alone if n % 6 == 3}
    assert wrong
    reasons = {number_of(line.example_id): line.reason for line in found.of_round(1)}
    answers = {row["id"]: row["answer"] for row in found.rows}
    for n in who:
        right = answers[f"row-{n:02d}"] == f"#### {PROBLEMS[n].answer}"
        assert right == (n not in wrong) or reasons[n] is Reason.TIE
    (round_,) = found.summary.rounds
    assert round_.routing is not None
    assert round_.routing.decided == dict(sorted(Counter(who.values()).items()))
    of_control = [n for n in control if reasons[n] is not Reason.TIE]
    assert round_.routing.wrong_when_sure is not None
    assert round_.routing.wrong_when_sure.n == len(of_control)
    assert round_.routing.wrong_when_sure.value == pytest.approx(sum(n % 6 == 3 for n in of_control) / len(of_control))
    page = (found.out / "report.html").read_text()
    assert "people:orders_disagree" in page
    assert bytes_of(through(config, tmp_path / "again", truth).out) == bytes_of(found.out)


@pytest.mark.slow
def test_the_budget_limits_what_people_are_asked(tmp_path: Path) -> None:
    config = settings(written(tmp_path), annotator=route(tmp_path, budget=7), rounds=1)
    paused(config, tmp_path)
    assert len(Mailbox(tmp_path / "out").asked()) == 7
    answered(tmp_path / "out", lambda _: Said.ABSTAIN)
    found = refine(config, tmp_path)
    who = Counter(judged(found).values())
    assert sum(count for by, count in who.items() if by.startswith("people:")) == 7
    assert who["command:over_budget"] > 0
    # An abstention of people is no verdict of the judge.
    by_people = [line for line in found.of_round(1) if line.annotator.startswith("people:")]
    assert {line.reason for line in by_people} == {Reason.ABSTAINED}
    # Where the judge's orders disagree and nobody else was asked, the label stays.
    over = [line for line in found.of_round(1) if line.annotator == "command:over_budget"]
    split = [line for line in over if number_of(line.example_id) % 6 == 0]
    assert split
    assert {line.reason for line in split} == {Reason.ORDERS_DISAGREE}


@pytest.mark.slow
def test_another_rule_asks_the_judge_nothing_again(tmp_path: Path) -> None:
    data = written(tmp_path)
    through(settings(data, annotator=route(tmp_path), rounds=1), tmp_path, truth)
    before = [done.fingerprint for done in Store(tmp_path / "store").every("judge")]
    paused(settings(data, annotator=route(tmp_path, sure=0.95, control=0.0), rounds=1), tmp_path, overwrite=True)
    assert [done.fingerprint for done in Store(tmp_path / "store").every("judge")] == before


def test_the_settings_of_a_route(tmp_path: Path) -> None:
    path = tmp_path / "route.yaml"
    path.write_text("kind: route\nfirst: {kind: judge, base_url: 'http://localhost:1/v1', model: m}\n")
    config = read_annotator(str(path))
    assert isinstance(config, RouteConfig)
    assert (config.sure, config.control, config.budget, config.then.kind) == (0.75, 0.1, None, "people")
    assert [member.kind for member in config.members] == ["judge", "people"]
    assert "where it is not sure, people" in config.words()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("first: {kind: people}", "annotator.first: people found; they are asked after the first annotator"),
        ("first: {kind: route}", "first.kind: 'route' found; choose one of"),
        ("first: {kind: mixed}", "first.kind: 'mixed' found"),
        ("then: {kind: people}", "first: is missing; add it"),
        ("first: {kind: oracle}", "annotator.first.column: none is given"),
        (
            "first: {kind: oracle, column: gold}\nsure: 0.4",
            "sure: 0.4 found: input should be greater than or equal to 0.5",
        ),
        (
            "first: {kind: oracle, column: gold}\ncontrol: 2",
            "control: 2 found: input should be less than or equal to 1",
        ),
        (
            "first: {kind: oracle, column: gold}\nbudget: 0",
            "budget: 0 found: input should be greater than or equal to 1",
        ),
        ("first: {kind: oracle, column: gold}\nbudgets: 3", "budgets: no such field"),
    ],
)
def test_a_wrong_route_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "route.yaml"
    path.write_text(f"kind: route\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        settings(written(tmp_path, rows()), annotator=str(path))
    assert message in str(caught.value)


@pytest.mark.slow
def test_a_second_program_helps_the_first_one_also_in_the_self_test(tmp_path: Path) -> None:
    """The first program knows nothing. The second one knows the right answers."""
    first = script(tmp_path, "first.py", "for row in rows: say(row['id'], verdict='abstain')")
    # A planted pair has one altered answer: the other one stands among the labels of the dataset.
    known = f"""
        LABELS = {[row["answer"] for row in rows()]!r}
        for row in rows:
            right = [side in LABELS for side in (row["first"], row["second"])]
            say(row["id"], verdict="tie" if right[0] == right[1] else "first" if right[0] else "second")
        """
    then = script(tmp_path, "then.py", known)
    annotator = {
        "kind": "route",
        "first": {"kind": "command", "command": first},
        "then": {"kind": "command", "command": then},
    }
    config = settings(written(tmp_path), "selftest.skip=false", annotator=annotator, rounds=1)
    found = refine(config, tmp_path)
    assert found.summary.selftest is not None
    assert found.summary.selftest.abstained.value == 0
    assert (found.summary.selftest.accuracy.value or 0) > 0.6
    assert {*judged(found).values()} == {"command:abstained"}
