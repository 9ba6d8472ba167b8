"""Several GPUs or processes train as one does: as many steps, the same batch, the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import training_process
from embedded import QUICK, ROWS, STRONG, backend, base

from burnish.backends import open_backend
from burnish.config import Execution, Objective
from burnish.errors import BackendError
from burnish.models.card import Weights, read_card, write_card
from burnish.types import Head

torch = pytest.importorskip("torch")

from accelerate import DistributedType  # noqa: E402 # pyright: ignore[reportMissingTypeStubs]
from safetensors.torch import load_file  # noqa: E402 # pyright: ignore[reportUnknownVariableType]

from burnish.backends import dpo, train  # noqa: E402
from burnish.backends.arguments import run  # noqa: E402
from burnish.backends.device import Runtime  # noqa: E402
from burnish.backends.dpo import PreferenceTraining  # noqa: E402
from burnish.backends.load import load_base  # noqa: E402
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
            torch.testing.assert_close(weights, theirs[name], rtol=0, atol=5e-5 if way == "adapter" else 1e-5)


@pytest.mark.slow
def test_the_curve_of_two_processes_is_that_of_one(alone: Path, together: Path) -> None:
    one, two = (json.loads((place / "curve.json").read_text()) for place in (alone, together))
    assert len(one) == len(two) == 6
    for point, other in zip(one, two, strict=True):
        assert point == pytest.approx(other, rel=1e-4, abs=1e-5)


def unserved(model: Any) -> bool:
    return False


def two() -> int:
    return 2


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


def weights_with(gpus: int, where: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> bytes:
    """Return the weights after a training of four steps with so many visible GPUs."""
    start, into = base(where / "base"), where / "model"
    into.mkdir()
    runtime = on_visible_gpus(monkeypatch, gpus)
    if way == "head":
        work = Training(Path(start.path), QUICK, 0, runtime, Head.CLASSIFIER)
        work.learn_to_compare(training_process.PAIRS, into)
    elif way.startswith("preferences"):
        write_card(into, read_card(Path(start.path)).model_copy(update={"weights": Weights.FULL}))
        load_base(STRONG, torch.float32, None).save_pretrained(into)
        settings = QUICK.model_copy(update={"batch_size": 4})
        work = PreferenceTraining(into, settings, Objective(), 0, runtime)
        work.optimize(training_process.PREFERENCES[:16], into)
    else:
        Training(Path(start.path), QUICK, 0, runtime).finetune(ROWS, into, 0)
    assert cast(Counted, runtime.progress).steps == 4
    return (into / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["full", "full by trl", "head", "preferences", "preferences by trl"])
def test_more_visible_gpus_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way.endswith("by trl"):
        for module in (train, dpo):
            monkeypatch.setattr(module, "serves", unserved)
    one, four = (weights_with(gpus, tmp_path / str(gpus), monkeypatch, way) for gpus in (1, 4))
    assert one == four


@pytest.mark.parametrize(("batch_size", "processes"), [(16, 3), (24, 2)])
def test_steps_that_trl_cannot_share_evenly_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, processes: int
) -> None:
    """64 rows: 16 a step cannot be dealt out to three, and with 24 a step the last one has 16 and TRL repeats 8."""
    monkeypatch.setattr(train, "serves", unserved)
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    settings = QUICK.model_copy(update={"batch_size": batch_size})
    start = base(tmp_path)
    with pytest.raises(BackendError, match=rf"train.batch_size: {batch_size} found, with {processes} processes"):
        backend().train(start, ROWS, settings, 0, tmp_path / "model")


def test_processes_that_the_trainer_does_not_know_of_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from burnish.backends import arguments

    monkeypatch.setattr(arguments, "processes", two)
    with pytest.raises(BackendError, match="1 processes train together, but WORLD_SIZE says 2"):
        backend().train(base(tmp_path), ROWS, QUICK, 0, tmp_path / "model")


def test_a_run_in_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BackendError, match="WORLD_SIZE: 2 processes were started together"):
        open_backend(Execution(), Counted(), {})
    monkeypatch.setenv("WORLD_SIZE", "1")
    open_backend(Execution(device="cpu"), Counted(), {})


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_a_model_that_is_split_over_processes_is_refused(kind: DistributedType) -> None:
    trainer = SimpleNamespace(accelerator=SimpleNamespace(distributed_type=kind), args=SimpleNamespace(fsdp=None))
    with pytest.raises(BackendError, match=f"{kind.value}: this way of training splits a model over processes"):
        run(trainer, QUICK)
