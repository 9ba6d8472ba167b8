"""Sends metrics to the programs of `execution.report_to`: trackio, Weights & Biases, MLflow, TensorBoard.

The trainers and the rounds of a run go through the same adapters, which are those of accelerate. The callbacks of
transformers are not used: they take the project from the environment, keep one run of W&B open over all trainings of a
process, and let TensorBoard write into the trainer's own folder, which burnish deletes.

A program that fails, for example because its server does not answer, never stops a training. Its key, if it has one,
is read by the program itself, and nothing that it prints or raises is shown, because it may contain the key.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, assert_never

from burnish.config import Execution, Tracker
from burnish.errors import ConfigError
from burnish.store.files import as_mapping, explained_write_errors, pretty, write_atomic

FIELD = "execution.report_to"
SENT = "tracked.json"
"""The file of a results folder that says which programs have got its metrics: {program: digest of what they got}."""
MODULES = {
    Tracker.TRACKIO: ("trackio",),
    Tracker.WANDB: ("wandb",),
    Tracker.MLFLOW: ("mlflow",),
    # torch writes TensorBoard's files with the one, accelerate also with the other.
    Tracker.TENSORBOARD: ("tensorboard", "tensorboardX"),
}
"""The modules that each program needs. One of them is enough."""
MLFLOW_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""How often MLflow repeats a request to its server, and how many seconds it waits for an answer. A user's own settings
count."""
TENSORBOARD_FOLDER = "TENSORBOARD_LOGGING_DIR"
"""The environment variable with the folder for TensorBoard's files, as for the trainers of transformers."""


class Speaker(Protocol):
    """Shows lines, and knows which stage is running."""

    @property
    def label(self) -> str:
        """The label of the stage that is running, or an empty text."""
        ...

    def say(self, message: str) -> None:
        """Show one line."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """Which programs get the metrics of an experiment. `project` is its name there."""

    trackers: tuple[Tracker, ...]
    project: str
    speaker: Speaker


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRounds:
    """The rounds of one method under one seed: `metrics` are {round: {metric: value}}."""

    name: str
    settings: Mapping[str, str | int]
    metrics: Mapping[int, Mapping[str, float]]


def check_trackers(execution: Execution) -> None:
    """Check that the programs which get metrics are installed.

    Raises ConfigError with the command that installs what is missing.
    """
    for tracker in execution.report_to:
        if not any(map(_installed, MODULES[tracker])):
            raise ConfigError(
                f"{FIELD}: {tracker} is not installed; install it with `{install_line(tracker)}`, or leave it out"
            )
        if not _installed("accelerate"):
            raise ConfigError(
                f"{FIELD}: {tracker} is reached through accelerate, which is not installed; install it with "
                "`pip install 'burnish[train]'`, or leave it out"
            )


def install_line(tracker: Tracker) -> str:
    """Return the command that installs a program."""
    return "pip install 'burnish[tracking]'" if tracker is Tracker.TRACKIO else f"pip install {tracker}"


def _installed(module: str) -> bool:
    found = importlib.util.find_spec(module)
    # A folder `wandb`, which W&B itself makes in the working directory, looks like a module without a file.
    return found is not None and found.origin is not None


def tracking_of(execution: Execution, project: str, speaker: Speaker) -> Tracking | None:
    """Return where an experiment's metrics go, or None if they go nowhere."""
    if not execution.report_to:
        return None
    return Tracking(trackers=execution.report_to, project=project, speaker=speaker)


