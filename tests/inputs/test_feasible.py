"""Caps of 0, rows that cannot be divided, and several copies of a command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from experiment import small

import burnish
from burnish.algorithms.refinement import cap
from burnish.cli import main
from burnish.config import (
    ClearMethod,
    DpoMethod,
    Execution,
    IlrMethod,
    MajorityMethod,
    MethodSettings,
    NaiveMethod,
    PairsFrom,
    SftMethod,
    VerifiedMethod,
)
from burnish.config.executors import Needs
from burnish.errors import ConfigError, DataError
from burnish.inputs.feasible import (
    check_caps,
    check_launched_once,
    check_parts,
    check_processes,
    in_one_process,
    least_share,
)
from burnish.store.json_rows import dump_line

TWO = {"train": Needs(processes=2)}


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        (SftMethod(kind="sft"), 1),
        (ClearMethod(kind="clear"), 1),
        (NaiveMethod(kind="naive"), 2),
        (MajorityMethod(kind="majority"), 2),
        (VerifiedMethod(kind="verified", checker=("x",)), 2),
        (IlrMethod(kind="ilr", splits=5), 5),
        (DpoMethod(kind="dpo"), 1),
        (DpoMethod(kind="dpo", pairs_from=PairsFrom.HALVES), 2),
        (DpoMethod(kind="dpo", after=IlrMethod(kind="ilr", splits=3)), 3),
    ],
)
def test_there_must_be_a_prompt_for_each_part(method: MethodSettings, parts: int) -> None:
    check_parts(method, parts, 9, "data.jsonl")
    with pytest.raises(DataError) as error:
        check_parts(method, parts - 1, 9, "data.jsonl")
    assert str(error.value).startswith(f"data.jsonl: 9 rows with {parts - 1} different prompt")
    assert f"divides them into {parts} parts" in str(error.value)
    assert str(error.value).endswith(f"use rows with at least {parts} different prompts")


def test_a_cap_of_nothing_names_the_share_the_rows_and_the_least_share() -> None:
    ilr = IlrMethod(kind="ilr", alpha=0.15)
    check_caps(ilr, "method", 7, "data.jsonl")  # floor(0.15 * 7) = 1
    with pytest.raises(ConfigError) as error:
        check_caps(ilr, "method", 6, "data.jsonl")
    assert str(error.value) == (
        "method.alpha: 0.15 found, but data.jsonl has 6 rows, and 0.15 of them is less than one: nothing could ever "
        "change. Set method.alpha to at least 0.1667, or use at least 7 rows"
    )


@pytest.mark.parametrize(
    "method",
    [
        NaiveMethod(kind="naive"),
        IlrMethod(kind="ilr"),
        ClearMethod(kind="clear"),
        MajorityMethod(kind="majority"),
        VerifiedMethod(kind="verified", checker=("x",)),
    ],
)
def test_every_method_that_changes_labels_has_a_cap(method: MethodSettings) -> None:
    with pytest.raises(ConfigError, match=r"^methods\.2\.alpha: 0\.15 found, but half U has 6 rows"):
        check_caps(method, "methods.2", 6, "half U")


def test_dpo_keeps_a_share_of_its_pairs() -> None:
    """Six samples make three pairs a row: of 2 rows, 0.15 * 6 is nothing; of 3 rows, floor(0.15 * 9) is one."""
    dpo = DpoMethod(kind="dpo")
    check_caps(dpo, "methods.0", 3, "half U")
    expected = "methods.0.keep: 0.15 found, but half U has 6 pairs of 2 rows, and 0.15 of them is less than one"
    with pytest.raises(ConfigError, match=re.escape(expected)) as error:
        check_caps(dpo, "methods.0", 2, "half U")
    assert str(error.value).endswith("Set methods.0.keep to at least 0.1667, or use at least 3 rows")
    after = DpoMethod(kind="dpo", after=IlrMethod(kind="ilr"))
    with pytest.raises(ConfigError, match=r"^methods\.0\.after\.alpha: 0\.15 found"):
        check_caps(after, "methods.0", 6, "half U")


def test_sft_changes_nothing_and_has_no_cap() -> None:
    check_caps(SftMethod(kind="sft"), "methods.0", 1, "half U")


def test_the_least_share_gives_one_change_and_hardly_less_gives_none() -> None:
    assert [least_share(count) for count in (1, 2, 3, 6, 10, 99, 1234)] == [
        "1", "0.5", "0.3334", "0.1667", "0.1", "0.01011", "0.0008104",
    ]  # fmt: skip
    for count in (2, 3, 7, 60, 999, 12_345, 1_000_000):
        share = float(least_share(count))
        assert cap(share, count) == 1
        assert cap(share * 0.998, count) == 0


@pytest.mark.parametrize("copies", ["2", " 16 "])
def test_copies_of_a_launcher_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", copies)
    told = r"WORLD_SIZE: .* found in the environment, so torchrun or another launcher has started several copies"
    with pytest.raises(ConfigError, match=told):
        burnish.run(small(), out=tmp_path / "out", store=tmp_path / "store")
    rows = [{"prompt": "1 + 1", "completion": "2"}]
    with pytest.raises(ConfigError, match=told):
        burnish.refine(rows, model="builtin:strong", out=tmp_path / "out", store=tmp_path / "store")
    for command in (["run", "config.yaml"], ["demo"], ["refine", "data.jsonl", "--model", "builtin:strong"]):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "config.yaml").write_bytes(dump_line(small().model_dump(mode="json", exclude_unset=True)))
        (tmp_path / "data.jsonl").write_bytes(b"".join(map(dump_line, rows)))
        more = ["--annotator", "oracle:completion"] if command[0] == "refine" else []
        result = CliRunner().invoke(main, [*command, *more, "--store", "store", "--out", "out"])
        assert (result.exit_code, result.stderr[:18]) == (2, "error: WORLD_SIZE:"), result.stderr
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("copies", [None, "1", "", "many"])
def test_one_copy_is_allowed(monkeypatch: pytest.MonkeyPatch, copies: str | None) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if copies is not None:
        monkeypatch.setenv("WORLD_SIZE", copies)
    check_launched_once()


def test_a_training_that_is_split_has_several_processes() -> None:
    with pytest.raises(ConfigError, match=r"split_training: fsdp2 found, but each training has one process. Set the"):
        check_processes(Execution(split_training="fsdp2"))
    check_processes(Execution(split_training="fsdp2", needs=TWO))
    check_processes(Execution())


def test_a_verb_of_one_process_has_no_cluster() -> None:
    with pytest.raises(ConfigError, match=r"executor: ray found, but a refinement is computed by one process on this"):
        in_one_process(Execution.model_validate({"executor": "ray"}), "a refinement")
    assert in_one_process(Execution(workers=3), "a refinement").alone


def test_each_process_of_a_training_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ConfigError, match=r"needs.train.processes: 2 found, but 1 GPU can be used here, and each"):
        check_processes(Execution(needs=TWO))
    check_processes(Execution(needs=TWO, device="cpu"))
    # The nodes of a cluster may have other GPUs than this machine.
    check_processes(Execution.model_validate({"needs": TWO, "executor": "ray"}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    check_processes(Execution(needs=TWO))
