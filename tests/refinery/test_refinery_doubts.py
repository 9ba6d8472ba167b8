"""What cannot work is refused before anything is spent, with the same words in a dry run, a run and in Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from refinement import COUNT, PROBLEMS, fake, label, refine, rows, script, settings, written

import burnish
from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.config import RefineConfig
from burnish.errors import BurnishError, ConfigError, DataError
from burnish.inputs import context
from burnish.refinery import RunOptions
from burnish.refinery.dataset import DataFacts
from burnish.refinery.doubts import check_amount
from burnish.refinery.dry_run import DryRun, dry_run, words
from burnish.report.terminal import Terminal
from burnish.store.stages import Store

QUICK = ("decode.beams=1", "decode.max_new_tokens=8", "train.lora=null")


def planned(config: RefineConfig, where: Path) -> DryRun:
    return dry_run(config, RunOptions(out=where / "out", store=where / "store"))


def refused(config: RefineConfig, where: Path, kind: type[BurnishError]) -> str:
    """Return the error of a dry run and of a run: it is the same. Nothing is trained, judged or written."""
    units: list[str] = []
    with pytest.raises(kind) as first:
        planned(config, where)
    with pytest.raises(kind) as second:
        refine(config, where, fake(units.append))
    assert str(first.value) == str(second.value)
    assert units == []
    assert {done.name for done in Store(where / "store").every()} <= {"given"}
    out = where / "out"
    assert [path.name for path in (out.iterdir() if out.exists() else ()) if path.name != ".lock"] == []
    return str(first.value)


# --- too few rows


def test_one_row_cannot_be_divided(tmp_path: Path) -> None:
    config = settings(written(tmp_path, rows()[:1]), alpha=1.0)
    assert refused(config, tmp_path, DataError) == (
        f"{tmp_path / 'data.jsonl'}: 1 row with 1 different prompt found, but the method ilr divides them into 2 "
        "parts, and rows of one prompt stay together; use rows with at least 2 different prompts"
    )


def test_rows_of_one_prompt_cannot_be_divided_either(tmp_path: Path) -> None:
    data = [row | {"id": f"r{i}", "question": "1 + 1 ?"} for i, row in enumerate(rows()[:30])]
    config = settings(written(tmp_path, data), method="naive", annotator=None)
    assert "30 rows with 1 different prompt found" in refused(config, tmp_path, DataError)
    three = settings(written(tmp_path, [*data, rows()[31]]), "method.splits=3")
    assert "31 rows with 2 different prompts found" in refused(three, tmp_path, DataError)


def test_rows_that_are_skipped_do_not_count(tmp_path: Path) -> None:
    data = [rows()[0], *(row | {"answer": " "} for row in rows()[1:9])]
    config = settings(written(tmp_path, data), alpha=1.0, on_bad_row="skip")
    assert "1 row with 1 different prompt found" in refused(config, tmp_path, DataError)


def test_two_rows_are_enough_where_both_may_change(tmp_path: Path) -> None:
    config = settings(written(tmp_path, rows()[:2]), alpha=0.5, rounds=1)
    assert planned(config, tmp_path).data.prompts == 2
    assert refine(config, tmp_path).summary.data.usable == 2


# --- a cap of 0


@pytest.mark.parametrize(("method", "by"), [("ilr", "oracle:gold"), ("clear", "oracle:gold"), ("majority", None)])
def test_a_cap_of_nothing_is_refused(tmp_path: Path, method: str, by: str | None) -> None:
    config = settings(written(tmp_path, rows()[:6]), method=method, annotator=by, alpha=0.15)
    assert refused(config, tmp_path, ConfigError) == (
        f"method.alpha: 0.15 found, but {tmp_path / 'data.jsonl'} has 6 rows, and 0.15 of them is less than one: "
        "nothing could ever change. Set method.alpha to at least 0.1667, or use at least 7 rows"
    )
    enough = settings(tmp_path / "data.jsonl", method=method, annotator=by, alpha=0.1667)
    assert planned(enough, tmp_path).data.usable == 6


def test_a_cap_of_nothing_is_refused_in_python(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^method\.alpha: 0\.1 found, but .* has 6 rows, .* at least 0\.1667"):
        burnish.refine(
            rows()[:6],
            model="builtin:strong",
            annotator="oracle:gold",
            alpha=0.1,
            out=tmp_path / "out",
            store=tmp_path / "store",
            changes=QUICK,
            backend=fake(),
        )


def test_facts_of_an_older_burnish_do_not_count_prompts(tmp_path: Path) -> None:
    """They are not taken for too few. The stage that divides the rows checks them."""
    config = settings(written(tmp_path))
    older = DataFacts(form="", rows=30, usable=30, skipped=0, bad_rows=(), characters=1)
    check_amount(config, older)
    with pytest.raises(DataError, match="30 rows with 1 different prompt found"):
        check_amount(config, replace(older, prompts=1))


# --- programs that cannot start

MISSING = "/no/such/program"


@pytest.mark.parametrize(
    ("options", "changes", "field"),
    [
        ({"annotator": {"kind": "command", "command": [MISSING]}}, (), "annotator.command"),
        (
            {"annotator": {"kind": "majority", "of": [{"kind": "people"}, {"kind": "command", "command": [MISSING]}]}},
            (),
            "annotator.of.1.command",
        ),
        ({"method": "verified", "annotator": None, "checker": MISSING}, (), "method.checker"),
        ({"differs": {"kind": "command", "command": [MISSING]}}, (), "differs.command"),
        ({"audit": 3, "audit_by": f"command:{MISSING}"}, (), "audit.by.command"),
    ],
)
def test_a_program_that_cannot_start(
    tmp_path: Path, options: dict[str, Any], changes: tuple[str, ...], field: str
) -> None:
    config = settings(written(tmp_path), *changes, **options)
    assert refused(config, tmp_path, ConfigError) == (
        f"{field}: '{MISSING}' cannot be run (there is no such program); give a program and its arguments"
    )


def test_a_program_that_may_not_be_executed(tmp_path: Path) -> None:
    _, path = script(tmp_path / "programs", "judge.py", "")
    config = settings(written(tmp_path), annotator={"kind": "command", "command": [path]})
    assert "it is not executable; run chmod +x on it" in refused(config, tmp_path, ConfigError)
    gone = settings(written(tmp_path), annotator={"kind": "command", "command": [sys.executable, "gone.py"]})
    assert "its script 'gone.py' does not exist" in refused(gone, tmp_path, ConfigError)


def test_a_program_that_nobody_asks_may_be_missing(tmp_path: Path) -> None:
    asks_nobody = settings(written(tmp_path), method="naive", annotator=f"command:{MISSING}")
    assert planned(asks_nobody, tmp_path).data.usable == COUNT


def test_a_dry_run_starts_no_program(tmp_path: Path) -> None:
    trace = tmp_path / "started"
    program = script(tmp_path / "programs", "judge.py", f"open({str(trace)!r}, 'w').close()")
    planned(settings(written(tmp_path), annotator={"kind": "command", "command": program}), tmp_path)
    assert not trace.exists()


def test_the_selftest_names_it_before_it_loads_a_model() -> None:
    result = CliRunner().invoke(main, ["selftest", f"command:{MISSING}"])
    assert result.exit_code == 2
    assert f"annotator.command: '{MISSING}' cannot be run (there is no such program)" in result.stderr


# --- labels that are longer than an answer may become


def long(count: int) -> list[dict[str, Any]]:
    """Return the dataset with `count` labels of 13 tokens with their end; the others have 3."""
    return [row | {"answer": "+ " * 10 + label(i)} if i < count else row for i, row in enumerate(rows())]


def instead_of_the_usual(patch: pytest.MonkeyPatch, backend: Callable[[], FakeBackend]) -> None:
    """Put a backend in the place of the usual one. Unlike with a caller's own backend, rows are still rendered."""

    def opener_of(*_: object) -> Callable[[], FakeBackend]:
        return backend

    patch.setattr(context, "opener_of", opener_of)


