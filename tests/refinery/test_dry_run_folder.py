"""A dry run looks at `--out` as the run does: what the run refuses, it refuses, too. It changes nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest
from refinement import refine, settings, written

from burnish.config import RefineConfig
from burnish.errors import ConfigError
from burnish.refinery import RunOptions
from burnish.refinery.dry_run import DryRun, dry_run


def planned(config: RefineConfig, where: Path, overwrite: bool = False) -> DryRun:
    return dry_run(config, RunOptions(out=where / "out", store=where / "store", overwrite=overwrite))


def refused(config: RefineConfig, where: Path) -> str:
    """Return the error of a dry run and of a run: it is the same."""
    with pytest.raises(ConfigError) as first:
        planned(config, where)
    with pytest.raises(ConfigError) as second:
        refine(config, where)
    assert str(first.value) == str(second.value)
    return str(first.value)


def test_another_refinement_is_refused_until_it_may_be_replaced(tmp_path: Path) -> None:
    source = written(tmp_path)
    refine(settings(source, rounds=1), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = settings(source, "seed=1", rounds=1)
    said = refused(other, tmp_path)
    assert "holds 1 rounds of another refinement" in said
    assert said.endswith("these settings differ:\nseed: 0 there, 1 now")
    assert any(stage.state != "done" for stage in planned(other, tmp_path, overwrite=True).stages)
    assert {path: path.read_bytes() for path in before} == before


def test_the_same_refinement_and_more_rounds_of_it_may_go_on(tmp_path: Path) -> None:
    source = written(tmp_path)
    refine(settings(source, rounds=1), tmp_path)
    assert {stage.state for stage in planned(settings(source, rounds=1), tmp_path).stages} == {"done"}
    assert any(stage.state == "changed" for stage in planned(settings(source, rounds=2), tmp_path).stages)


def test_other_files_and_a_file_in_its_place_are_refused(tmp_path: Path) -> None:
    config, out = settings(written(tmp_path), rounds=1), tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert "holds other files (notes.txt)" in refused(config, tmp_path)
    (out / "notes.txt").rename(tmp_path / "notes.txt")
    out.rmdir()
    out.write_text("mine")
    assert refused(config, tmp_path).endswith("out' is a file; name a folder")
