"""revert: lines in the ledger, and what is written anew from it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from folders import FORMULA, GIVEN, PROPOSED, SCRIPT, Made, made

from burnish.cli import main as cli
from burnish.errors import ConfigError, DataError
from burnish.ledger.folder import LEDGER
from burnish.ledger.history import changes
from burnish.ledger.replay import replayed
from burnish.ledger.reverting import revert
from burnish.types import Reason, Refinement


@pytest.fixture
def there(tmp_path: Path) -> Made:
    return made(tmp_path)


def files(path: Path) -> dict[str, bytes]:
    return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def test_a_round_goes_back_to_what_stood_before_it_with_what_came_later(there: Made):
    lines = len(there.ledger())
    assert revert(there.path, 1, []) == 3
    assert there.labels() == {**GIVEN, "r4": PROPOSED[2]["r4"]}
    fresh = there.ledger()[lines:]
    first = there.answers
    assert fresh[1] == Refinement(
        example_id="r2",
        round=1,
        kept=first[2, "r2"].id,
        proposed=first[2, "r2"].id,
        chosen=first[0, "r2"].id,
        score=None,
        p_b_ab=None,
        p_b_ba=None,
        annotator="user",
        model="",
        reason=Reason.REVERTED,
    )
    assert there.folder.summary.reverted == 3


def test_the_last_round_goes_back_to_the_one_before(there: Made):
    assert revert(there.path, 2, []) == 2
    assert there.labels()["r2"] == "two point one"
    assert {id_: (one.round, one.after) for id_, one in there.folder.standing().items()}["r2"] == (
        1,
        there.answers[1, "r2"].id,
    )


def test_an_id_goes_back_to_the_answer_that_the_dataset_came_with(there: Made):
    assert revert(there.path, None, ["r2", "r3", "r2"]) == 2
    assert (there.labels()["r2"], there.labels()["r3"]) == ("two", FORMULA)
    assert [(line.example_id, line.round) for line in there.ledger()[16:]] == [("r2", 2), ("r3", 1)]
    assert [one.example_id for one in changes(there.folder, None)] == ["r1", "r4"]


def test_one_round_after_the_other(there: Made):
    revert(there.path, 2, [])
    assert revert(there.path, 1, []) == 3
    assert there.labels() == GIVEN
    assert there.folder.summary.reverted == 4


def test_the_ledger_is_only_appended_to(there: Made):
    before = (there.path / LEDGER).read_bytes()
    revert(there.path, 1, [])
    assert (there.path / LEDGER).read_bytes().startswith(before)


def test_a_round_that_is_added_after_a_revert_stands_on_what_stands(there: Made):
    # The rounds themselves do not know of reverts: their next line keeps the answer that was taken back.
    revert(there.path, None, ["r1"])
    first = there.ledger()[0]
    later = dataclasses.replace(
        first, round=3, kept=first.chosen, proposed=there.answers[2, "r1"].id, chosen=there.answers[2, "r1"].id
    )
    there.folder.extend(LEDGER, [later])
    row = replayed(there.folder.ledger()).rows["r1"]
    assert (row.answer, row.before(3), row.reverted) == (there.answers[2, "r1"].id, there.answers[0, "r1"].id, False)
    assert revert(there.path, 3, []) == 1
    assert there.labels()["r1"] == GIVEN["r1"]


def test_the_model_is_no_longer_current_and_the_report_says_what_was_taken_back(tmp_path: Path):
    there = made(tmp_path, model=True)
    revert(there.path, None, ["r1"])
    model = there.folder.summary.model
    assert model is not None
    assert not model.current
    assert "1 row was taken back with `burnish revert`." in (there.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("round_", "ids", "message"),
    [
        (1, [], "no change of round 1 stands"),
        (7, [], r"round 7 is not in the ledger; rounds there: 1, 2"),
        (None, ["r1"], "'r1' has its first answer back already"),
        (None, ["r4", "r5"], "'r5' was never changed"),
        (None, ["r4", "r44"], r"no usable row has the id 'r44'; similar ids: r4"),
    ],
)
def test_where_there_is_nothing_to_take_back_nothing_changes(
    there: Made, round_: int | None, ids: list[str], message: str
):
    revert(there.path, 1, [])
    before = files(there.path)
    with pytest.raises(DataError, match=message):
        revert(there.path, round_, ids)
    assert files(there.path) == before


@pytest.mark.parametrize(("round_", "ids"), [(None, []), (1, ["r1"])])
def test_a_round_or_ids_are_given_and_not_both(there: Made, round_: int | None, ids: list[str]):
    with pytest.raises(ConfigError, match="give either a round or ids"):
        revert(there.path, round_, ids)


STEPS = ["ledger.folder.Folder.extend", "ledger.folder.Folder.rewrite_dataset", "ledger.reverting.write_page"]


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_between_the_steps_is_repaired_by_the_same_call(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
):
    whole, killed = made(tmp_path / "whole", model=True), made(tmp_path / "killed", model=True)
    revert(whole.path, 1, [])

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"burnish.{step}", kill)
        with pytest.raises(KeyboardInterrupt):
            revert(killed.path, 1, [])
    if step.endswith("extend"):
        assert revert(killed.path, 1, []) == 3
    else:  # the ledger has it: what follows from it is written, and there is nothing more to take back
        assert killed.folder.summary.reverted == 0
        with pytest.raises(DataError, match="nothing to take back"):
            revert(killed.path, 1, [])
    assert killed.labels() == whole.labels()
    assert (killed.path / LEDGER).read_bytes() == (whole.path / LEDGER).read_bytes()
    assert (killed.folder.summary.reverted, killed.folder.summary.model) == (3, whole.folder.summary.model)
    assert "3 rows were taken back with `burnish revert`." in (killed.path / "report.html").read_text()


def test_the_dataset_is_rewritten_from_the_ledger_alone(there: Made):
    lines = there.ledger()
    back = dataclasses.replace(lines[0], kept=lines[0].chosen, chosen=lines[0].kept, reason=Reason.REVERTED)
    there.folder.extend(LEDGER, [back])
    assert there.labels()["r1"] == SCRIPT
    there.folder.rewrite_dataset()
    assert there.labels()["r1"] == GIVEN["r1"]


def test_other_columns_and_rows_stay_as_they_are(there: Made):
    before = (there.path / "refined.jsonl").read_bytes().splitlines()
    revert(there.path, None, ["r1"])
    after = (there.path / "refined.jsonl").read_bytes().splitlines()
    assert after[4:] == before[4:]
    assert json.loads(after[0]) == {"id": "r1", "prompt": "Question r1?", "completion": GIVEN["r1"], "extra": 1}


def test_revert_twice_is_an_error(there: Made):
    assert CliRunner().invoke(cli, ["revert", str(there.path), "--round", "2"]).exit_code == 0
    result = CliRunner().invoke(cli, ["revert", str(there.path), "--round", "2"])
    assert (result.exit_code, "nothing to take back" in result.stderr) == (2, True)
