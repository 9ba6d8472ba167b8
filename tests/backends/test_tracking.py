"""Metrics for trackio, W&B, MLflow and TensorBoard: who gets what, and that no failure of theirs matters."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from embedded import QUICK, ROWS, NoProgress, base
from experiment import fake, small
from pydantic import ValidationError
from refinement import refine, settings, written

from burnish.backends import tracking
from burnish.backends.hf import HfBackend
from burnish.backends.tracking import SENT, TrackedRounds, Tracking, check_trackers, send_rounds
from burnish.config import Execution, Tracker
from burnish.errors import ConfigError
from burnish.lab.inputs import resolve
from burnish.lab.running import planned, run
from burnish.store.stages import Store

KEY = "hf_0123456789abcdef"


@dataclass
class Speaker:
    """Keeps what is said."""

    label: str = "seed 0 ilr 1"
    said: list[str] = field(default_factory=list[str])

    def say(self, message: str) -> None:
        self.said.append(message)


class Recorder:
    """Stands for a program. It fails in the methods `fails` and prints a key, as trackio does."""

    def __init__(self, name: str, fails: tuple[str, ...] = ()) -> None:
        self.name, self.fails = name, fails
        self.settings: dict[str, Any] = {}
        self.lines: list[tuple[int, dict[str, float]]] = []
        self.ended = False

    def _may_fail(self, what: str) -> None:
        print(f"see https://example.org?write_token={KEY}")
        if what in self.fails:
            raise ConnectionError(f"the server refuses the key {KEY}")

    def start(self) -> None:
        self._may_fail("start")

    def store_init_configuration(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._may_fail("log")
        self.lines.append((step, metrics))

    def finish(self) -> None:
        self._may_fail("finish")
        self.ended = True


Opened = list[Recorder]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    return recorded(monkeypatch)


def recorded(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Tracker], tuple[str, ...]] = lambda _: ()) -> Opened:
    """Put recorders in the place of the programs. Returns those that are opened, in their order."""
    found: Opened = []

    def one(tracker: Tracker, project: str, name: str) -> Recorder:
        found.append(Recorder(f"{tracker} {project}: {name}", fails(tracker)))
        return found[-1]

    monkeypatch.setattr(tracking, "_opened", one)
    return found


def to(*trackers: Tracker, speaker: Speaker | None = None) -> Tracking:
    return Tracking(trackers=trackers, project="sums", speaker=speaker or Speaker())


ROUNDS = [
    TrackedRounds(name="ilr seed 0", settings={"seed": 0}, metrics={0: {"test_accuracy": 0.5}, 1: {"kl": 0.25}}),
    TrackedRounds(name="ilr seed 1", settings={"seed": 1}, metrics={0: {"test_accuracy": 0.75}}),
]

# --- rounds


def test_the_step_of_a_metric_is_its_round(tmp_path: Path, opened: Opened) -> None:
    send_rounds(to(Tracker.WANDB), tmp_path, ROUNDS)
    assert [one.name for one in opened] == ["wandb sums: ilr seed 0", "wandb sums: ilr seed 1"]
    assert opened[0].lines == [(0, {"test_accuracy": 0.5}), (1, {"kl": 0.25})]
    assert opened[1].settings == {"seed": 1}
    assert all(one.ended for one in opened)


def test_what_was_sent_is_not_sent_again(tmp_path: Path, opened: Opened) -> None:
    for _ in range(2):
        send_rounds(to(Tracker.WANDB), tmp_path, ROUNDS)
    assert len(opened) == 2
    # A program that is new gets everything, and so do all when the metrics are others.
    send_rounds(to(Tracker.WANDB, Tracker.TRACKIO), tmp_path, ROUNDS)
    assert [one.name.split()[0] for one in opened[2:]] == ["trackio", "trackio"]
    send_rounds(to(Tracker.WANDB), tmp_path, ROUNDS[:1])
    assert len(opened) == 5


def test_a_damaged_record_of_what_was_sent_means_that_it_is_sent(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / SENT).write_text("[")
    send_rounds(to(Tracker.WANDB), tmp_path, ROUNDS)
    assert len(opened) == 2
    assert set(json.loads((tmp_path / SENT).read_bytes())) == {"wandb"}


@pytest.mark.parametrize("fails", ["start", "log", "finish"])
def test_a_program_that_fails_is_named_without_its_key_and_gets_everything_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: str
) -> None:
    opened = recorded(monkeypatch, lambda tracker: (fails,) if tracker is Tracker.WANDB else ())
    speaker = Speaker()
    send_rounds(to(Tracker.WANDB, Tracker.TRACKIO, speaker=speaker), tmp_path, ROUNDS)
    words = "warning: wandb: ConnectionError; it gets no more metrics of 'ilr seed {}'. The run goes on"
    assert speaker.said == [words.format(0), words.format(1)]
    assert [one.ended for one in opened if one.name.startswith("trackio")] == [True, True]
    assert KEY not in "".join([*speaker.said, *capsys.readouterr(), (tmp_path / SENT).read_text()])
    again = recorded(monkeypatch)
    send_rounds(to(Tracker.WANDB, Tracker.TRACKIO), tmp_path, ROUNDS)
    assert [one.name for one in again] == ["wandb sums: ilr seed 0", "wandb sums: ilr seed 1"]


def test_an_experiment_sends_its_rounds_by_method_and_seed(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_installed", any_module)
    methods = [{"kind": "sft"}, {"kind": "naive", "rounds": 2}]
    config = small(methods=methods, seeds=[3, 4], execution={"report_to": "tensorboard"})
    finished = run(config, tmp_path / "out", tmp_path / "store", backend=fake)
    assert [one.name for one in opened] == [
        f"tensorboard small: {method} seed {seed}" for seed in (3, 4) for method in ("weak", "sft", "naive")
    ]
    naive = opened[2]
    assert [step for step, _ in naive.lines] == [0, 1, 2]
    found = {one.round: one for one in finished.results.runs if (one.method, one.seed) == ("naive", 3)}
    assert naive.lines[2][1]["test_accuracy"] == found[2].metrics["test_accuracy"].value
    assert naive.lines[2][1]["counts/compared"] == found[2].counts["compared"]


def any_module(module: str) -> bool:
    return True


def test_a_refinement_sends_its_rounds(tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_installed", any_module)
    config = settings(written(tmp_path), "execution.report_to=trackio", rounds=2)
    done = refine(config, tmp_path)
    (one,) = opened
    assert one.name == "trackio refined: ilr"
    assert [step for step, _ in one.lines] == [1, 2]
    assert one.lines[0][1]["replaced"] == done.summary.rounds[0].replaced.value
    assert one.lines[0][1]["counts/accepted"] == done.summary.rounds[0].counts["accepted"]


# --- trainings


def test_a_training_sends_its_log_and_its_settings(
    tmp_path: Path, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not marked slow: it is the only check of the trainers' side that `make check` has."""
    start, into = base(tmp_path / "base"), tmp_path / "model"
    into.mkdir()
    execution = Execution(device="cpu", threads=1)
    HfBackend(execution, NoProgress(), {}, to(Tracker.MLFLOW)).train(start, ROWS[:16], QUICK, 0, into)
    (one,) = opened
    assert one.name == "mlflow sums: seed 0 ilr 1"
    assert one.settings["rows"] == 16
    assert one.settings["learning_rate"] == 1e-3
    # 16 rows of one epoch are one step. The second line is what the trainer logs at its end.
    assert [step for step, _ in one.lines] == [1, 1]
    assert one.lines[0][1]["loss"] > 0
    assert one.lines[1][1]["train_loss"] == pytest.approx(one.lines[0][1]["loss"], rel=1e-4)
    assert one.ended
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_weights_do_not_depend_on_who_is_told(tmp_path: Path, opened: Opened) -> None:
    weights: list[bytes] = []
    for number, told in enumerate((None, to(Tracker.TRACKIO))):
        start, into = base(tmp_path / f"base {number}"), tmp_path / f"model {number}"
        into.mkdir()
        HfBackend(Execution(device="cpu", threads=1), NoProgress(), {}, told).train(start, ROWS, QUICK, 0, into)
        weights.append((into / "model.safetensors").read_bytes())
    assert len(opened) == 1
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_run_is_ended_when_its_training_fails(tmp_path: Path, opened: Opened) -> None:
    start, into = base(tmp_path / "base"), tmp_path / "model"
    into.mkdir()
    hot = QUICK.model_copy(update={"learning_rate": 1e9})
    with pytest.raises(Exception, match="learning_rate"):
        HfBackend(Execution(device="cpu", threads=1), NoProgress(), {}, to(Tracker.TRACKIO)).train(
            start, ROWS, hot, 0, into
        )
    assert opened[0].ended


