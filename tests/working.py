"""Runs with worker processes on the fake backend (see fake_worker.py), and what their tests need."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from burnish.cli import main as command_line
from burnish.config import Config
from burnish.lab import local_processes
from burnish.lab.inputs import resolve
from burnish.lab.pool import Brief
from burnish.lab.running import planned, run
from burnish.store.files import tree_checksums
from burnish.store.json_rows import dump_line
from burnish.store.runners import planned_stages
from burnish.store.stages import Store

FAKE_WORKER = Path(__file__).parent / "fake_worker.py"
TWO = {"workers": 2}
METHODS: list[dict[str, Any]] = [{"kind": "sft"}, {"kind": "ilr", "rounds": 1}, {"kind": "dpo", "rounds": 1}]
DECODE = {"beams": 1, "max_new_tokens": 64}
"""Enough tokens for every reference, so that the run is not refused."""


def briefed(config: Config, store: Path, folder: Path = Path("out")) -> Brief:
    inputs = resolve(config, offline_ok=False)
    stages = planned_stages(planned(config, inputs, Store(store)))
    return Brief(configs=(config,), inputs=(inputs,), folders=(str(folder),), store=str(store), stages=tuple(stages))


def faked(monkeypatch: pytest.MonkeyPatch, *rules: str) -> None:
    """Let worker processes use the fake backend. For the rules see fake_worker.py."""
    monkeypatch.setattr(local_processes, "COMMAND", (sys.executable, str(FAKE_WORKER), *rules))


def outputs(store: Path) -> dict[str, str]:
    """Return the checksums of all results of stages."""
    return {name: sum_ for name, sum_ in tree_checksums(store / "stages").items() if "manifest" not in name}


def ran(config: Config, where: Path) -> Path:
    """Run an experiment, and return its results folder."""
    return run(config, where / "out", where / "store").out


def run_command(config: Config, where: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line in this process, and return its exit code."""
    (where / "config.yaml").write_bytes(dump_line(config.model_dump(mode="json", exclude_unset=True)))
    arguments = ["run", str(where / "config.yaml"), "--store", str(where / "store"), "--out", str(where / "out")]
    monkeypatch.setattr(sys, "argv", ["burnish", *arguments])
    with pytest.raises(SystemExit) as end:
        command_line.main(arguments)
    return int(end.value.code or 0)
