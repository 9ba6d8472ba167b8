"""Prompts with other column names, and prompts that the reward model was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from refused import check_refused
from rewarding import STRONG, prompts, run, scored

from burnish.cli import main
from burnish.config import ModelConfig
from burnish.config.columns import dataset
from burnish.errors import ConfigError, DataError
from burnish.seam.prompts import read_prompts, unseen_prompts


def other_columns(where: Path) -> Path:
    """Write prompts with gold answers under names that no known form has."""
    path = where / "mine.jsonl"
    path.write_text("".join(json.dumps({"id": f"p{n}", "frage": f"{n}?", "loesung": str(n)}) + "\n" for n in range(4)))
    return path


def test_columns_of_other_names_can_be_named(tmp_path: Path) -> None:
    given = other_columns(tmp_path)
    with pytest.raises(DataError, match="--columns prompt=NAME"):
        read_prompts(dataset(str(given), None), None, 0)
    found = read_prompts(dataset(str(given), "prompt=frage,completion=loesung"), None, 0)
    assert [(row.prompt[0].content, row.reference) for row in found.examples][:1] == [("0?", "0")]
    with pytest.raises(ConfigError, match=r"--columns: 'frage' found"):
        dataset(str(given), "frage")
    with pytest.raises(ConfigError, match="--columns"):
        dataset(str(given), "question=frage,completion=loesung")


@pytest.mark.parametrize(
    "command",
    [
        ("seam", "score", "--policy", "builtin:strong", "--reward", "builtin:strong"),
        ("seam", "mismatch", "--policy", "builtin:strong", "--reward", "builtin:strong", "--checker", "number"),
    ],
)
def test_the_commands_take_columns(tmp_path: Path, command: tuple[str, ...]) -> None:
    data, places = str(other_columns(tmp_path)), ("--out", str(tmp_path / "out"), "--store", str(tmp_path / "store"))
    # The name of a column that does not exist is refused, so the option was read.
    done = CliRunner().invoke(
        main,
        [*command, data, "--columns", "prompt=frage,completion=wrong", *places],
    )
    check_refused(done, "wrong")


def test_kept_rows_are_copied_from_a_dataset_with_other_columns(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    answer = {"reward": 1.0, "logprob": -1.0, "tokens": 2}
    table.write_text(
        "".join(json.dumps({"id": f"p{n}", "gold": answer, "worse": [answer | {"reward": n}]}) + "\n" for n in range(4))
    )
    out, data = tmp_path / "kept", other_columns(tmp_path)
    arguments = ("select", str(table), "--keep", "0.5", "--data", str(data), "--out", str(out))
    check_refused(run(*arguments), "--columns")
    done = run(*arguments, "--columns", "prompt=frage,completion=loesung")
    assert done.exit_code == 0, done.output
    kept = [json.loads(line) for line in (out / "kept.jsonl").read_text().splitlines()]
    assert [row["frage"] for row in kept] == ["0?", "1?"]


def test_prompts_of_the_reward_model_are_not_scored(tmp_path: Path) -> None:
    given = read_prompts(dataset(str(prompts(tmp_path)), None), None, 0)
    model = STRONG.model_copy(update={"source": str(tmp_path / "rm")})
    (tmp_path / "rm").mkdir()
    groups = [row.group for row in given.examples]

    def trained_on(seen: list[str]) -> None:
        (tmp_path / "rm" / "trained_on.json").write_text(json.dumps({"groups": sorted(seen)}))

    trained_on(groups[:3])
    left = unseen_prompts(given, model, "mine")
    assert ([row.group for row in left.examples], left.trained_on) == (groups[3:], 3)
    trained_on(groups)
    with pytest.raises(DataError, match="mine: the reward model was trained on all its prompts"):
        unseen_prompts(given, model, "mine")


def test_the_number_of_prompts_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [row.group for row in read_prompts(dataset(str(prompts(tmp_path)), None), None, 0).examples]

    def seen(_: ModelConfig) -> frozenset[str]:
        return frozenset(groups[:5])

    monkeypatch.setattr("burnish.seam.prompts.prompts_of", seen)
    done = scored(tmp_path)
    assert (len(done.rows), done.trained_on) == (15, 5)
    assert "5 prompts left out that the reward model was trained on" in list(done.words())
