"""The wheel holds what a user needs and nothing else, and runs from another place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from burnish import __version__

ROOT = Path(__file__).parent.parent
LARGEST_WEIGHTS = 4_500_000  # bytes, of all shipped models together

pytestmark = pytest.mark.slow


def called(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    finished = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=env)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def pip(*arguments: str) -> None:
    called(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(place), str(ROOT))
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("elsewhere")
    pip("install", "--no-deps", "--target", str(place), str(wheel))
    return place


def run_from(place: Path, *arguments: str, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return called(sys.executable, "-m", "burnish", *arguments, cwd=cwd, env={**environment, "PYTHONPATH": str(place)})


def test_what_is_in_the_wheel(wheel: Path):
    with ZipFile(wheel) as archive:
        files = {item.filename: item.file_size for item in archive.infolist()}
    tops = {name.split("/")[0] for name in files}
    assert tops == {"burnish", f"burnish-{__version__}.dist-info"}
    assert {
        "burnish/py.typed",
        "burnish/demo.yaml",
        "burnish/embedded/LICENSE",
        "burnish/report/templates/report.html.j2",
        "burnish/report/templates/report.css",
        "burnish/people/study/defaults/words.yaml",
        "burnish/people/web/templates/pair_task.html.j2",
        "burnish/people/web/static/task.js",
    } <= files.keys()
    assert {"LICENSE", "NOTICE"} <= {name.split("/")[-1] for name in files}


def test_the_weights_in_the_wheel(wheel: Path):
    with ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    weights = {name: size for name, size in sizes.items() if name.endswith("/model.safetensors")}
    configs = [name for name in sizes if name.startswith("burnish/embedded/") and name.endswith("/config.json")]
    assert weights
    assert sorted(weights) == sorted(name.replace("config.json", "model.safetensors") for name in configs)
    assert sum(weights.values()) < LARGEST_WEIGHTS


def test_it_runs_from_elsewhere(installed: Path, tmp_path: Path):
    where = called(
        sys.executable,
        "-c",
        "import burnish; print(burnish.__file__)",
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
    )
    assert where.startswith(str(installed))
    assert __version__ in run_from(installed, "--version", cwd=tmp_path)
    (tmp_path / "predictions.jsonl").write_text(
        '{"prediction": "#### 4", "reference": 4}\n{"prediction": "", "reference": 4}\n'
    )
    summary = json.loads(run_from(installed, "grade", "sums", "predictions.jsonl", "--json", cwd=tmp_path))
    assert (summary["n"], summary["correct"]) == (2, 1)


def test_the_shipped_experiment_can_be_planned_elsewhere(installed: Path, tmp_path: Path):
    plan = run_from(installed, "explain", str(installed / "burnish" / "demo.yaml"), cwd=tmp_path)
    assert "0 done" in plan
