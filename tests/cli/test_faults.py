"""Bad input: one clear error that names field, value and fix, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from refused import check_refused

from burnish.cli import main

GOOD: dict[str, Any] = {
    "name": "faults",
    "task": {"kind": "sums", "train": 20, "test": 5},
    "models": {"weak": "builtin:weak", "strong": "builtin:strong"},
    "supervision": {"annotator": {"kind": "oracle"}},
    "train": {"lora": None},
    "methods": [{"kind": "ilr", "rounds": 1}],
}


def call(tmp_path: Path, config: Any, *more: str) -> Result:
    path = tmp_path / "config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    places = ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    return CliRunner().invoke(main, ["run", str(path), *places, *more])


def rows(path: Path, *values: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return str(path)


WORDS = {"split": "train", "question": "1 + 1 ?", "equation": "x=1+1", "answer": 2}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("train.learningrate=1", ["train.learningrate", "no such field", "remove it or correct its name"]),
        ("train.epochs=many", ["train.epochs", "'many' found", "number"]),
        ("train.batch_size=0", ["train.batch_size", "0 found", "greater than or equal to 1"]),
        ("methods.0.alpha=0", ["methods.0.alpha", "0 found", "greater than 0"]),
        ("methods.0.alpha=1.5", ["methods.0.alpha", "1.5 found", "less than or equal to 1"]),
        ("methods.3.alpha=0.1", ["methods.3.alpha=0.1", "not an index of a list of 1"]),
        ("models.weak=builtin:nobody", ["models.weak", "'builtin:nobody' is no built-in model", "builtin:strong"]),
        ("models.weak=./nowhere", ["models.weak", "'./nowhere' does not exist", "hub id"]),
        ("models.strong=${NOT_SET_ANYWHERE}/m", ["models.strong", "NOT_SET_ANYWHERE", "set it"]),
        ("decode.temperature=0.5", ["decode", "beams: 4 and temperature: 0.5 cannot be used together", "set beams: 1"]),
        ("task={kind: sudoku}", ["task", "sudoku", "'sums'"]),
        ("seeds=[1, 1]", ["seeds", "contains a seed twice", "remove one of them"]),
        ("task.train", ["--set", "write a.b=c"]),
        ("train.lora.r=[", ["--set", "not a YAML value"]),
    ],
)
def test_a_wrong_setting(tmp_path: Path, change: str, words: list[str]) -> None:
    check_refused(call(tmp_path, GOOD, "--set", change), *words)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", ["list found", "mapping"]),
        ("a: [", ["not YAML"]),
        ("", ["NoneType found"]),
        ("name: x", ["task: is missing"]),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, text: str, words: list[str]) -> None:
    check_refused(call(tmp_path, text), *words)


def test_a_missing_config(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", str(tmp_path / "nothing.yaml")])
    check_refused(result, "nothing.yaml: no such config", "give the path of a YAML file")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], ["data.jsonl"]),
        ([WORDS | {"id": 1}, WORDS | {"id": 1}], ["data.jsonl:2", "id"]),
        ([WORDS, WORDS | {"answer": None}], ["data.jsonl:2", "answer"]),
        ([{"split": "train", "question": "?", "equation": "x=1"}], ["data.jsonl:1", "answer"]),
    ],
)
def test_a_bad_dataset(tmp_path: Path, values: list[dict[str, Any]], words: list[str]) -> None:
    source = rows(tmp_path / "data.jsonl", *values)
    check_refused(call(tmp_path, GOOD | {"task": {"kind": "word_problems", "source": source}}), *words)


def test_a_missing_dataset_and_a_folder_that_is_no_model(tmp_path: Path) -> None:
    task = {"kind": "word_problems", "source": str(tmp_path / "none.jsonl")}
    check_refused(call(tmp_path, GOOD | {"task": task}), "task.source", "none.jsonl")
    (tmp_path / "empty").mkdir()
    check_refused(call(tmp_path, GOOD, "--set", f"models.weak={tmp_path / 'empty'}"), "models.weak", "no config.json")
    (tmp_path / "text.txt").write_text("x")
    check_refused(call(tmp_path, GOOD, "--set", f"models.weak={tmp_path / 'text.txt'}"), "models.weak", "no .gguf")


def test_weights_that_are_broken(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "no such architecture"}')
    model = json.dumps({"source": str(broken), "dtype": "float32"})
    check_refused(call(tmp_path, GOOD, "--set", f"models.weak={model}"), "cannot be loaded")


def test_an_out_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    check_refused(call(tmp_path, GOOD), "out", "is a file", "name a folder")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_report_of_nothing(tmp_path: Path) -> None:
    check_refused(CliRunner().invoke(main, ["report", str(tmp_path)]), "results.json")


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    check_refused(call(tmp_path, GOOD), "store")