class TrackedRun:
    """One run in each program: a training, or the rounds of a method under one seed.

    A program that fails once gets no more of this run, and a line says so.
    """

    def __init__(self, tracking: Tracking, name: str, settings: Mapping[str, Any]) -> None:
        self.tracking, self.name = tracking, name
        self._open: dict[Tracker, Any] = {}
        for tracker in tracking.trackers:
            self._try(tracker, lambda tracker=tracker: self._start(tracker, settings))

    @property
    def open(self) -> frozenset[Tracker]:
        """The programs that have taken everything so far."""
        return frozenset(self._open)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Send metrics of a step."""
        for tracker, opened in tuple(self._open.items()):
            self._try(tracker, lambda opened=opened: opened.log(dict(metrics), step=step))

    def finish(self) -> frozenset[Tracker]:
        """End the run, and return the programs that have taken all of it."""
        for tracker, opened in tuple(self._open.items()):
            self._try(tracker, opened.finish)
        done = self.open
        self._open.clear()
        return done

    def _start(self, tracker: Tracker, settings: Mapping[str, Any]) -> None:
        opened = _opened(tracker, self.tracking.project, self.name)
        self._open[tracker] = opened
        opened.start()
        opened.store_init_configuration(dict(settings))

    def _try(self, tracker: Tracker, action: Callable[[], Any]) -> None:
        try:
            # Stdout is for data. The programs print addresses there, which may contain a key.
            with redirect_stdout(io.StringIO()):
                action()
        except Exception as error:  # each program has errors of its own, and none of them may end hours of work
            if (broken := self._open.pop(tracker, None)) is not None:
                with suppress(Exception), redirect_stdout(io.StringIO()):
                    broken.finish()
            # Without the error's own words, which may contain a key.
            self.tracking.speaker.say(
                f"warning: {tracker}: {type(error).__name__}; it gets no more metrics of {self.name!r}. The run goes on"
            )


def _opened(tracker: Tracker, project: str, name: str) -> Any:
    """Return accelerate's adapter for a program."""
    # Imported here: accelerate imports torch, and a run whose stages are all finished needs neither.
    from accelerate import PartialState  # noqa: PLC0415
    from accelerate.tracking import MLflowTracker, TensorBoardTracker, TrackioTracker, WandBTracker  # noqa: PLC0415

    PartialState()  # without it, the adapters raise RuntimeError; a trainer makes it anew
    match tracker:
        case Tracker.TRACKIO:
            # `embed` would start a server inside a notebook. Without the other two, trackio also measures the machine
            # every ten seconds.
            opened = TrackioTracker(project, name=name, embed=False, auto_log_cpu=False, auto_log_gpu=False)
            # The adapter ends the run, and trackio does not notice: it would end it again when the process ends, and
            # print that on stdout.
            opened.finish = importlib.import_module("trackio").finish
            return opened
        case Tracker.WANDB:
            # With "console", W&B would keep what burnish says on the terminal. What it says itself may contain a key.
            return WandBTracker(project, name=name, settings={"console": "off", "silent": True})
        case Tracker.MLFLOW:
            # Otherwise it asks a server that does not answer for more than five minutes, at each training.
            for setting, value in MLFLOW_SETTINGS.items():
                os.environ.setdefault(setting, value)
            importlib.import_module("mlflow")
            logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # its messages may contain the server's password
            return MLflowTracker(experiment_name=project, run_name=name)
        case Tracker.TENSORBOARD:
            folder = Path(os.environ.get(TENSORBOARD_FOLDER) or "tensorboard").expanduser()
            return TensorBoardTracker(name.replace(os.sep, "-"), logging_dir=folder / project)
        case _:
            assert_never(tracker)


def send_rounds(tracking: Tracking, out: Path, runs: Sequence[TrackedRounds]) -> None:
    """Send the metrics of each round to the programs that have not got exactly them for the results folder `out`.

    The step is the number of the round. If a program fails, it gets everything again with the next run.
    """
    content = json.dumps([tracking.project, *map(as_mapping, runs)], sort_keys=True)
    digest, sent = hashlib.sha256(content.encode()).hexdigest(), _sent(out)
    left = tuple(tracker for tracker in tracking.trackers if sent.get(tracker) != digest)
    took = set(left)
    for run in runs if left else ():
        tracked = TrackedRun(
            Tracking(trackers=left, project=tracking.project, speaker=tracking.speaker), run.name, run.settings
        )
        for round_, metrics in run.metrics.items():
            tracked.log(metrics, round_)
        took &= tracked.finish()
    if took:
        with explained_write_errors(out):
            write_atomic(out / SENT, pretty(sent | {str(tracker): digest for tracker in took}))


def _sent(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / SENT).read_bytes())
    except (OSError, ValueError):  # nothing was sent yet, or the file is damaged: then it is sent again
        return {}
    return found if isinstance(found, dict) else {}
