"""Rows that a model's chat template refuses, and templates that fail: said while the data is read, before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refinement import CAP, COUNT, fake, refine, rows, settings
from tiny_models import STYLES, tiny_model

from burnish.config import RefineConfig
from burnish.errors import ConfigError, DataError
from burnish.refinery import RunOptions
from burnish.refinery.dry_run import DryRun, dry_run, words
from burnish.store.stages import Store

SYSTEM = {"role": "system", "content": "Be brief."}
REFUSED = {3: "System role not supported", 7: "Conversation roles must alternate"}
"""Rows of the dataset that the template in the style of Gemma refuses, and its words."""


def conversations() -> list[dict[str, Any]]:
    """Return the dataset as messages; one row has a system turn, one has two user turns in a row."""
    data = rows("messages")
    data[3]["messages"].insert(0, SYSTEM)
    data[7]["messages"].insert(0, {"role": "user", "content": "One moment."})
    return data


def write(folder: Path, data: list[dict[str, Any]]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data))
    return path


def config(where: Path, data: list[dict[str, Any]], template: str | None = None, **options: Any) -> RefineConfig:
    model = tiny_model(where / "base", "gemma", template)
    return settings(write(where, data), f"model.source={model}", "model.dtype=float32", **options)


def planned(config: RefineConfig, where: Path) -> DryRun:
    return dry_run(config, RunOptions(out=where / "out", store=where / "store"))


def test_a_row_that_the_template_refuses_is_an_error_with_its_place(tmp_path: Path) -> None:
    units: list[str] = []
    asked = config(tmp_path, conversations())
    expected = r"data\.jsonl:4 \(id 'row-03'\): the chat template of .* cannot take it: 'System role not supported'"
    with pytest.raises(DataError, match=expected):
        planned(asked, tmp_path)
    with pytest.raises(DataError, match=expected):
        refine(asked, tmp_path, fake(units.append))
    assert units == []
    two = config(tmp_path, conversations()[4:])
    with pytest.raises(DataError, match=r"data\.jsonl:4 \(id 'row-07'\): .*Conversation roles must alternate"):
        planned(two, tmp_path)


@pytest.mark.slow
def test_such_rows_are_skipped_where_bad_rows_are(tmp_path: Path) -> None:
    data = conversations()
    asked = config(tmp_path, data, on_bad_row="skip", annotator=None, method="naive", rounds=1)
    plan = planned(asked, tmp_path)
    assert (plan.data.usable, plan.data.skipped) == (COUNT - 2, 2)
    found = refine(asked, tmp_path)
    summary = found.summary.data
    assert (summary.rows, summary.usable, summary.skipped) == (COUNT, COUNT - 2, 2)
    for line, (position, why) in zip(summary.bad_rows, REFUSED.items(), strict=True):
        assert line.startswith(f"data.jsonl:{position + 1} (id 'row-0{position}'): the chat template of")
        assert why in line
    after = [json.loads(line) for line in (found.out / "refined.jsonl").read_text().splitlines()]
    assert [after[position] for position in REFUSED] == [data[position] for position in REFUSED]
    assert sum(before != now for before, now in zip(data, after, strict=True)) <= CAP


@pytest.mark.slow
def test_the_rows_that_a_template_refuses_are_part_of_what_the_data_stage_is(tmp_path: Path) -> None:
    """Another template that refuses nothing gives another stage; the stage of data without refusals is as before."""

    def stage(where: Path, template: str | None, data: list[dict[str, Any]]) -> str:
        where.mkdir()
        asked = config(where, data, template, on_bad_row="skip")
        return next(one.fingerprint for one in planned(asked, where).stages if one.label == "data")

    takes_all = STYLES["qwen"][0]
    assert stage(tmp_path / "a", None, conversations()) != stage(tmp_path / "b", takes_all, conversations())
    assert stage(tmp_path / "c", None, rows()) == stage(tmp_path / "d", takes_all, rows())


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% if %}", "Expected an expression"),
        ("{{ messages | nothing }}", "No filter named 'nothing'"),
        ("{{ nothing.more }}", "'nothing' is undefined"),
        ("{{ messages[0].content * 10 ** 10 }}", "too much memory"),
    ],
)
@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
def test_a_template_that_fails_is_an_error_before_anything_is_spent(
    tmp_path: Path, template: str, words: str, on_bad_row: str
) -> None:
    asked, units = config(tmp_path, rows(), template, on_bad_row=on_bad_row), list[str]()
    for work in (lambda: planned(asked, tmp_path), lambda: refine(asked, tmp_path, fake(units.append))):
        with pytest.raises(ConfigError, match="its chat template fails") as error:
            work()
        assert words in str(error.value)
    assert units == []
    assert list(Store(tmp_path / "store").every()) == []


def test_a_template_that_refuses_every_row(tmp_path: Path) -> None:
    asked = config(tmp_path, rows(), "{{ raise_exception('no') }}", on_bad_row="skip")
    with pytest.raises(DataError, match=f"none of {COUNT} rows can be used; the first: .*'no'"):
        planned(asked, tmp_path)


def test_the_model_of_an_annotator_is_asked_too(tmp_path: Path) -> None:
    judge = tiny_model(tmp_path / "judge", "gemma")
    asked = settings(write(tmp_path, conversations()), annotator=f"likelihood:{judge}")
    with pytest.raises(DataError, match=r"data\.jsonl:4 .*chat template of .*judge.* cannot take it"):
        planned(asked, tmp_path)


@pytest.mark.slow
def test_the_first_row_says_how_an_answer_ends(tmp_path: Path) -> None:
    lines = list(words(planned(config(tmp_path, rows()), tmp_path)))
    assert ">>> #### " in "\n".join(lines)
    assert "an answer ends with <end_of_turn> (--set model.end=TOKEN chooses another token)" in lines


@pytest.mark.slow
def test_another_end_is_another_base_and_the_tokenizer_s_own_is_the_old_one(tmp_path: Path) -> None:
    def base(model: Path, *changes: str) -> str:
        asked = settings(write(tmp_path, rows()), f"model.source={model}", "model.dtype=float32", *changes)
        return next(one.fingerprint for one in planned(asked, tmp_path).stages if one.label == str(model))

    gemma = tiny_model(tmp_path / "gemma", "gemma")
    assert base(gemma) == base(gemma, "model.end=<end_of_turn>")
    assert len({base(gemma), base(gemma, "model.end=<eos>"), base(gemma, "model.end=<start_of_turn>")}) == 3
    smollm = tiny_model(tmp_path / "smollm", "smollm")
    assert base(smollm) == base(smollm, "model.end=<|im_end|>")
