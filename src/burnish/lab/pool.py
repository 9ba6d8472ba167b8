"""What a run and its workers exchange. All of it has a JSON form, so that workers may be processes, jobs of a cluster
or tasks of a framework."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter

from burnish.config import Config
from burnish.lab.inputs import ExperimentInputs
from burnish.store.course import PlannedStage


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What a worker must know once: the experiments of the run with their inputs and results folders, the folder of the
    store, and the stages of the whole plan.

    Paths are those of the run. A worker on another machine needs a disk that both share.
    """

    configs: tuple[Config, ...]
    inputs: tuple[ExperimentInputs, ...]
    folders: tuple[str, ...]
    store: str
    stages: tuple[PlannedStage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A stage that a worker has to compute: the number of an experiment in the brief, and the stage's fingerprint.

    The worker plans that experiment again to find the stage. So no function is sent to it.
    """

    config: int
    fingerprint: str


class About(StrEnum):
    """What a report is about.

    A worker has `said` a line for people. A stage is `finished`, has `failed`, or is `paused` until people have judged
    or a budget is raised. Or it is `lost`, because its worker died.
    """

    SAID = "said"
    FINISHED = "finished"
    FAILED = "failed"
    PAUSED = "paused"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened at a worker.

    `message` is the line, the error, or how the worker died. `error` is the name of the class of an error. `command`
    continues a paused run. If it is paused for people, `pairs` are those that wait in `folder`. `seconds` is how long a
    finished stage took. `fingerprint` is empty if a line is said, or if a worker cannot start. `node_died` means that a
    stage is lost because the whole machine of its worker died.
    """

    about: About
    fingerprint: str = ""
    message: str = ""
    error: str = ""
    command: str = ""
    seconds: float = 0.0
    folder: str = ""
    pairs: tuple[str, ...] = ()
    node_died: bool = False


class Pool(Protocol):
    """Where stages are computed. `LocalProcesses` is the first one. Another one may start tasks of Ray or jobs of
    Slurm.

    A pool decides nothing: it starts what it is given, and reports how each assignment ends. It may share nothing with
    its workers but the store.
    """

    def free(self) -> bool:
        """Say whether one more assignment can start now."""
        ...

    def submit(self, assignment: Assignment) -> None:
        """Start an assignment. Its end is reported later, also if its worker cannot be started."""
        ...

    def reports(self, timeout: float) -> Sequence[Report]:
        """Return what was reported since the last call. If there is nothing, wait at most `timeout` seconds for it.

        Each assignment ends with exactly one report that is not `said`. A dead worker is reported within 5 seconds.
        """
        ...

    def close(self) -> None:
        """End all workers. What they are computing is lost, apart from rows that are on disk."""
        ...


L = TypeVar("L", Assignment, Report)
BRIEF: TypeAdapter[Brief] = TypeAdapter(Brief)
_LINES: dict[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (Assignment, Report)}


def line_of(record: Assignment | Report) -> bytes:
    """Return a record as a line of JSON."""
    # Plain ASCII: an error may name a file whose name holds half a character, which has no form in UTF-8.
    return json.dumps(dataclasses.asdict(record)).encode() + b"\n"


def read_line(line: bytes, kind: type[L]) -> L:
    """Return the record in a line. Raises ValueError if it is none."""
    return _LINES[kind].validate_python(json.loads(line))
