"""Trainings that several processes share: how burnish starts them, hears of them, and ends them.

A small program plays torchrun in most tests. The slow ones use the real one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import played_rank
import pytest
from embedded import QUICK, ROWS, STRONG, base

from burnish.backends import launching, open_backend
from burnish.backends.launching import FOLDER, SharedTraining, SharedTrainingError, launch
from burnish.config import Execution, LoraConfig
from burnish.config.executors import Needs
from burnish.errors import BackendError, BurnishError, DataError, StageError
from burnish.types import Artifact, Message, Role, TrainingRow

torch: Any = pytest.importorskip("torch")

START = Artifact(path="start", kind="base", fingerprint="s")
TWO = {"models": Needs(processes=2)}
PLAY = """
import json, os, sys, time
folder = sys.argv[sys.argv.index("-m") + 2]
def tell(**what): print(json.dumps(what), flush=True)
def leave(rank, **error):
    with open(os.path.join(folder, f"error-{rank}.json"), "w") as file:
        json.dump({"traceback": "the trace", "at": time.time(), **error}, file)
def done(what):
    with open(os.path.join(folder, "result.json"), "w") as file: json.dump(what, file)
"""


class Heard:
    """Takes progress and lines."""

    label = "SFT"

    def __init__(self) -> None:
        self.all: list[object] = []

    def start(self, label: str, total: int, done: int = 0) -> None:
        self.all.append((label, total, done))

    def advance(self, amount: int) -> None:
        self.all.append(amount)

    def say(self, message: str) -> None:
        self.all.append(message)


def job(into: Path) -> SharedTraining:
    return SharedTraining(
        way="train",
        model=START,
        settings=QUICK,
        seed=0,
        into=str(into),
        execution=Execution(threads=1),
        sources={},
        more={"checkpoints": 0},
    )


def launched(program: str, into: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Heard]:
    """Let a program play torchrun. Returns the result and what was heard."""
    monkeypatch.setattr(launching, "TORCHRUN", (sys.executable, "-c", PLAY + program))
    heard = Heard()
    return launch(job(into), ROWS[:3], 2, heard, heard), heard


def test_the_processes_get_the_job_and_tell_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
assert sys.argv[1] == "2", sys.argv
job = json.load(open(os.path.join(folder, "job.json")))
rows = [json.loads(line)["id"] for line in open(os.path.join(folder, "rows.jsonl"))]
print("a library prints")
tell(start=["training", 4, 0]); tell(advance=1); tell(say="a word")
done(len(rows) * job["settings"]["batch_size"])
"""
    result, heard = launched(program, tmp_path, monkeypatch)
    assert result == 3 * QUICK.batch_size
    assert heard.all == [("training", 4, 0), 1, "a word"]
    assert not (tmp_path / FOLDER).exists()


def failed(program: str, into: Path, monkeypatch: pytest.MonkeyPatch) -> BaseException:
    with pytest.raises((BurnishError, RuntimeError, MemoryError)) as caught:
        launched(program + "\nsys.exit(1)", into, monkeypatch)
    assert not (into / FOLDER).exists()
    return caught.value


def test_an_error_with_a_fix_counts_before_those_that_follow_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
leave(0, error="RuntimeError", meant=False, words="RuntimeError: connection closed by peer")
leave(1, error="DataError", meant=True, words="row 7 is too long")
"""
    error = failed(program, tmp_path, monkeypatch)
    assert type(error) is DataError
    assert str(error) == "row 7 is too long"


def test_the_first_fault_is_told_with_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
leave(0, error="RuntimeError", meant=False, words="RuntimeError: connection closed", at=2.0)
leave(1, error="ValueError", meant=False, words="ValueError: a fault", at=1.0)
"""
    error = failed(program, tmp_path, monkeypatch)
    assert type(error) is SharedTrainingError
    assert str(error) == "ValueError: a fault (process 2 of 2 that trained together)"
    assert error.__notes__ == ["the trace"]


def test_a_lack_of_memory_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = 'leave(1, error="MemoryError", meant=False, words="MemoryError: 8 GB")'
    assert isinstance(failed(program, tmp_path, monkeypatch), MemoryError)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "rank      : 1 (local_rank: 1)\\n  exitcode  : -9 (pid: 7)",
            "process 2 of 2 that trained together was killed",
        ),
        ("rank      : 0 (local_rank: 0)\\n  exitcode  : 3 (pid: 7)", "process 1 of 2 that .* ended with exit code 3$"),
        ("no port is free", "torchrun, which starts the processes of a training, ended with status 1: no port is free"),
    ],
)
def test_a_process_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str) -> None:
    error = failed(f'print("{said}", file=sys.stderr)', tmp_path, monkeypatch)
    assert type(error) is StageError
    with pytest.raises(StageError, match=told):
        raise error


