"""A refinement's summary holds its settings as settings, and opens whatever became of what they name."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import JsonValue
from refinement import settings, written

from burnish.config import RefineSettings
from burnish.errors import StageError
from burnish.ledger.folder import Folder
from burnish.ledger.summary import DataSummary, State, Summary, read_summary

ROOT = Path(__file__).parents[2]
COMMITTED = sorted((ROOT / "docs" / "results").glob("*/*/refinement.json"))
OLD_STORE = ROOT / "tests" / "fixtures" / "store-0.1.0.tar.xz"


def recorded(folder: Path) -> Any:
    """Return the settings in a folder's summary as they stand in the file."""
    return orjson.loads((folder / "refinement.json").read_bytes())["config"]


def keeps(new: JsonValue, old: JsonValue) -> bool:
    """Say whether all old settings are among the new ones. Others were added since, with a default."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and keeps(new[key], value) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(keeps(*both) for both in zip(new, old, strict=True))
    return old == new


def begun(config: RefineSettings, folder: Path) -> Path:
    """Write the summary of a refinement that has done nothing yet."""
    folder.mkdir()
    summary = Summary(
        state=State.UNDER_WAY,
        config=config,
        data=DataSummary(file="refined.jsonl", form="question/answer", rows=1, usable=1, skipped=0, bad_rows=()),
        given_accuracy=None,
        rounds=(),
        selftest=None,
        calls=None,
        reverted=0,
        model=None,
    )
    Folder(folder).write_summary(summary)
    return folder


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_the_settings_of_a_committed_refinement_are_read_as_they_stand(path: Path) -> None:
    assert keeps(read_summary(path.parent).config.model_dump(mode="json"), recorded(path.parent))


def test_the_settings_of_refinements_of_version_0_1_0_are_read_as_they_stand(tmp_path: Path) -> None:
    with tarfile.open(OLD_STORE) as archive:
        archive.extractall(tmp_path, filter="data")
    folders = sorted(path.parent for path in tmp_path.rglob("refinement.json"))
    assert len(folders) >= 3
    for folder in folders:
        assert keeps(read_summary(folder).config.model_dump(mode="json"), recorded(folder))


def test_execution_is_no_part_of_what_is_recorded(tmp_path: Path) -> None:
    config = settings(written(tmp_path), "execution.threads=2")
    folder = begun(config.settings, tmp_path / "out")
    assert recorded(folder) == config.model_dump(mode="json", exclude={"execution"})
    assert read_summary(folder).config == config.settings


def test_a_folder_opens_after_its_judges_prompt_file_is_gone(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("{question} {first} {second}")
    judge = {"kind": "judge", "base_url": "http://localhost:1/v1", "model": "m", "prompt_file": str(prompt)}
    config = settings(written(tmp_path), annotator=judge)
    folder = begun(config.settings, tmp_path / "out")
    prompt.unlink()
    assert read_summary(folder).config == config.settings


def test_settings_that_are_none_are_a_damaged_summary(tmp_path: Path) -> None:
    folder = begun(settings(written(tmp_path)).settings, tmp_path / "out")
    path = folder / "refinement.json"
    path.write_bytes(path.read_bytes().replace(b'"seed": 0', b'"seed": "none"'))
    with pytest.raises(StageError, match=r"damaged, or written by another version of burnish"):
        read_summary(folder)