def call(where: Path, data: Path, *arguments: str) -> tuple[int, str, str]:
    """Call `burnish refine`; returns the exit code, stdout and stderr."""
    places = ("--out", str(where / "out"), "--store", str(where / "store"))
    quick = tuple(word for change in QUICK for word in ("--set", change))
    fixed = ("--model", "builtin:strong", "--annotator", "oracle:gold", "--differs", "number", "--rounds", "1")
    result = CliRunner().invoke(main, ["refine", str(data), *fixed, *quick, *places, *arguments])
    return result.exit_code, result.stdout, result.stderr


LONG = (
    "warning: 12 of 60 given answers have more than 8 tokens with their end (decode.max_new_tokens). New answers of "
    "that length are cut, and a cut answer counts as none. 13 tokens are enough for 99 of 100 (--set "
    "decode.max_new_tokens=13)"
)


@pytest.mark.slow
def test_many_long_labels_are_said_in_the_dry_run_and_in_the_first_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead_of_the_usual(monkeypatch, fake)
    source = written(tmp_path, long(12))
    status, out, _ = call(tmp_path, source, "--dry-run")
    assert status == 0
    assert LONG in out.splitlines()
    status, _, err = call(tmp_path, source)
    assert status == 0
    lines = err.splitlines()
    assert lines.index(LONG) > next(i for i, line in enumerate(lines) if line.startswith("data: "))
    assert not any(" tokens with their end" in line for line in _lines(tmp_path / "b", long(2)))


def _lines(where: Path, data: list[dict[str, Any]]) -> list[str]:
    return list(words(planned(settings(written(where, data)), where)))


