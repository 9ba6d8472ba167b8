"""Kinds of one's own: the pages on adding them run as they stand, and plug-ins are found by their entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from tutorials import Page, blocks

from burnish.annotators import register_annotator
from burnish.annotators.likelihood import build
from burnish.config import ANNOTATORS, LikelihoodConfig, MethodSettings, SftMethod, TaskSettings
from burnish.errors import ConfigError
from burnish.methods import register_method
from burnish.methods.sft import sft
from burnish.tasks import register_task, task_named

PAGES = Path(__file__).parents[1] / "docs" / "extending"
KINDS = sorted(path for path in PAGES.glob("*.md") if path.name != "README.md")


@pytest.mark.slow
@pytest.mark.parametrize("path", KINDS, ids=lambda path: path.stem)
def test_a_page_runs_and_prints_what_it_shows(path: Path, tmp_path: Path) -> None:
    shown = sum(block.kind == "text" for block in blocks(path.read_text(encoding="utf-8")))
    assert Page(path, tmp_path, {}).run() == shown >= 1


def test_there_is_a_page_for_each_noun() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert [path.stem for path in KINDS] == ["annotator", "generator", "method", "source", "task"]
    assert [path.name for path in KINDS if f"({path.name})" not in index] == []


def plugin(folder: Path, code: str) -> None:
    """Lay out an installed package whose entry point names its one module."""
    (folder / "mine.py").write_text(code)
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[burnish.plugins]\nmine = mine\n")


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "burnish", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


CONFIG = """
name: mine
task: {kind: sums, train: 20, test: 5}
models: {weak: "builtin:weak", strong: "builtin:strong"}
supervision: {annotator: {kind: oracle}}
methods: [{kind: twice}]
"""
METHOD = """
from typing import Literal
import burnish
from burnish.config import MethodSettings
from burnish.methods.sft import start

class Twice(MethodSettings):
    kind: Literal["twice"]
    name: str = "twice"

burnish.register_method(Twice, lambda setting, method: [start(setting, setting.demonstrations, method.name)])
"""


@pytest.mark.slow
def test_the_command_line_finds_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG)
    unknown = cli(tmp_path, "run", "mine.yaml", "--dry-run")
    assert unknown.returncode == 2
    assert "methods.0.kind: 'twice' found; choose one of 'sft'" in unknown.stderr
    plugin(tmp_path, METHOD)
    found = cli(tmp_path, "run", "mine.yaml", "--dry-run")
    assert (found.returncode, found.stderr) == (0, "")
    assert "seed 0 twice" in found.stdout


@pytest.mark.slow
def test_a_plugin_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG)
    plugin(tmp_path, "import nothing_of_that_name\n")
    failed = cli(tmp_path, "run", "mine.yaml", "--dry-run")
    assert failed.returncode == 2
    assert "plugin 'mine' of the package 'mine' cannot be loaded" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_kind_is_registered_once() -> None:
    class Other(LikelihoodConfig):
        """Wants a kind that is taken."""

    with pytest.raises(ConfigError, match="annotator 'likelihood' is registered already"):
        register_annotator(Other, build)
    assert ANNOTATORS.all()["likelihood"] is LikelihoodConfig
    register_method(SftMethod, sft)  # the same class again changes nothing


def test_a_settings_class_needs_a_kind_and_its_base() -> None:
    class Nameless(MethodSettings):
        """Has no kind of its own."""

    class Mixed(MethodSettings):
        """A method that is registered as a task."""

        kind: Literal["mixed-up"]

    with pytest.raises(ConfigError, match="Nameless: it needs a field such as kind"):
        register_method(Nameless, lambda setting, method: [])
    with pytest.raises(ConfigError, match="Mixed: it is no task; inherit from TaskSettings"):
        register_task(Mixed, None, None)  # pyright: ignore[reportArgumentType]
    assert issubclass(MethodSettings, TaskSettings) is False
    with pytest.raises(ConfigError, match="'mixed-up' is unknown"):
        task_named("mixed-up")
