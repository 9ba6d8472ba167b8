"""Folders of single seeds become the folder that one run of all seeds writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from experiment import run_small, small

from burnish.cli import main
from burnish.results import (
    CHANGES_FILE,
    CONFIDENCE_FILE,
    CONFIG_FILE,
    GRADES_FILE,
    MODELS_FILE,
    RESULTS_FILE,
    TIMINGS_FILE,
    read_timings,
)

SAME = (RESULTS_FILE, GRADES_FILE, CHANGES_FILE, CONFIDENCE_FILE)
"""The files whose bytes must be those of one run."""


def config(seeds: list[int], **settings: Any) -> Any:
    return small(
        seeds=seeds, orders=2, supervision={"annotator": {"kind": "likelihood", "model": "builtin:judge-3"}}, **settings
    )


def join(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["join", *map(str, arguments)])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders of one seed each, from two stores."""
    places = [tmp_path_factory.mktemp(f"seed-{seed}") for seed in (0, 1)]
    return [run_small(config([seed]), place).out for seed, place in enumerate(places)]


def changed(folder: Path, into: Path, name: str, change: Callable[[Any], None]) -> Path:
    """Copy a folder and change one of its JSON files."""
    into.mkdir()
    for path in folder.iterdir():
        if path.is_file():
            (into / path.name).write_bytes(path.read_bytes())
    value = json.loads((into / name).read_bytes())
    change(value)
    (into / name).write_text(json.dumps(value))
    return into


@pytest.mark.slow
def test_joined_seeds_are_one_run(parts: list[Path], tmp_path: Path) -> None:
    whole = run_small(config([0, 1]), tmp_path / "whole").out
    # The order in which the folders are given says nothing.
    result = join(parts[1], parts[0], "--out", tmp_path / "joined")
    assert result.exit_code == 0, result.output
    assert f"report: {tmp_path / 'joined' / 'report.html'}" in result.output
    for name in SAME:
        assert (tmp_path / "joined" / name).read_bytes() == (whole / name).read_bytes(), name
    assert (tmp_path / "joined" / CONFIG_FILE).read_text() == (whole / CONFIG_FILE).read_text()
    assert sorted(path.name for path in (tmp_path / "joined" / "figures").iterdir()) == sorted(
        path.name for path in (whole / "figures").iterdir()
    )
    # Each machine has its own models, so a joined folder names none.
    assert not (tmp_path / "joined" / MODELS_FILE).exists()
    ours, theirs = read_timings(tmp_path / "joined"), read_timings(whole)
    assert {stage.fingerprint for stage in ours.stages} == {stage.fingerprint for stage in theirs.stages}
    assert ours.total_seconds == pytest.approx(sum(read_timings(part).total_seconds for part in parts), abs=0.01)


@pytest.mark.slow
def test_json_is_the_file(parts: list[Path], tmp_path: Path) -> None:
    result = join(*parts, "--out", tmp_path / "joined", "--json")
    assert result.stdout_bytes == (tmp_path / "joined" / RESULTS_FILE).read_bytes()


@pytest.mark.slow
def test_folders_that_do_not_fit_are_refused(parts: list[Path], tmp_path: Path) -> None:
    def rate(results: Any) -> None:
        results["config"]["train"]["learning_rate"] = 0.5

    def data(timings: Any) -> None:
        next(stage for stage in timings["stages"] if stage["name"] == "data")["fingerprint"] = "0" * 64

    def wins(results: Any) -> None:
        metrics = results["runs"][0]["metrics"]
        metrics["reference_win_rate"] = metrics["test_accuracy"]

    def named(results: Any) -> None:
        results["runs"][0]["method"] = "other"

    out = tmp_path / "joined"
    told: dict[str, tuple[list[Path], str]] = {
        "twice": ([parts[0], parts[0]], "seeds: 0 is in"),
        "settings": (
            [parts[0], changed(parts[1], tmp_path / "a", RESULTS_FILE, rate)],
            "train.learning_rate: 0.0001 in",
        ),
        "data": (
            [parts[0], changed(parts[1], tmp_path / "b", TIMINGS_FILE, data)],
            "was computed with another content",
        ),
        "wins": ([parts[0], changed(parts[1], tmp_path / "c", RESULTS_FILE, wins)], "run all seeds in one store"),
        "other": ([parts[0], changed(parts[1], tmp_path / "d", RESULTS_FILE, named)], "not those of results.json"),
        "nothing": ([parts[0], tmp_path], "results.json: no such file; give the folder"),
    }
    for name, (folders, words) in told.items():
        result = join(*folders, "--out", out)
        assert (result.exit_code, words in result.output) == (2, True), (name, result.output)
        assert not out.exists(), name
    for place, words in ((parts[0], "is one of the folders to join"), (parts[0] / RESULTS_FILE, "is a file")):
        result = join(*parts, "--out", place)
        assert (result.exit_code, words in result.output) == (2, True), result.output


@pytest.mark.slow
def test_a_folder_of_an_earlier_version_has_no_grades(parts: list[Path], tmp_path: Path) -> None:
    old = changed(parts[1], tmp_path / "old", RESULTS_FILE, lambda _: None)
    (old / GRADES_FILE).unlink()
    result = join(parts[0], old, "--out", tmp_path / "joined")
    assert (result.exit_code, "no grades of single prompts" in result.output) == (2, True), result.output