def test_labels_that_are_all_too_long_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units: list[str] = []
    instead_of_the_usual(monkeypatch, lambda: fake(units.append))
    source = written(tmp_path, long(COUNT))
    for more in (["--dry-run"], []):
        status, _, err = call(tmp_path, source, *more)
        assert status == 2
        assert "decode.max_new_tokens: 8 found, but all of 60 given answers have more tokens, the shortest 13" in err
        assert "Set it to 13 (--set decode.max_new_tokens=13)" in err
    assert units == []
    assert call(tmp_path, source, "--dry-run", "--set", "decode.max_new_tokens=13")[0] == 0


def test_the_tokens_of_a_caller_s_backend_are_not_counted(tmp_path: Path) -> None:
    """It may have another tokenizer."""
    config = settings(written(tmp_path, long(COUNT)), rounds=1)
    options = RunOptions(out=tmp_path / "out", store=tmp_path / "store", backend=fake)
    assert dry_run(config, options).warnings == []
    assert refine(config, tmp_path).summary.state == "done"


def test_a_thousand_labels_are_counted_at_most(tmp_path: Path) -> None:
    """Every second of 1,200 labels is looked at; of these, each tenth is long."""
    data = [
        {
            "question": f"{PROBLEMS[i % COUNT].question} + {i}",
            "answer": "+ " * 10 + "#### 1" if i % 20 == 0 else "#### 1",
        }
        for i in range(1_200)
    ]
    config = settings(written(tmp_path, data), annotator=None, method="naive")
    (warning,) = planned(config, tmp_path).warnings
    assert warning.startswith("60 of 600 given answers (evenly spaced among 1,200) have more than 8 tokens")


# --- rows that do not fit into the model's context


def test_rows_and_new_answers_must_fit_into_the_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model takes 128 tokens. The longest prompt is in the second row: its 92 tokens leave room for 36."""
    units: list[str] = []
    instead_of_the_usual(monkeypatch, lambda: fake(units.append))
    data = rows()
    data[1]["question"] = " ".join(["+"] * 88)
    source = written(tmp_path, data)
    for more in (["--dry-run"], []):
        status, out, err = call(tmp_path, source, *more, "--set", "decode.max_new_tokens=37")
        assert (status, out) == (2, "")
        assert "decode.max_new_tokens: 37 found, but the model 'builtin:strong' takes at most 128 tokens" in err
        assert f"of 1 of 60 rows are too long for that. The first is {source.name}:2, with 92 tokens" in err
        assert "(--set decode.max_new_tokens=36)" in err
        _, _, err = call(tmp_path, source, *more, "--set", "train.max_tokens=40")
        assert "error: train.max_tokens: 40 found, but " in err
        assert "(--set train.max_tokens=95)" in err
    assert units == []
    assert call(tmp_path, source, "--dry-run", "--set", "decode.max_new_tokens=36")[0] == 0


def test_a_caller_s_generator_and_backend_have_a_context_of_their_own(tmp_path: Path) -> None:
    config = settings(written(tmp_path), "decode.max_new_tokens=128", rounds=1)
    options = RunOptions(out=tmp_path / "out", store=tmp_path / "store")
    assert dry_run(config, replace(options, generator=fake())).warnings == []
    assert dry_run(config, replace(options, backend=fake)).warnings == []
    with pytest.raises(ConfigError, match=r"decode\.max_new_tokens: 128 found"):
        planned(config, tmp_path)


# --- a reference that never matches


DOUBT = (
    "Almost no given answer equals its reference (0 of 60): check whether the column 'gold' holds right answers in the "
    "same form as the dataset's answers, and how answers are told apart (differs: text). Until then, shares of right "
    "labels mean little."
)


@pytest.mark.slow
def test_a_reference_that_never_matches_is_said_in_the_dry_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [row | {"gold": f"it is {row['gold']}"} for row in rows()]
    config = settings(written(tmp_path, data), differs="text", annotator=None, method="naive", reference="gold")
    plan = planned(config, tmp_path)
    assert plan.warnings == [DOUBT]
    assert f"warning: {DOUBT}" in list(words(plan))
    said: list[str] = []

    def say(_: Terminal, message: str) -> None:
        said.append(message)

    monkeypatch.setattr(Terminal, "say", say)
    refine(config, tmp_path)
    assert f"warning: {DOUBT}" in said


def test_a_reference_that_matches_is_not_doubted(tmp_path: Path) -> None:
    config = settings(written(tmp_path), differs="text", annotator=None, method="naive", reference="gold")
    assert planned(config, tmp_path).warnings == []  # 36 of 60 numbers are right
    few = written(tmp_path / "few", [row | {"gold": "none"} for row in rows()[:19]])
    config = settings(few, differs="text", annotator=None, method="naive", reference="gold")
    assert planned(config, tmp_path).warnings == []  # too few to tell
