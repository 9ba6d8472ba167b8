"""Lets torchrun start the processes that share a training, and waits for them.

The job lies in a folder below that of the attempt: `job.json` has the settings and `rows.jsonl` the rows. Each process
is `launched.py`. The first one writes the model into the attempt's folder, `result.json` when it has done so, and a
line to its stdout whenever there is progress. A process that fails leaves `error-RANK.json`, and torchrun ends the
others. All of them die with torchrun, and torchrun dies with this process.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter

from burnish.algorithms.rewards import RewardTrained
from burnish.backends import Progress
from burnish.backends.allocator import filling_holes
from burnish.backends.tracking import Speaker
from burnish.config import Execution, ModelConfig, Objective, TrainSettings
from burnish.errors import BurnishError, StageError, error_named
from burnish.protocols import Trained
from burnish.services.child import Child, running
from burnish.store.files import write_atomic
from burnish.store.runners import LESS_MEMORY
from burnish.types import Artifact, PairRow, PreferenceRow, TrainingRow

FOLDER, JOB, ROWS, RESULT = "processes", "job.json", "rows.jsonl", "result.json"
"""The folder of a job in that of the attempt, and its files."""
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
"""The program that starts the processes, without their number."""
PROCESS = ("-m", "burnish.backends.launched")
"""What each of them runs."""
Way = Literal["train", "train_classifier", "train_preferences", "train_rewards"]
"""The method of a trainer that the processes call together. Stages have the same names."""
ROW: Mapping[Way, TypeAdapter[Any]] = {
    "train": TypeAdapter(TrainingRow),
    "train_classifier": TypeAdapter(tuple[PairRow, PairRow]),
    "train_preferences": TypeAdapter(PreferenceRow),
    "train_rewards": TypeAdapter(PreferenceRow),
}
"""The form of a row of each."""
DONE: Mapping[Way, TypeAdapter[Any]] = {
    "train": TypeAdapter(int),
    "train_classifier": TypeAdapter(int),
    "train_preferences": TypeAdapter(Trained),
    "train_rewards": TypeAdapter(RewardTrained),
}
"""The form of what each returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTraining:
    """A training that several processes share.

    `more` are the arguments that only this way of training has: `checkpoints`, `centring` or `objective`. `project` and
    `label` name the training to programs that get its metrics.
    """

    way: Way
    model: Artifact
    settings: TrainSettings
    seed: int
    into: str
    execution: Execution
    sources: dict[str, ModelConfig]
    more: dict[str, int | float | Objective]
    project: str = ""
    label: str = ""


JOBS: TypeAdapter[SharedTraining] = TypeAdapter(SharedTraining)


class SharedTrainingError(RuntimeError):
    """A process of a shared training has met a fault of burnish, of a library or of a GPU."""


def launch(job: SharedTraining, rows: Iterable[Any], several: int, progress: Progress, speaker: Speaker | None) -> Any:
    """Let `several` processes train together, and return what the training returns.

    Raises the error of the first process that failed, if burnish raises it on purpose. Raises SharedTrainingError or
    MemoryError with its words for other errors, and StageError if a process was killed.
    """
    folder = Path(job.into) / FOLDER
    folder.mkdir()
    try:
        write_atomic(folder / JOB, JOBS.dump_json(job))
        with (folder / ROWS).open("wb") as file:
            file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        command = (*TORCHRUN, str(several), *PROCESS, str(folder))
        with running(command, "execution.needs", float("inf"), _environment(job.execution)) as torchrun:
            for line in torchrun.lines():
                _hear(line, progress, speaker)
            if torchrun.process.wait() != 0:
                raise _failed(folder, several, torchrun)
        return DONE[job.way].validate_json((folder / RESULT).read_bytes())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(execution: Execution) -> dict[str, str]:
    threads = {} if execution.threads == "auto" else {"OMP_NUM_THREADS": str(execution.threads)}
    return {**os.environ, **threads, **filling_holes()}


def _hear(line: bytes, progress: Progress, speaker: Speaker | None) -> None:
    """Pass on a line of the first process: progress, or words for people."""
    with suppress(ValueError):  # a process that is killed may leave a part of a line
        match orjson.loads(line):
            case {"start": [label, total, done]}:
                progress.start(label, total, done)
            case {"advance": amount}:
                progress.advance(amount)
            case {"say": words} if speaker is not None:
                speaker.say(words)
            case _:
                pass


def _failed(folder: Path, several: int, torchrun: Child) -> Exception:
    """Return the error for processes that did not end well."""
    found = [(path, orjson.loads(path.read_bytes())) for path in folder.glob("error-*.json")]
    # When one process has ended, those that wait for it fail, too. Errors with a fix count first, then earlier ones.
    found.sort(key=lambda one: (not one[1]["meant"], one[1]["at"]))
    for path, error in found:
        rank = int(path.stem.removeprefix("error-")) + 1
        if error["meant"]:
            return error_named(error["error"])(error["words"])
        words = f"{error['words']} (process {rank} of {several} that trained together)"
        fault = MemoryError(words) if error["error"] == "MemoryError" else SharedTrainingError(words)
        fault.add_note(error["traceback"])
        return fault
    return _killed(several, torchrun)


def _killed(several: int, torchrun: Child) -> BurnishError:
    """Return the error for a process that left no word."""
    said = torchrun.said(4_000)
    # The end of torchrun's report is about the process that failed first.
    rank, code = (re.findall(rf"{name}\s*: (-?\d+)", said) for name in ("rank", "exitcode"))
    if not rank or not code:
        return StageError(f"torchrun, which starts the processes of a training, {torchrun.ended()}")
    signal = f"was killed by signal {-int(code[-1])}" if int(code[-1]) < 0 else f"ended with exit code {code[-1]}"
    memory = f"; it may have run out of memory: {LESS_MEMORY}" if code[-1] == "-9" else ""
    return StageError(f"process {int(rank[-1]) + 1} of {several} that trained together {signal}{memory}")
