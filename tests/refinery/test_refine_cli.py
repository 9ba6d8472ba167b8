"""`burnish refine` on the command line: exit codes, what goes where, the way through people, and the dry run."""

from __future__ import annotations

import csv
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from refinement import (
    CAP,
    COUNT,
    WRONG_LABELS,
    Refined,
    fake,
    label,
    right,
    right_labels,
    rows,
    script,
    written,
)
from refused import check_refused
from servers import FaultServer
from test_refine_judge import judge, knows

from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.inputs import context
from burnish.services import endpoint

QUICK = (
    *("--set=decode.beams=1", "--set=decode.max_new_tokens=40", "--set=train.lora=null"),
    *("--alpha=0.1", "--differs=number"),
)


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> list[FakeBackend]:
    """Put the fake backend in the real one's place; a test may put another one in."""
    opened = [fake()]

    def opener_of(*_: object) -> Callable[[], FakeBackend]:
        return lambda: opened[-1]

    monkeypatch.setattr(context, "opener_of", opener_of)
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)
    return opened


def call(where: Path, *arguments: str, data: Path | None = None) -> Result:
    source = data or written(where)
    places = ("--out", str(where / "out"), "--store", str(where / "store"))
    return CliRunner().invoke(main, ["refine", str(source), "--model", "builtin:strong", *QUICK, *places, *arguments])


def annotator(where: Path, config: dict[str, Any]) -> str:
    path = where / "annotator.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


ORACLE = ("--annotator", "oracle:gold")


# --- done


def test_data_goes_to_stdout_and_talk_to_stderr(tmp_path: Path) -> None:
    result = call(tmp_path, *ORACLE)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    lines = result.stdout.replace("\u00a0", " ").splitlines()
    assert lines[0] == "right labels before: 60.0 % (47.4 to 71.4)"  # Wilson's, 36 of 60
    assert lines[1].startswith("round 1: ")
    assert f"comparisons, {CAP} labels changed, right labels 70.0 %" in lines[1]
    # Each round filled its cap of 6, so there is nothing to explain.
    assert lines[2].startswith("round 2: ")
    assert lines[3].startswith("cost: no server was asked; all stages took ")
    changed = next(line for line in Refined(out, tmp_path / "store").ledger if line.reason == "accepted")
    assert lines[4:] == [
        f"dataset: {out / 'refined.jsonl'}",
        f"model: {out / 'model'}",
        f"report: {out / 'report.html'}",
        "what you can do next:",
        f"  burnish diff {out}",
        f"  burnish show {out} {changed.example_id}",
        f"  burnish revert {out} --round 2",
        f"  burnish push {out} OWNER/NAME",
    ]
    assert "first row as the model reads it" in result.stderr
    assert f">>> {label(0)}" in result.stderr
    assert result.stderr.startswith("[1/19] data: started\n[1/19] data: finished in ")
    assert "[19/19] refined ilr round 2: started\n[19/19] refined ilr round 2: finished in " in result.stderr
    assert result.stderr.splitlines()[-2] == "write the model: started"
    assert "started" not in result.stdout


def test_json_is_the_summary(tmp_path: Path) -> None:
    result = call(tmp_path, *ORACLE, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((tmp_path / "out" / "refinement.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--rounds", "3"], "method.rounds", 3),
        (
            ["--method", "clear", "--rounds", "2"],
            "method",
            {"kind": "clear", "name": "clear", "accept": "both-orders", "rounds": 2, "alpha": 0.1, "gate": 0.8},
        ),
        (["--reference", "gold"], "data.reference_column", "gold"),
        (["--template", "paper"], "model.template", "paper"),
        (["--comparisons", "9"], "comparisons", 9),
        (["--audit", "3", "--max-harm", "0.9", "--audit-by", "oracle:gold"], "audit.size", 3),
        (["--on-bad-row", "skip"], "data.on_bad_row", "skip"),
        (["--no-selftest"], "selftest.skip", True),
        (["--go-on"], "selftest.go_on", True),
        (["--differs", "text"], "differs", {"kind": "text"}),
        (["--set", "seed=4"], "seed", 4),
        (["--set", "data.id_column=topic"], "data.id_column", "topic"),
        (["--set", "annotator.column=gold"], "annotator", {"kind": "oracle", "column": "gold"}),
    ],
)
def test_every_option_reaches_the_config(tmp_path: Path, options: list[str], field: str, value: Any) -> None:
    plan = call(tmp_path, *ORACLE, "--rounds", "1", *options)
    assert plan.exit_code == 0, plan.output
    found: Any = Refined(tmp_path / "out", tmp_path / "store").summary.config.model_dump(mode="json")
    for step in field.split("."):
        found = found[step]
    assert found == value


# --- waiting


