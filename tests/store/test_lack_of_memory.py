"""A stage that runs out of memory is an error that names it and says what helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiment import Quiet

from burnish.errors import StageError
from burnish.store.runners import Executor
from burnish.store.stages import Stage, Store, Work


def raising(error: Exception) -> Stage:
    def run(work: Work) -> None:
        raise error

    return Stage(name="train", version=1, config={}, inputs={}, run=run, label="seed 3 sft")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        # As torch says it for a GPU, for Apple's, and for the memory of the machine.
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15.77 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 800 bytes. Error code 12"),
    ],
)
def test_a_lack_of_memory_names_the_stage_and_what_helps(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(StageError, match=r"seed 3 sft: not enough memory \(.+\); lower execution.batch_tokens") as told:
        Executor(Store(tmp_path), Quiet(), {}).run(raising(error))
    assert str(error)[:10] in str(told.value)
    assert "run the same command again: finished work is kept" in str(told.value)


def test_torchs_own_error_is_one_of_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**60)
    with pytest.raises(StageError, match="seed 3 sft: not enough memory"):
        Executor(Store(tmp_path), Quiet(), {}).run(raising(real.value))


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no memory of this"):
        Executor(Store(tmp_path), Quiet(), {}).run(raising(RuntimeError("no memory of this")))
