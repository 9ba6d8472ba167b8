"""`burnish seam score` on a table that holds rewards and log-probabilities: no model is needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from refused import check_refused

from burnish.cli import main
from burnish.config.columns import dataset
from burnish.errors import ConfigError
from burnish.refinery.options import Options, config_of
from burnish.seam.results import TABLE_FILE

GOLD = {"reward": 1, "logprob": -4, "tokens": 4}
WORSE = [
    {"reward": 2, "logprob": -2, "tokens": 2},
    {"reward": 0, "logprob": -6, "tokens": 3},
    {"reward": 1, "logprob": -1, "tokens": 1},
]
BY_HAND = {"seam": 0.6335, "count": 0.5, "gold": 0.4454, "margin": 0.4223}


def table(where: Path, *rows: Any) -> Path:
    path = where / "table.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def row(id_: object = "a", **changes: Any) -> dict[str, Any]:
    return {"id": id_, "gold": GOLD, "worse": WORSE} | changes


def score(path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["seam", "score", str(path), *options])


def test_the_object_that_json_prints(tmp_path: Path) -> None:
    path = table(tmp_path, row("a"), row("b", worse=[]), row(7, worse=[{"reward": 0, "logprob": -1, "tokens": 1}]))
    done = score(path, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert set(found) == {"rows", "mean", "undefined"}
    first, second, third = found["rows"]
    assert first == pytest.approx({"id": "a", **BY_HAND}, abs=5e-5)
    assert second == {"id": "b", "seam": None, "count": None, "gold": None, "margin": None}
    assert third == {"id": 7, "seam": 0.0, "count": 0.0, "gold": 0.0, "margin": 0.0}
    assert found["mean"] == pytest.approx({name: value / 2 for name, value in BY_HAND.items()}, abs=5e-5)
    assert found["undefined"] == 1


def test_no_score_at_all_is_null_and_not_zero(tmp_path: Path) -> None:
    found = json.loads(score(table(tmp_path, row(worse=[])), "--json").stdout)
    assert found["mean"] == dict.fromkeys(BY_HAND)
    assert found["undefined"] == 1


def test_the_words_for_people(tmp_path: Path) -> None:
    done = score(table(tmp_path, row("a", prompt="What is \x1b[31m2 + 2?"), row("b", worse=[])), "--top", "1")
    assert "2 prompts, 1 without a worse answer (no score)" in done.stdout
    assert "0.6335  a  What is 2 + 2?" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_intervals_of_scores_lie_where_scores_can_lie(tmp_path: Path) -> None:
    good, bad = ([{"reward": reward, "logprob": -2, "tokens": 2}] for reward in (0, 2))
    none = score(table(tmp_path, row("a", worse=good), row("b", worse=good))).stdout
    # Two prompts without a misjudged answer do not show that there is none. Wilson's bound for 0 of 2 is .6576.
    assert "seam    0.0000 (0.0000 to 0.6576) " in none
    assert "margin  0.0000   mean" in none
    half = score(table(tmp_path, row("a", worse=good), row("b", worse=bad))).stdout
    assert "seam    0.5000 (0.0945 to 0.9055) " in half
    assert "gold    0.2500 (0.0000 to 1.0000) " in half
    # A margin has no highest value, but 0 is the lowest: .5 + 12.706 / 2.
    assert "margin  0.5000 (0.0000 to 6.8531) " in half


def test_scores_do_not_lie_beside_the_table_of_other_scores(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    given, out = table(tmp_path / "given", row("a")), tmp_path / "out"
    out.mkdir()
    earlier = table(out, row("b"))
    assert earlier.name == TABLE_FILE
    # The table of the folder itself can be scored again.
    assert score(earlier, "--out", str(out), "--overwrite").exit_code == 0
    assert earlier.is_file()
    assert score(given, "--out", str(out), "--overwrite").exit_code == 0
    assert {path.name for path in out.iterdir()} == {"scores.jsonl", "report.html"}


def test_further_columns_are_not_read(tmp_path: Path) -> None:
    extra = {**GOLD, "text": "4", "kind": 3}
    assert score(table(tmp_path, row(gold=extra, difficulty=3, anything=[1])), "--json").exit_code == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"gold": GOLD, "worse": []}, ["no column 'id'", "each line must be"]),
        ({"id": "a", "worse": []}, ["no column 'gold'", "--policy and --reward"]),
        ({"id": "a", "gold": GOLD}, ["no column 'worse'"]),
        (row(True), ["id: True", "write a text or a whole number"]),
        (row(1.5), ["id: 1.5"]),
        (row(""), ["id: ''"]),
        (row(gold=None), ["gold: None found", "reward"]),
        (row(gold=[1, 2, 3]), ["gold: [1, 2, 3] found"]),
        (row(gold={"logprob": -1, "tokens": 1}), ["gold.reward: it is missing; write a number"]),
        (row(gold={**GOLD, "reward": "1"}), ["gold.reward: '1' found; write a number"]),
        (row(gold={**GOLD, "reward": True}), ["gold.reward: True found"]),
        (row(gold={**GOLD, "reward": 10**400}), ["infinity"]),
        (row(gold={**GOLD, "logprob": 2}), ["gold.logprob: 2", "at most 0"]),
        (row(gold={**GOLD, "logprob": None}), ["gold.logprob: it is missing"]),
        (row(gold={**GOLD, "tokens": 0}), ["gold.tokens: 0", "at least 1"]),
        (row(gold={**GOLD, "tokens": 2.0}), ["gold.tokens: 2.0", "whole number"]),
        (row(worse=None), ["worse: None found", "[] where nothing worse"]),
        (row(worse=WORSE[0]), ["worse:", "write a list"]),
        (row(worse=[WORSE[0], {**WORSE[1], "tokens": -1}]), ["worse[1].tokens: -1"]),
        (row(worse=[3]), ["worse[0]: 3 found"]),
    ],
)
def test_a_wrong_row_is_named_with_its_field_and_the_fix(tmp_path: Path, wrong: Any, words: list[str]) -> None:
    check_refused(score(table(tmp_path, row("first"), wrong), "--json"), "table.jsonl:2", *words)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_reward_that_is_no_number_is_named(tmp_path: Path, number: str) -> None:
    line = json.dumps(row(gold={**GOLD, "reward": 12345})).replace("12345", number)
    check_refused(score(table(tmp_path, line)), "table.jsonl:1", "gold", "reward")


def test_ids_that_occur_twice(tmp_path: Path) -> None:
    check_refused(score(table(tmp_path, row("1"), row(2), row(1))), "table.jsonl:3: id: 1", "table.jsonl:1", "unique")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    check_refused(score(tmp_path / "none.jsonl"), "none.jsonl", "no such file")
    check_refused(score(table(tmp_path)), "no rows")
    check_refused(score(table(tmp_path, "[1]")), "table.jsonl:1", "JSON object")
    check_refused(score(table(tmp_path, "{")), "table.jsonl:1", "not JSON")


def test_a_reward_model_that_tells_nothing_apart_is_said(tmp_path: Path) -> None:
    same = [{**one, "reward": 1} for one in WORSE]
    done = score(table(tmp_path, row(worse=same)), "--json")
    assert "every answer has the reward 1" in done.stderr
    assert json.loads(done.stdout)["rows"][0]["seam"] == 0.5


def test_several_sources_are_said(tmp_path: Path) -> None:
    done = score(table(tmp_path, row("a", source="own"), row("b", source="weaker")))
    assert "2 sources (own, weaker)" in done.stderr
    assert score(table(tmp_path, row("a", source="own"), row("b", source="own"))).stderr == ""


def test_the_page_needs_no_other_file_and_escapes_what_strangers_wrote(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    gold, worse = {**GOLD, "text": hostile}, [{**one, "text": f"worse {hostile}"} for one in WORSE]
    path = table(tmp_path, row("a", prompt=hostile, gold=gold, worse=worse), row("b", worse=[]))
    out = tmp_path / "out"
    assert score(path, "--out", str(out)).exit_code == 0
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<svg" in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert lines[0] == pytest.approx({"id": "a", **BY_HAND}, abs=5e-5)
    assert lines[1]["seam"] is None
    # The answers with at least the reward of the gold answer are shown: two of three.
    assert page.count("worse answer: reward") == 2
    check_refused(score(path, "--out", str(out)), "--out", "--overwrite")
    assert score(path, "--out", str(out), "--overwrite").exit_code == 0


def test_a_page_without_a_score(tmp_path: Path) -> None:
    assert score(table(tmp_path, row(worse=[])), "--out", str(tmp_path / "out")).exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "there is no score" in page
    assert "<svg" not in page


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (["seam", "score", "t.jsonl"], "--policy and --reward"),
        (["seam", "select", "t.jsonl", "--keep", "0.5", "--out", "out"], "--data"),
        (["reward", "check", "builtin:weak", "--pairs", "t.jsonl"], "--prompts"),
    ],
)
def test_columns_of_a_dataset_that_is_not_named_are_refused(command: list[str], missing: str) -> None:
    done = CliRunner().invoke(main, [*command, "--columns", "prompt=a"])
    check_refused(done, f"--columns: 'prompt=a' found without {missing}; add {missing}, or leave --columns out")


def test_a_wrong_column_says_how_a_name_with_a_comma_is_given() -> None:
    with pytest.raises(ConfigError, match=r"each part once, .* \(rename a column whose name has a comma"):
        dataset("x.jsonl", "a")
    with pytest.raises(ConfigError, match=r"\(a name with a comma goes into --set data\.columns\.prompt=NAME"):
        config_of(Options(data="x.jsonl", model="builtin:weak", columns="a"))