def test_the_way_through_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["burnish", "refine", "my data.jsonl"])
    out, sheet = tmp_path / "out", tmp_path / "pairs.csv"
    for number in range(3):
        result = call(tmp_path, "--annotator", "people", "--rounds", "2")
        if result.exit_code == 0:
            break
        assert result.exit_code == 3, result.output
        assert result.stdout == ""
        lines = [line.strip() for line in result.stderr.splitlines()]
        start = lines.index(f"burnish annotate export {out} --to pairs.csv")
        assert lines[start - 1].startswith("waiting: ")
        assert lines[start + 2] == f"burnish annotate import {out} pairs.csv"
        assert lines[start + 8] == "burnish refine 'my data.jsonl'"  # the same command
        assert (
            CliRunner().invoke(main, ["annotate", "export", str(out), "--to", str(sheet), "--overwrite"]).exit_code == 0
        )
        _judge_sheet(sheet)
        assert CliRunner().invoke(main, ["annotate", "import", str(out), str(sheet)]).exit_code == 0
        assert number < 2
    assert right_labels(Refined(out, tmp_path / "store")) == COUNT - WRONG_LABELS + 2 * CAP


def _judge_sheet(path: Path) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        pairs = list(csv.DictReader(file))
    for pair in pairs:
        first, second = (right(pair["request"], pair[side]) for side in ("answer_1", "answer_2"))
        pair["verdict"] = "tie" if first == second else "1" if first else "2"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(pairs[0]))
        writer.writeheader()
        writer.writerows(pairs)


@pytest.mark.slow
def test_a_spent_budget_is_exit_code_3_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    with FaultServer(rule=knows) as running:
        options = (
            "--annotator",
            annotator(tmp_path, judge(running.address)["annotator"]),
            "--no-selftest",
            "--rounds",
            "1",
        )
        result = call(tmp_path, *options, "--max-calls", "15")
        assert result.exit_code == 3, result.output
        assert "waiting: " in result.stderr
        assert "15" in result.stderr
        assert running.answered.total() == 15
        result = call(tmp_path, *options, "--max-calls", "1000")
        assert result.exit_code == 0, result.output
        assert set(running.answered.values()) == {1}
    assert right_labels(Refined(tmp_path / "out", tmp_path / "store")) == COUNT - WRONG_LABELS + CAP


# --- refused


@pytest.mark.slow
def test_a_judge_that_fails_the_self_test_is_exit_code_2_with_what_was_seen(tmp_path: Path) -> None:
    with FaultServer(rule=lambda _: {"A": 1.0}) as running:
        options = ("--annotator", annotator(tmp_path, judge(running.address)["annotator"]), "--rounds", "1")
        check_refused(
            call(tmp_path, *options), "accuracy 0.500 on planted pairs", "position lean", "flip rate", "selftest.go_on"
        )
        result = call(tmp_path, *options, "--go-on")
    assert result.exit_code == 0, result.output
    assert "0 labels changed" in result.stdout


def test_a_server_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    options = ("--annotator", annotator(tmp_path, judge(address)["annotator"]))
    check_refused(call(tmp_path, *options), "annotator.base_url", address, "start the server or correct the address")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["annotator: none is given", "choose the method majority"]),
        (
            ["--annotator", "robot:x"],
            ["annotator: there is no file 'robot:x'; give a YAML file, or people, command:COMMAND"],
        ),
        ([*ORACLE, "--alpha", "0"], ["alpha: 0.0 found"]),
        ([*ORACLE, "--differs", "x"], ["--differs: 'x' found; write text, number"]),
        ([*ORACLE, "--checker", "./check"], ["--checker: './check' is not used by ilr; use --method verified"]),
        (["--method", "verified"], ["method.checker: is missing"]),
        (["--method", "majority", "--accept", "mean"], ["--accept: 'mean' is not used by --method majority"]),
        (["--method", "naive", "--gate", "0.6"], ["--gate: 0.6 is not used by --method naive; leave it out"]),
        (
            [*ORACLE, "--set", "decode.beams=4", "--set", "decode.temperature=0.7"],
            ["beams: 4 and temperature: 0.7 cannot be used together; set beams: 1"],
        ),
        (
            [*ORACLE, "--columns", "messages=turns,prompt=query"],
            ["messages ('turns') and prompt ('query') are both named"],
        ),
        ([*ORACLE, "--differs", "embedding_server:m"], ["differs.base_url: is missing"]),
        (
            [*ORACLE, "--reference", "topic"],
            ["annotator (oracle): the column 'gold' found, but the reference is 'topic'"],
        ),
        ([*ORACLE, "--set", "trian.epochs=1"], ["trian: no such field"]),
        ([*ORACLE, "--max-cost", "-1"], ["--max-cost: -1.0 found"]),
        (["--annotator", "command:./no-such-program"], ["annotator.command: './no-such-program' cannot be run"]),
        ([*ORACLE, "--model", "builtin:nobody"], ["model: 'builtin:nobody' is no built-in model"]),
        (["--annotator", "oracle:nowhere"], ["no column 'nowhere'", "found 'id'"]),
    ],
)
def test_a_mistake_is_exit_code_2_and_one_line(tmp_path: Path, options: list[str], words: list[str]) -> None:
    check_refused(call(tmp_path, *options), *words)


