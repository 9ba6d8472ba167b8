"""What needs no model imports no model library: help, checks, plans, grading."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish import __version__
from burnish.cli import main as cli
from burnish.models.location import EMBEDDED

GUARD = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"accelerate", "datasets", "peft", "torch", "transformers", "trl"}:
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Refuse())
"""
CLI = "from burnish.cli import main; main(sys.argv[1:], prog_name='burnish')"
CONFIG = """
name: light
task: {kind: sums, train: 20, test: 10}
models: {weak: MODEL, strong: MODEL}
supervision: {annotator: {kind: oracle}}
methods: [{kind: sft}, {kind: ilr, rounds: 2}]
"""


def guarded(code: str, *arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", GUARD + code, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=where, env=environment)


def light(code: str, *arguments: str, where: Path) -> str:
    finished = guarded(code, *arguments, where=where)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_guard_refuses(tmp_path: Path):
    assert "torch was imported" in guarded("import torch", where=tmp_path).stderr


def test_importing_the_package(tmp_path: Path):
    assert light("import burnish; print(burnish.__version__)", where=tmp_path).strip() == __version__


# Not marked slow: every new option can break it.
@pytest.mark.parametrize("verb", ["", *sorted(cli.commands)])
def test_help_of_every_verb(verb: str, tmp_path: Path):
    assert "Usage: burnish" in light(CLI, *verb.split(), "--help", where=tmp_path)


# Not marked slow: `make check` has at least one process without model libraries.
def test_checking_a_config(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("name: light\n")
    finished = guarded(CLI, "run", "config.yaml", where=tmp_path)
    assert finished.returncode == 2
    assert "methods: is missing" in finished.stderr


@pytest.mark.slow
def test_planning_with_a_built_in_model(tmp_path: Path):
    names = sorted(path.parent.name for path in EMBEDDED.glob("*/config.json"))
    if not names:
        pytest.skip("the package holds no weights")
    (tmp_path / "config.yaml").write_text(CONFIG.replace("MODEL", f"builtin:{names[0]}"))
    assert "0 done" in light(CLI, "run", "config.yaml", "--dry-run", where=tmp_path)
    assert "0 done" in light(CLI, "explain", "config.yaml", where=tmp_path)


@pytest.mark.slow
def test_grading(tmp_path: Path):
    (tmp_path / "predictions.jsonl").write_text('{"prediction": "#### 4", "reference": "2 + 2 = 4 #### 4"}\n')
    assert json.loads(light(CLI, "grade", "sums", "predictions.jsonl", "--json", where=tmp_path))["correct"] == 1


@pytest.mark.slow
def test_freeing_an_empty_store(tmp_path: Path):
    assert "0 folders" in light(CLI, "gc", "--dry-run", where=tmp_path)


@pytest.mark.slow
def test_reporting_on_nothing(tmp_path: Path):
    assert guarded(CLI, "report", "nowhere", where=tmp_path).returncode == 2


def test_the_verbs_are_functions_of_the_package() -> None:
    import burnish

    for name in burnish.__all__:
        assert getattr(burnish, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = burnish.nothing
