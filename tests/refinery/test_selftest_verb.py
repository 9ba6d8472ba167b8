"""`burnish selftest` beside `refine`: the same rows, the same questions, the same accuracy; and whether it says no."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from refinement import refine, settings, written
from servers import FaultServer
from test_refine_judge import judge, knows

from burnish.cli import main
from burnish.forms.ids import RowIds
from burnish.selftest.asking import judgement, unusable
from burnish.selftest.report import LabelledReport, SelftestReport
from burnish.services import endpoint
from burnish.types import Message, Role

Rule = Callable[[str], Mapping[str, float]]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


def try_out(where: Path, address: str, *arguments: str, **more: Any) -> Result:
    config = where / "judge.yaml"
    config.write_text(yaml.safe_dump(judge(address, **more)["annotator"]))
    return CliRunner().invoke(main, ["selftest", str(config), "--store", str(where / "store"), *arguments])


@pytest.mark.slow
@pytest.mark.parametrize("with_ids", [True, False])
def test_refine_takes_over_what_the_verb_asked(with_ids: bool, tmp_path: Path) -> None:
    source = written(tmp_path)
    if not with_ids:
        rows = [json.loads(line) for line in source.read_text().splitlines()]
        source.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "id"}) + "\n" for row in rows))
    with FaultServer(rule=knows) as running:
        result = try_out(tmp_path, running.address, "--data", str(source), "--json")
        assert result.exit_code == 0, result.output
        before = dict(running.answered)
        assert set(before.values()) == {2}  # the self-test asks everything twice
        options = judge(running.address) | {"no_selftest": False, "rounds": 1}
        found = refine(settings(source, **options), tmp_path)
    assert {key: running.answered[key] for key in before} == before
    assert result.stderr.startswith("self-test: started\n")
    report = json.loads(result.stdout)
    assert report.pop("usable") is True
    assert found.summary.selftest == SelftestReport.model_validate(report)
    assert found.summary.selftest is not None
    assert found.summary.selftest.accuracy.n == 24


def always(reply: str) -> Rule:
    return lambda prompt: {reply: 1.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            always("A"),
            "its accuracy on planted pairs is 0.500; on most pairs it prefers whichever answer is shown first",
        ),
        (
            always("B"),
            "its accuracy on planted pairs is 0.500; on most pairs it prefers whichever answer is shown second",
        ),
        (always("C"), "its accuracy on planted pairs is 0.500"),
        (always("Hm"), "it gives no verdict on any of 60 pairs"),
    ],
)
def test_a_judge_with_which_refine_would_stop_is_exit_code_1(rule: Rule, words: str, tmp_path: Path) -> None:
    with FaultServer(rule=rule) as running:
        result = try_out(tmp_path, running.address)
        assert result.exit_code == 1, result.output
        last = result.stdout.splitlines()[-1]
        assert last == f"This annotator cannot be used: {words}. `refine` stops below 0.6."
        as_json = try_out(tmp_path, running.address, "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["usable"]) == (1, False)


@pytest.mark.slow
def test_a_judge_that_is_good_enough_is_exit_code_0(tmp_path: Path) -> None:
    with FaultServer(rule=knows) as running:
        arguments = ("--data", str(written(tmp_path)))
        result = try_out(tmp_path, running.address, *arguments)
        assert result.exit_code == 0, result.output
        accuracy = json.loads(try_out(tmp_path, running.address, *arguments, "--json").stdout)["accuracy"]["value"]
        found = f"its accuracy on planted pairs is {accuracy:.3f}"
        last = result.stdout.splitlines()[-1]
        assert last == f"This annotator can be used: {found}, and `refine` stops below 0.6."
        strict = try_out(tmp_path, running.address, *arguments, "--min-accuracy", "1")
    assert 0.6 <= accuracy < 1
    assert strict.exit_code == 1
    assert strict.stdout.splitlines()[-1].endswith("`refine` stops below 1.")


def test_labelled_pairs_tell_as_well(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    lines = [{"prompt": f"Question {n}", "first": "good", "second": "bad", "label": 1} for n in range(4)]
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with FaultServer() as running:
        good = try_out(tmp_path, running.address, "--pairs", str(pairs))
        pairs.write_text(pairs.read_text().replace('"label": 1', '"label": 2'))
        bad = try_out(tmp_path, running.address, "--pairs", str(pairs))
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert good.stderr.startswith("self-test: started\nself-test: finished in ")
    assert "can be used: its accuracy on labelled pairs is 1.000" in good.stdout
    assert "cannot be used: its accuracy on labelled pairs is 0.000" in bad.stdout


def test_without_a_winner_anywhere_nothing_can_be_said() -> None:
    none = {"value": None, "n": 0, "ci95": None}
    ties = {"value": 1.0, "n": 3, "ci95": None, "count": 3}
    no_abstention = {"value": 0.0, "n": 3, "ci95": None, "count": 0}
    report = LabelledReport.model_validate(
        {"annotator": "x", "pairs": 3, "accuracy": none, "by_subset": {}, "ties": ties, "abstained": no_abstention}
        | {"position_lean": none, "flip_rate": none}
    )
    assert unusable(report, 0.0) == "it names no better answer on any of the labelled pairs"
    assert judgement(report, 0.6).startswith("This annotator cannot be used: it names no better answer")


def test_the_ids_of_rows() -> None:
    ids = RowIds()
    one, other = ((Message(role=Role.USER, content=text),) for text in ("one", "other"))
    made = [ids.id_of(None, one), ids.id_of("mine", one), ids.id_of(None, other), ids.id_of(None, one)]
    assert made[1] == "mine"
    assert len({*made}) == 4
    again = RowIds()
    assert [again.id_of(None, other), again.id_of(None, one), again.id_of(None, one)] == [made[2], made[0], made[3]]
