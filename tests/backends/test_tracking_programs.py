"""W&B (offline), MLflow and TensorBoard themselves. Each test is skipped where its program is not installed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from burnish import backends

SENDS = """
import sys
from burnish.backends.tracking import TrackedRun, Tracking
from burnish.config import Tracker

class Speaker:
    label = "seed 0 ilr 1"
    def say(self, message):
        print("what burnish says", message, file=sys.stderr)

run = TrackedRun(Tracking(trackers=(Tracker(sys.argv[1]),), project="sums", speaker=Speaker()), "ilr 1", {"rows": 16})
run.log({"loss": 0.5, "counts/replaced": 3}, 2)
run.tracking.speaker.say("while it runs")
assert run.finish() == {Tracker(sys.argv[1])}
"""
"""Sends a run as a training does."""


def in_mlflow(folder: Path) -> None:
    with sqlite3.connect(folder / "mlflow.db") as file:
        assert file.execute("SELECT name, status FROM runs").fetchall() == [("ilr 1", "FINISHED")]
        metrics = file.execute("SELECT key, value, step FROM metrics ORDER BY key").fetchall()
        assert metrics == [("counts/replaced", 3.0, 2), ("loss", 0.5, 2)]
        assert file.execute("SELECT key, value FROM params").fetchall() == [("rows", "16")]


def in_wandb(folder: Path) -> None:
    (record,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert b"counts/replaced" in record.read_bytes()
    # What burnish says on the terminal is no metric.
    assert not list(folder.glob("wandb/*/files/output.log"))
    assert b"while it runs" not in record.read_bytes()


def in_tensorboard(folder: Path) -> None:
    (events,) = (folder / "board" / "sums" / "ilr 1").glob("events.*")
    assert b"loss" in events.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "found"), [("mlflow", in_mlflow), ("wandb", in_wandb), ("tensorboard", in_tensorboard)]
)
def test_a_program_keeps_what_it_is_sent_and_says_nothing(
    tmp_path: Path, program: str, found: Callable[[Path], None]
) -> None:
    pytest.importorskip(program)
    pytest.importorskip("accelerate")
    environment = os.environ | {
        "WANDB_MODE": "offline",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "TENSORBOARD_LOGGING_DIR": str(tmp_path / "board"),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-c", SENDS, program]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == "what burnish says while it runs\n"
    found(tmp_path)


def test_transformers_says_nothing_on_stdout_if_wandb_is_offline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints a line when one of its modules is imported. Stdout is for data."""
    imported: list[str] = []

    def noisy(name: str) -> None:
        imported.append(name)
        print("[INFO] Running in WANDB offline mode")

    monkeypatch.setattr(backends.importlib, "import_module", noisy)
    for mode in ("online", "offline"):
        monkeypatch.setenv("WANDB_MODE", mode)
        backends._quiet()
    assert imported == ["transformers.integrations.integration_utils"]
    assert capsys.readouterr().out == ""