@pytest.mark.slow
def test_other_settings_are_refused_until_they_may_overwrite(tmp_path: Path) -> None:
    assert call(tmp_path, *ORACLE).exit_code == 0
    before = (tmp_path / "out" / "ledger.jsonl").read_bytes()
    check_refused(call(tmp_path, *ORACLE, "--set", "seed=1"), "out: ", "2 rounds of another refinement", "--overwrite")
    assert (tmp_path / "out" / "ledger.jsonl").read_bytes() == before
    assert call(tmp_path, *ORACLE, "--set", "seed=1", "--overwrite").exit_code == 0
    assert (tmp_path / "out" / "ledger.jsonl").read_bytes() != before


def test_what_a_program_says_on_stderr_is_made_harmless(tmp_path: Path) -> None:
    program = script(tmp_path, "bad.py", r"sys.exit('\x1b]0;owned\x07\x1b[31mno')")
    result = call(tmp_path, "--annotator", annotator(tmp_path, {"kind": "command", "command": program}))
    check_refused(result, "ended with status 1")
    assert "\x1b" not in result.stderr
    assert "\x07" not in result.stderr


def test_an_interrupt_is_exit_code_130_and_the_same_command_goes_on(tmp_path: Path, backend: list[FakeBackend]) -> None:
    def stop(unit: str) -> None:
        if unit == "generate":
            raise KeyboardInterrupt

    backend.append(fake(stop))
    result = call(tmp_path, *ORACLE)
    assert result.exit_code == 130
    assert "run the same command again to continue" in result.stderr
    backend.pop()
    assert call(tmp_path, *ORACLE).exit_code == 0


# --- the dry run


def planned(where: Path, *options: str) -> str:
    result = call(where, *options, "--dry-run")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in where.iterdir()) == ["annotator.yaml", "data.jsonl"]
    return result.stdout.replace("\u00a0", " ")


def test_a_dry_run_says_what_would_be_done_and_spends_nothing(tmp_path: Path) -> None:
    prices = {"input_per_million": 1_000, "output_per_million": 2_000, "currency": "EUR"}
    judging = annotator(tmp_path, judge("http://127.0.0.1:9/v1", prices=prices)["annotator"])
    text = planned(tmp_path, "--annotator", judging, "--rounds", "2", "--comparisons", "25")
    assert f"data: {COUNT} rows of question/answer, {COUNT} usable, 0 left as they are" in text
    assert f"    task : {rows()[0]['question']} answer :" in text
    assert f">>> {label(0)}" in text
    for stage in ("data", "self-test", "round 1 without part 1", "round 2 judgements", "ilr round 2"):
        assert stage in text
    assert "stages, 0 done," in text
    assert "at most 50 comparisons in 2 rounds" in text
    assert "memory of a device" not in text  # the built-in models are tiny
    assert "time on this machine, without a judge's server: very roughly" in text
    (line,) = [line for line in text.splitlines() if line.startswith("judge: ")]
    calls, read, wrote = (int(word.replace(",", "")) for word in line.split() if word.replace(",", "").isdecimal())
    assert calls >= 2 * 50
    assert wrote == 8 * calls
    assert f"{(read * 1_000 + wrote * 2_000) / 1e6:.2f}" in line


def test_a_dry_run_as_json(tmp_path: Path) -> None:
    annotator(tmp_path, {})
    plan = json.loads(planned(tmp_path, "--method", "naive", "--json"))
    assert (plan["estimate"]["comparisons"], plan["estimate"]["calls"]) == (0, None)
    assert plan["data"]["usable"] == COUNT
    assert {stage["state"] for stage in plan["stages"]} == {"missing"} or len(plan["stages"]) > 5


def test_a_dry_run_after_a_run_says_what_is_done(tmp_path: Path) -> None:
    assert call(tmp_path, *ORACLE, "--rounds", "1").exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "data.jsonl"}
    same, more = (call(tmp_path, *ORACLE, "--rounds", n, "--dry-run").stdout for n in ("1", "2"))
    assert " 0 to run" in same
    assert " 0 to run" not in more
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_dry_run_finds_what_is_wrong(tmp_path: Path) -> None:
    data = rows()
    data[9]["answer"] = " "
    source = written(tmp_path / "data", data)
    check_refused(call(tmp_path, *ORACLE, "--dry-run", data=source), "data.jsonl:10", "--on-bad-row skip")
    result = call(tmp_path, *ORACLE, "--dry-run", "--on-bad-row", "skip", data=source)
    assert "60 rows of question/answer, 59 usable, 1 left as they are" in result.stdout
    assert "data.jsonl:10" in result.stdout
