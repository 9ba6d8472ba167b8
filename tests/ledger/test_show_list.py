"""`burnish show` without an id lists the rows of a refinement."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from folders import Made, made

from burnish.cli import main as cli
from burnish.ledger.folder import ANSWERS, EXAMPLES, LEDGER
from burnish.ledger.history import WHY
from burnish.ledger.listing import ListedRows
from burnish.ledger.reverting import revert
from burnish.types import Reason


@pytest.fixture
def there(tmp_path: Path) -> Made:
    return made(tmp_path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_show_without_an_id_lists_changed_rows_first_then_those_taken_back(there: Made):
    revert(there.path, None, ["r3"])
    listed = ListedRows(there.folder).first(None)
    assert [(row.id, row.state, row.round, row.reason) for row in listed] == [
        ("r1", "changed", 1, "accepted"),
        ("r2", "changed", 2, "accepted"),
        ("r4", "changed", 2, "accepted"),
        ("r3", "taken back", 1, "reverted"),
        ("r5", "as it came", 2, "agreed"),
        ("r6", "as it came", 2, "agreed"),
        ("r7", "as it came", 2, "agreed"),
        ("r8", "as it came", 2, "agreed"),
    ]
    assert [row.id for row in ListedRows(there.folder).first(4)] == ["r1", "r2", "r4", "r3"]
    assert listed[0].where == "data.jsonl:1"


def test_a_row_is_listed_with_the_line_that_explains_its_state(there: Made):
    revert(there.path, 2, [])
    revert(there.path, None, ["r1"])
    # A later round that leaves the rows as they are.
    fifth = next(line for line in there.ledger() if (line.example_id, line.round) == ("r5", 2))
    there.folder.extend(LEDGER, [dataclasses.replace(fifth, example_id=f"r{n}", round=3) for n in range(1, 9)])
    assert [(row.id, row.state, row.round, row.reason) for row in ListedRows(there.folder).first(5)] == [
        ("r2", "changed", 1, "accepted"),
        ("r3", "changed", 1, "accepted"),
        ("r1", "taken back", 1, "reverted"),
        ("r4", "taken back", 2, "reverted"),
        ("r5", "as it came", 3, "agreed"),
    ]


def test_a_word_that_is_no_folder_is_named_where_there_is_no_refinement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = invoke("show", "nofolder")
    assert result.exit_code == 2
    assert (
        "FOLDER: 'nofolder' holds no refinement.json, so it was taken for the ID of a row, but neither . nor refined "
        "holds a refinement.json; give the folder that `burnish refine` wrote"
    ) in result.stderr
    assert "FOLDER: neither . nor refined holds a refinement.json; give" in invoke("show").stderr


def test_the_list_fits_a_screen_and_says_how_much_it_left_out(there: Made):
    result = invoke("show", str(there.path), "--limit", "2")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"r1  changed · round 1: {WHY[Reason.ACCEPTED]} · data.jsonl:1",
        f"r2  changed · round 2: {WHY[Reason.ACCEPTED]} · data.jsonl:2",
    ]
    assert "2 of 8 rows; give one ID for its history; --limit 0 lists all" in result.stderr
    assert len(invoke("show", str(there.path), "--limit", "0").stdout.splitlines()) == 8


def test_the_list_as_json_has_every_row(there: Made):
    found = json.loads(invoke("show", str(there.path), "--json").stdout)
    assert found["total"] == 8
    assert [row["id"] for row in found["rows"]] == ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"]
    assert found["rows"][1] == {
        "id": "r2",
        "where": "data.jsonl:2",
        "state": "changed",
        "round": 2,
        "reason": "accepted",
    }


def test_one_argument_of_show_is_a_folder_only_if_it_holds_a_refinement(there: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(there.path.parent)
    (there.path.parent / "r2").mkdir()  # a folder that holds no refinement is no FOLDER
    assert "two point two" in invoke("show", "r2").stdout
    listed = invoke("show", "refined").stdout
    assert listed.startswith("r1  changed")
    assert invoke("show").stdout == listed
    monkeypatch.chdir(there.path)
    assert invoke("show").stdout == listed


def test_an_id_may_be_longer_than_any_name_of_a_file(there: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(there.path.parent)
    result = invoke("show", "r" * 300)
    assert result.exit_code == 2
    assert "no usable row has the id" in result.stderr
    assert "File name too long" not in result.stderr


def test_a_huge_limit_is_refused(there: Made):
    result = invoke("show", str(there.path), "--limit", "9" * 30)
    assert result.exit_code == 2
    assert "is not in the range 0<=x<=1000000000" in result.stderr


def test_a_list_before_the_first_round_is_empty_and_says_why(there: Made):
    (there.path / LEDGER).unlink()
    result = invoke("show", str(there.path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "0 of 0 rows; no row has a history before the first round is finished" in result.stderr


def test_escape_codes_in_an_id_do_not_reach_the_terminal(there: Made):
    for name in (EXAMPLES, LEDGER, ANSWERS):
        path = there.path / name
        path.write_text(path.read_text().replace('"r1"', '"r\\u001b[31m1"'))
    result = invoke("show", str(there.path), "--limit", "1")
    assert result.stdout.startswith("r1  changed")
    assert "\x1b" not in result.stdout