def children(place: Path, count: int) -> list[int]:
    """Return the process ids of the played processes when all of them have started."""
    end = time.monotonic() + 120
    while len(found := list(place.iterdir())) < count or not all(one.read_text() for one in found):
        assert time.monotonic() < end
        time.sleep(0.05)
    return [int(one.read_text()) for one in found]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def real(monkeypatch: pytest.MonkeyPatch, place: Path, plays: str) -> None:
    """Let the real torchrun start played processes."""
    place.mkdir()
    monkeypatch.setattr(launching, "PROCESS", ("-m", "played_rank"))
    monkeypatch.setenv("PYTHONPATH", str(Path(played_rank.__file__).parent))
    monkeypatch.setenv("PLAYED", plays)
    monkeypatch.setenv("LEFT", str(place))


@pytest.mark.slow
def test_torchrun_tells_which_process_was_killed_and_ends_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real(monkeypatch, tmp_path / "left", "second is killed")
    heard = Heard()
    with pytest.raises(StageError, match=r"process 2 of 2 that trained together was killed by signal 9; it may have"):
        launch(job(tmp_path), ROWS[:3], 2, heard, heard)
    assert all(gone(int(one.read_text())) for one in (tmp_path / "left").iterdir())


WORKER = """
from pathlib import Path
from burnish.backends import launching
from test_launching import Heard, job
launching.PROCESS = ("-m", "played_rank")
launching.launch(job(Path({into!r})), [], 2, Heard(), None)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_who_kills_the_worker_kills_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real(monkeypatch, tmp_path / "left", "sleeps")
    here = f"{Path(__file__).parent}{os.pathsep}{Path(played_rank.__file__).parent}"
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER.format(into=str(tmp_path))], env=os.environ | {"PYTHONPATH": here}
    )
    pids = children(tmp_path / "left", 2)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    end = time.monotonic() + 60
    while not all(map(gone, pids)):
        assert time.monotonic() < end
        time.sleep(0.05)


LORA = QUICK.model_copy(update={"lora": LoraConfig(r=4, alpha=8), "epochs": 1})


@pytest.mark.slow
def test_a_training_is_split_over_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun, FSDP2 and gloo, for real. The largest difference of a weight that was seen is 1e-6."""
    from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType] its stub

    from burnish.backends.load import load_base

    real(monkeypatch, tmp_path / "left", "trains")
    start = base(tmp_path / "base")
    ways = {
        "alone": Execution(device="cpu", threads=1, micro_batch=8),
        "split": Execution(device="cpu", threads=2, micro_batch=8, needs=TWO, split_training="fsdp2"),
    }
    tokens: dict[str, int] = {}
    weights: dict[str, dict[str, Any]] = {}
    heard = Heard()
    for way, execution in ways.items():
        into = tmp_path / way
        into.mkdir()
        tokens[way] = open_backend(execution, heard, {}).train(start, ROWS[:40], LORA, 0, into, checkpoints=1)
        assert {path.name for path in into.iterdir()} == {
            "README.md",
            "adapter_config.json",
            "adapter_model.safetensors",
            "checkpoint-01",
            "model.json",
        }
        weights[way] = load_file(into / "adapter_model.safetensors")
    assert tokens["split"] == tokens["alone"]
    assert heard.all[: len(heard.all) // 2] == heard.all[len(heard.all) // 2 :]
    for name, one in weights["alone"].items():
        torch.testing.assert_close(one, weights["split"][name], rtol=0, atol=5e-5)
    # Each process holds half of the weights: those of the base and of the adapter.
    parts = [int(one.read_text()) for one in sorted((tmp_path / "left").iterdir())]
    adapter = sum(one.numel() for one in weights["alone"].values())
    assert parts == [(load_base(STRONG, torch.float32, None).num_parameters() + adapter) // 2] * 2
    # A row that does not fit: the error of the processes is that of one.
    long = TrainingRow(id="long", prompt=(Message(role=Role.USER, content="x " * 900),), completion="#### 1")
    told: list[str] = []
    for execution in ways.values():
        (into := tmp_path / f"long-{len(told)}").mkdir()
        with pytest.raises(DataError, match="long") as caught:
            open_backend(execution, heard, {}).train(start, [long], LORA, 0, into)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_who_has_one_process_trains_in_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models` counts for trainings that can always be shared; a training of rewards must be named."""
    from burnish.backends.together import TrainsTogether

    def refused(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("burnish.backends.together.launch", refused)
    needs = {"train_classifier": Needs(processes=2)}
    backend = open_backend(Execution(device="cpu", threads=1, needs=needs, split_training="fsdp2"), Heard(), {})
    assert isinstance(backend, TrainsTogether)
    (tmp_path / "model").mkdir()
    assert backend.train(base(tmp_path / "base"), ROWS[:8], LORA, 0, tmp_path / "model") > 0
    everything = TrainsTogether(Execution(device="cpu", needs=TWO), Heard(), {})
    counts = {way: everything._several(way) for way in launching.ROW}
    assert counts == {"train": 2, "train_classifier": 2, "train_preferences": 2, "train_rewards": 0}


def test_too_few_gpus_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_backend(Execution(device="cpu", needs=TWO), Heard(), {})
    monkeypatch.setattr(backend, "device", torch.device("cuda"))
    with pytest.raises(BackendError, match=r"2 processes are to share a training \(train\).* this process can use 0"):
        backend.train(START, ROWS[:3], QUICK, 0, tmp_path)
