"""What cannot work in an experiment is refused by `burnish run --dry-run` and by the run, before anything is spent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from experiment import fake, small
from sql_data import people, rows_of, write

from burnish.algorithms.refinement import split
from burnish.backends import answer_lengths
from burnish.cli import main
from burnish.config import Config, ModelConfig, SumsTask
from burnish.errors import BurnishError, ConfigError, DataError
from burnish.lab.running import plan, run
from burnish.lab.seen_prompts import seen_by_reward_models
from burnish.models.location import EMBEDDED
from burnish.rewards.trained_prompts import write_prompts
from burnish.store.stages import Store
from burnish.tasks import make_task
from burnish.types import prompt_group

ILR = {"kind": "ilr", "rounds": 1, "alpha": 0.15}


def refused(config: Config, where: Path, kind: type[BurnishError]) -> str:
    """Return the error of a dry run and of a run: it is the same, and no stage is computed."""
    units: list[str] = []
    with pytest.raises(kind) as first:
        plan(config, where / "store")
    with pytest.raises(kind) as second:
        run(config, where / "out", where / "store", lambda: fake(units.append))
    assert str(first.value) == str(second.value)
    assert units == []
    assert list(Store(where / "store").every()) == []
    assert not (where / "out").exists()
    return str(first.value)


def sums(train: int) -> dict[str, Any]:
    return {"kind": "sums", "train": train, "test": 5}


def problem(number: int, **more: Any) -> dict[str, Any]:
    return {"question": f"Ann has {number} pears and 1 more.", "equation": f"X={number}+1", "answer": number + 1} | more


def problems(where: Path, *rows: dict[str, Any]) -> dict[str, Any]:
    """Write word problems; returns the task."""
    path = where / "words.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"kind": "word_problems", "source": str(path)}


# --- rows


def test_one_row_has_no_halves(tmp_path: Path) -> None:
    assert "task: 1 training row with 1 different prompt found" in refused(small(task=sums(1)), tmp_path, DataError)


def test_half_u_must_have_a_row_for_each_part(tmp_path: Path) -> None:
    found = refused(small(task=sums(3), methods=[ILR | {"splits": 3, "alpha": 1.0}]), tmp_path, DataError)
    assert found.startswith("half U of the training rows (seed 0): ")
    assert "but the method ilr divides them into 3 parts" in found


def test_a_cap_of_nothing_is_counted_of_half_u(tmp_path: Path) -> None:
    """Of 13 rows, half U has 6: floor(0.15 * 6) is 0. Of 14 rows it has 7, and floor(0.15 * 7) is 1."""
    groups = {str(number): str(number) for number in range(13)}
    assert [len(half) for half in split(groups, 0, 0, "supervision")] == [7, 6]
    config = small(task=sums(13), methods=[{"kind": "sft"}, ILR])
    assert refused(config, tmp_path, ConfigError) == (
        "methods.1.alpha: 0.15 found, but half U of the training rows (seed 0) has 6 rows, and 0.15 of them is less "
        "than one: nothing could ever change. Set methods.1.alpha to at least 0.1667, or use at least 7 rows"
    )
    assert plan(small(task=sums(14), methods=[{"kind": "sft"}, ILR]), tmp_path / "store").unread is None


def test_bad_word_problems_are_said(tmp_path: Path) -> None:
    rows = [problem(number) for number in range(40)]
    rows[4]["answer"], rows[9]["answer"] = "5 or 6", None
    assert refused(small(task=problems(tmp_path, *rows)), tmp_path, DataError) == (
        f"{tmp_path / 'words.jsonl'}:5: column 'answer' is '5 or 6'; write a number, or a string that is one number "
        "(1 more bad row: words.jsonl:10)"
    )
    result = CliRunner().invoke(main, ["run", _written(tmp_path, rows), "--dry-run", "--store", str(tmp_path / "s")])
    assert result.exit_code == 2
    assert "words.jsonl:5: column 'answer' is '5 or 6'" in result.stderr
    assert result.stdout == ""


def _written(where: Path, rows: list[dict[str, Any]]) -> str:
    path = where / "config.yaml"
    path.write_text(json.dumps(small(task=problems(where, *rows)).model_dump(mode="json")))
    return str(path)


def test_bad_rows_of_a_folder_like_gsm8k_are_said(tmp_path: Path) -> None:
    good = {"question": "1 + 1 ?", "answer": "1 + 1 = 2 #### 2"}
    for split_name in ("train", "test"):
        rows = [good | {"question": f"{split_name} {n} ?"} for n in range(30)]
        rows[3]["answer"] = "two" if split_name == "test" else rows[3]["answer"]
        (tmp_path / f"{split_name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = refused(small(task={"kind": "gsm8k", "source": str(tmp_path)}), tmp_path, DataError)
    assert found == f"{tmp_path / 'test.jsonl'}:4: column 'answer' ends in 'two'; end it with `#### NUMBER`"


def test_bad_instructions_are_said(tmp_path: Path) -> None:
    task: dict[str, Any] = {"kind": "instructions", "train_general": None, "train_safety": None}
    for name in ("general", "safety", "general_test", "safety_test"):
        rows: list[dict[str, Any]] = [{"instruction": f"{name} {n}", "output": "Done."} for n in range(20)]
        if name == "safety":
            rows[6]["output"] = 7.5
            rows[6]["instruction"] = ["x"]
        task[name] = str(tmp_path / f"{name}.json")
        Path(task[name]).write_text(json.dumps(rows))
    assert f"{tmp_path}/safety.json" in refused(small(task=task), tmp_path, DataError)


def queries(where: Path, count: int = 60) -> dict[str, Any]:
    path = write(where / "rows.jsonl", *rows_of(people(where / "people.sqlite"), count))
    return {"kind": "text_to_sql", "source": str(path), "databases": str(where)}


def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    task = queries(tmp_path)
    database = tmp_path / "people.sqlite"
    database.write_bytes(database.read_bytes()[:-100])
    assert "people.sqlite" in refused(small(task=task), tmp_path, DataError)


def test_a_dry_run_executes_no_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a query was executed")

    monkeypatch.setattr("burnish.sql.gold.QueryResults.fill", never)
    config = small(task=queries(tmp_path), decode={"beams": 1, "max_new_tokens": 256})
    assert plan(config, tmp_path / "store").unread is None


def test_a_dataset_on_the_hub_is_not_read_in_a_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = small(task={"kind": "gsm8k", "source": "someone/gsm8k", "revision": "a" * 40})
    assert plan(config, tmp_path / "store").unread == "someone/gsm8k is on the hub; a run downloads and checks it"


def test_data_of_a_finished_stage_are_not_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(methods=[{"kind": "sft"}])
    run(config, tmp_path / "out", tmp_path / "store", fake)

    def never(_: object) -> None:
        raise AssertionError("the rows were loaded")

    monkeypatch.setattr("burnish.tasks.sums.Sums.load", never)
    assert plan(config, tmp_path / "store").unread is None


# --- programs


MISSING = {"kind": "command", "command": ["/no/such/program"]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"supervision": {"annotator": MISSING}}, "supervision.annotator.command"),
        ({"supervision": {"annotator": {"kind": "mixed", "other": MISSING}}}, "supervision.annotator.other.command"),
        ({"judge": MISSING}, "judge.command"),
    ],
)
def test_a_program_that_cannot_start(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    assert refused(small(**changes), tmp_path, ConfigError) == (
        f"{field}: '/no/such/program' cannot be run (there is no such program); give a program and its arguments"
    )


def test_a_program_that_nobody_asks_may_be_missing(tmp_path: Path) -> None:
    config = small(supervision={"annotator": MISSING}, methods=[{"kind": "sft"}, {"kind": "naive"}])
    assert plan(config, tmp_path / "store").stages


# --- answers that would be cut


def test_many_long_references_are_said(tmp_path: Path) -> None:
    """Nearly all solutions of `sums` have at least 8 tokens with their end, many have 14 or 20."""
    planned = plan(small(), tmp_path / "store")
    (warning,) = planned.warnings
    assert warning.startswith(f"{_longer(8)} of 80 references have more than 8 tokens with their end")
    assert "(decode.max_new_tokens)" in warning
    assert plan(small(decode={"beams": 1, "max_new_tokens": 32}), tmp_path / "store").warnings == []


def _longer(most: int) -> int:
    """Count the references that are longer. The embedded tokenizer makes a token of each word, number or sign."""
    train = make_task(SumsTask(kind="sums", train=80, test=30)).load().train
    lengths = answer_lengths(ModelConfig(source="builtin:strong"), [example.reference or "" for example in train])
    return sum(length > most for length in lengths)


def test_references_that_are_all_too_long_are_refused(tmp_path: Path) -> None:
    config = small(decode={"beams": 1, "max_new_tokens": 2})
    with pytest.raises(ConfigError, match="max_new_tokens: 2 found, but all of 80 references have more tokens"):
        plan(config, tmp_path / "store")
    with pytest.raises(ConfigError, match="max_new_tokens: 2 found, but all of 80 references have more tokens"):
        run(config, tmp_path / "out", tmp_path / "store")
    assert list(Store(tmp_path / "store").every()) == []


def test_the_command_line_shows_warnings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps(small().model_dump(mode="json")))
    command = ["run", str(tmp_path / "config.yaml"), "--dry-run", "--store", str(tmp_path / "s")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0
    assert sum(line.startswith("warning: ") for line in result.stdout.splitlines()) == 1
    plan_as_json = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert len(plan_as_json["warnings"]) == 1
    assert plan_as_json["unread"] is None


# --- damaged weights


@pytest.mark.parametrize("field", ["models.weak", "models.strong", "supervision.annotator.model", "judge.model"])
def test_every_model_of_an_experiment_is_looked_through(tmp_path: Path, field: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(EMBEDDED / "judge-3", folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    values = small(judge={"kind": "likelihood", "model": "builtin:judge-3"}).model_dump(mode="json")
    at: Any = values
    *steps, last = field.split(".")
    for step in steps:
        at = at[step]
    at[last] = {"source": str(folder), "dtype": "float32"}
    found = refused(Config.model_validate(values), tmp_path, ConfigError)
    assert found.startswith(f"{field}: '{weights}': it is ")
    assert "cut off" in found


def test_a_reward_model_that_was_trained_on_prompts_of_the_experiment_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "rm"
    shutil.copytree(EMBEDDED / "strong", folder)
    data = make_task(small().task).load()
    seen = [*data.train[:7], *data.test[:2]]
    write_prompts([prompt_group(example.prompt) for example in seen], folder)
    reward = {"kind": "reward_model", "model": str(folder)}
    config = small(methods=[{"kind": "rl", "reward": reward}])
    (warning,) = seen_by_reward_models(config, data.train, data.test)
    assert warning.startswith("methods.0.reward.model: ")
    assert "7 rows of 80 for training and of 2 rows of 30 for the test" in warning
    # Of a model of somebody else nothing is known.
    other = small(methods=[{"kind": "rl", "reward": {**reward, "model": "builtin:strong"}}])
    assert list(seen_by_reward_models(other, data.train, data.test)) == []
