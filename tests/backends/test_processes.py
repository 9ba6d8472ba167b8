"""Several GPUs or processes train as one does: as many steps, the same batch, the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import training_process
from embedded import QUICK, ROWS, backend, base

from burnish.config import Execution
from burnish.errors import BackendError

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from burnish.backends import train  # noqa: E402
from burnish.backends.device import Runtime  # noqa: E402
from burnish.backends.train import Training  # noqa: E402


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    starts, into = training_process.prepared(tmp_path_factory.mktemp("alone"))
    training_process.main(starts, into)
    return into


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes on the CPU, which torchrun starts."""
    starts, into = training_process.prepared(tmp_path_factory.mktemp("together"))
    program = Path(training_process.__file__)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(program)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(starts), str(into)], check=False, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return into


@pytest.mark.slow
@pytest.mark.parametrize("way", training_process.WAYS)
def test_two_processes_take_the_steps_of_one_and_give_its_weights(alone: Path, together: Path, way: str) -> None:
    """In float32. The largest difference of a weight that was seen is 1e-6."""
    one, two = (json.loads((place / f"{way}.json").read_text()) for place in (alone, together))
    assert one == two
    assert one["steps"] > 2
    for file in one["files"]:
        mine, theirs = load_file(alone / way / file), load_file(together / way / file)
        assert mine.keys() == theirs.keys()
        for name, weights in mine.items():
            torch.testing.assert_close(weights, theirs[name], rtol=0, atol=1e-5)


class Counted:
    def __init__(self) -> None:
        self.steps = 0

    def start(self, label: str, total: int, done: int = 0) -> None: ...

    def advance(self, amount: int) -> None:
        self.steps += amount


def on_visible_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> Runtime:
    """Return a runtime with which the trainer counts GPUs, although it finds only the CPU to train on."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    execution = Execution(device="cpu", threads=1, micro_batch=4)
    return Runtime(device=torch.device("mps"), execution=execution, progress=Counted(), sources={})


@pytest.mark.parametrize("by_trl", [False, True])
def test_more_visible_gpus_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_trl: bool) -> None:
    if by_trl:
        monkeypatch.setattr(train, "serves", lambda model: False)
    weights: list[Any] = []
    for count in (1, 4):
        start, into = base(tmp_path / f"{count}" / "base"), tmp_path / f"{count}" / "model"
        into.mkdir()
        runtime = on_visible_gpus(monkeypatch, count)
        Training(Path(start.path), QUICK, 0, runtime).finetune(ROWS, into, 0)
        assert runtime.progress.steps == 4  # 64 rows, 16 a step
        weights.append((into / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_more_visible_gpus_change_no_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[Any] = []
    for count in (1, 4):
        start, into = base(tmp_path / f"{count}" / "base"), tmp_path / f"{count}" / "model"
        into.mkdir()
        runtime = on_visible_gpus(monkeypatch, count)
        Training(Path(start.path), QUICK, 0, runtime, classifier=True).learn_to_compare(training_process.PAIRS, into)
        assert runtime.progress.steps == 4
        weights.append((into / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("batch_size", "processes"), [(16, 3), (24, 2)])
def test_steps_that_trl_cannot_share_evenly_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, processes: int
) -> None:
    """64 rows: 16 a step cannot be dealt out to three, and with 24 a step the last one has 16 and TRL repeats 8."""
    monkeypatch.setattr(train, "serves", lambda model: False)
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    settings = QUICK.model_copy(update={"batch_size": batch_size})
    start = base(tmp_path)
    with pytest.raises(BackendError, match=rf"train.batch_size: {batch_size} found, with {processes} processes"):
        backend().train(start, ROWS, settings, 0, tmp_path / "model")


def test_processes_that_the_trainer_does_not_know_of_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from burnish.backends import arguments

    monkeypatch.setattr(arguments, "processes", lambda: 2)
    with pytest.raises(BackendError, match="1 processes train together, but WORLD_SIZE says 2"):
        backend().train(base(tmp_path), ROWS, QUICK, 0, tmp_path / "model")
