"""What a dry run of a refinement says about memory."""

from __future__ import annotations

import shutil
from pathlib import Path

from refinement import settings, written

from burnish.inputs.memory import memory_words
from burnish.models.location import EMBEDDED
from burnish.refinery import RunOptions
from burnish.refinery.dry_run import dry_run


def test_a_model_that_is_not_built_in_has_lines(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(EMBEDDED / "strong", folder)
    built_in = settings(written(tmp_path), rounds=1)
    options = RunOptions(out=tmp_path / "out", store=tmp_path / "store")
    assert dry_run(built_in, options).memory == ()
    found = dry_run(settings(written(tmp_path), f"model.source={folder}", rounds=1), options).memory
    assert {(need.work, need.model) for need in found} == {("finetuning", str(folder)), ("answers", str(folder))}
    assert all(need.total == need.parts.with_holes > 0 for need in found)
    heading, *lines = memory_words(found)
    assert heading.startswith("memory of a device if its passes are full")
    assert len(lines) == 2