# --- settings


def test_who_is_told_is_no_part_of_any_stages_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_installed", any_module)
    plain, told = (
        [record.fingerprint for record in planned(config, resolve(config, offline_ok=True), Store(tmp_path))]
        for config in (small(), small(execution={"report_to": ["tensorboard", "trackio"]}))
    )
    assert plain == told


@pytest.mark.parametrize(
    ("given", "words"),
    [(["comet"], "trackio"), (["wandb", "wandb"], "names a program twice"), ("all", "trackio"), (3, "tuple")],
)
def test_other_programs_are_refused(given: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Execution(report_to=given)


def test_a_config_without_it_keeps_its_bytes() -> None:
    assert "report_to" not in Execution().model_dump(mode="json")
    assert Execution(report_to=("wandb",)).model_dump(mode="json")["report_to"] == ["wandb"]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("tracker", "line"), [("wandb", "pip install wandb"), ("trackio", r"pip install 'burnish\[tracking\]'")]
)
def test_a_program_that_is_not_installed_is_refused_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tracker: str, line: str
) -> None:
    def without(module: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(ConfigError, match=f"execution.report_to: {tracker} is not installed; install it with `{line}`"):
        check_trackers(Execution(report_to=[tracker]))  # pyright: ignore[reportArgumentType]


def test_a_folder_with_the_name_of_a_program_is_not_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("wandb") is not None
    with pytest.raises(ConfigError, match="wandb is not installed"):
        check_trackers(Execution(report_to=(Tracker.WANDB,)))


# --- trackio itself

TRIED = """
name: tried
task: {kind: sums, train: 40, test: 8}
models: {weak: "builtin:weak", strong: "builtin:strong"}
supervision: {demonstrations: gold, annotator: {kind: likelihood, model: "builtin:judge-3"}}
train: {epochs: 1, lora: null, batch_size: 8}
decode: {beams: 1, max_new_tokens: 64}
methods: [{kind: sft}]
execution: {device: cpu, workers: 2, report_to: trackio}
"""


@pytest.mark.slow
def test_trackio_keeps_what_two_workers_and_the_run_send(tmp_path: Path) -> None:
    """Skipped where trackio is not installed."""
    pytest.importorskip("trackio")
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def printed(*command: str) -> Any:
        done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def asked(*words: str) -> Any:
        # `trackio` lies beside the interpreter.
        return printed(str(Path(sys.executable).parent / "trackio"), *words, "--project", "tried", "--json")

    (tmp_path / "tried.yaml").write_text(TRIED)
    # Stdout is the one JSON object, whatever trackio prints.
    results = printed(
        sys.executable, "-m", "burnish", "run", "tried.yaml", "--out", "out", "--store", "store", "--json"
    )
    runs = asked("list", "runs")["runs"]
    assert "sft seed 0" in runs
    (training,) = [name for name in runs if name.startswith("seed 0") and "sft" in name]
    losses = asked("get", "metric", "--run", training, "--metric", "loss")["values"]
    # Half U has 20 rows: three steps of at most 8.
    assert [one["step"] for one in losses] == [1, 2, 3]
    (accuracy,) = asked("get", "metric", "--run", "sft seed 0", "--metric", "test_accuracy")["values"]
    (found,) = [one for one in results["runs"] if one["method"] == "sft"]
    assert (accuracy["step"], accuracy["value"]) == (0, found["metrics"]["test_accuracy"]["value"])
