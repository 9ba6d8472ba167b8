"""Seeds and methods over worker processes: who does what, when an experiment is done, and what a worker's end means."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment import Quiet, fake, small
from hypothesis import given
from hypothesis import strategies as st

from burnish.backends.fake import FakeBackend
from burnish.config import Config
from burnish.errors import StageError
from burnish.lab import running, workers
from burnish.report.terminal import Terminal
from burnish.store.course import Course, PlannedStage
from burnish.store.files import dump_line, tree_checksums

METHODS: list[dict[str, Any]] = [
    {"kind": "sft"},
    *({"kind": "ilr", "name": f"ilr-{n}", "alpha": n / 10} for n in (1, 2)),
]


def work_of(shares: Sequence[Config | None]) -> list[tuple[int, str]]:
    """Return (seed, method) of all that is done."""
    return [(seed, method.name) for share in shares if share for seed in share.seeds for method in share.methods]


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 5), st.integers(0, 7))
def test_the_shares_are_the_experiment(seeds: int, methods: int, count: int, turn: int) -> None:
    config = small(seeds=list(range(seeds)), methods=METHODS[:methods])
    shares = workers.shares_of(config, count, turn)
    assert len(shares) == count
    assert sorted(work_of(shares)) == sorted(work_of([config]))
    for share in shares:
        if share is not None:
            assert share.model_copy(update={"seeds": config.seeds, "methods": config.methods}) == config


def test_seeds_are_dealt_out_and_methods_where_there_are_fewer_seeds() -> None:
    config = small(seeds=[0, 1, 2], methods=METHODS)
    assert [share.seeds if share else None for share in workers.shares_of(config, 2)] == [(0, 2), (1,)]
    one = small(seeds=[5], methods=METHODS)
    assert [work_of([share]) for share in workers.shares_of(one, 2)] == [[(5, "sft"), (5, "ilr-2")], [(5, "ilr-1")]]
    assert [share is None for share in workers.shares_of(one, 4)] == [False, False, False, True]


def test_who_is_dealt_to_first_takes_turns() -> None:
    """Three seeds over two workers, twice: three for each in all."""
    config = small(seeds=[0, 1, 2])
    dealt = [workers.shares_of(config, 2, turn) for turn in range(2)]
    assert [len(work_of([shares[n] for shares in dealt])) for n in range(2)] == [9, 9]


def test_shares_reach_a_worker_as_they_are() -> None:
    shares: list[Config | None] = [small(methods=[{"kind": "dpo", "after": {"kind": "ilr"}}], budget="equal"), None]
    stage = PlannedStage(fingerprint="ab", name="train", label="seed 0 train", reused=True, seconds=1.5)
    dealt = workers.Dealt(shares=shares, stages=[stage])
    assert workers.DEALT.validate_json(workers.DEALT.dump_json(dealt)) == dealt


# --- waiting for workers, played by small programs


def played(monkeypatch: pytest.MonkeyPatch, *programs: str) -> list[Sequence[Config | None]]:
    """Let these programs be the workers; returns what grows to the shares that each was given."""
    given_shares: list[Sequence[Config | None]] = []

    def start(dealt: workers.Dealt, store: Path, number: int) -> subprocess.Popen[bytes]:
        given_shares.append(dealt.shares)
        code = f"import sys, time\ndef done(): print('burnish: done', flush=True)\n{programs[number]}"
        return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(workers, "_start", start)
    return given_shares


def computed(configs: Sequence[Config], tmp_path: Path) -> Iterator[int]:
    return workers.compute(configs, tmp_path, Quiet())


TWO = {"workers": 2}


def test_each_experiment_is_told_when_all_workers_are_done_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second worker runs ahead; what a library prints is passed over."""
    configs = [small(execution=TWO, seeds=[0, 1, 2]), small(execution=TWO, seeds=[7]), small(seeds=[8, 9])]
    went_on = tmp_path / "go"
    wait = f"\nimport pathlib\nwhile not pathlib.Path({str(went_on)!r}).exists(): time.sleep(0.01)\n"
    shares = played(monkeypatch, f"print('a library')\ndone()\n{wait}done()\ndone()", "done()\ndone()\ndone()")
    running = computed(configs, tmp_path)
    assert next(running) == 0
    went_on.touch()
    assert list(running) == [1, 2]
    # Each worker has its share of every experiment.
    assert [len(given_to) for given_to in shares] == [3, 3]
    for number, config in enumerate(configs):
        assert sorted(work_of([given_to[number] for given_to in shares])) == sorted(work_of([config]))


@pytest.mark.parametrize("end", ["sys.exit(2)", "raise SystemExit(0)", "import os\nos.kill(os.getpid(), 9)"])
def test_a_worker_that_stops_before_it_is_done_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    played(monkeypatch, "done()\ndone()", f"done()\n{end}")
    running = computed([small(execution=TWO, seeds=[0, 1])] * 2, tmp_path)
    assert next(running) == 0
    with pytest.raises(StageError, match=r"execution.workers: a worker stopped; .* what it finished is kept"):
        next(running)


def test_no_worker_is_left_when_the_run_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, "done()\ntime.sleep(600)", "done()\ntime.sleep(600)")
    start, children = workers._start, list[subprocess.Popen[bytes]]()

    def remembered(dealt: workers.Dealt, store: Path, number: int) -> subprocess.Popen[bytes]:
        children.append(start(dealt, store, number))
        return children[-1]

    monkeypatch.setattr(workers, "_start", remembered)
    running = computed([small(execution=TWO, seeds=[0, 1])] * 2, tmp_path)
    assert next(running) == 0
    running.close()  # type: ignore[attr-defined]
    assert [child.poll() is not None for child in children] == [True, True]


def test_a_line_that_a_library_left_open_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, "print('50 %', end='')\ndone()", "done()")
    assert list(computed([small(execution=TWO, seeds=[0, 1])], tmp_path)) == [0]


def test_workers_number_stages_as_the_whole_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each worker says what it computes. Two workers in one process, one after the other."""
    dealt: list[workers.Dealt] = []

    def start(given_to: workers.Dealt, store: Path, number: int) -> subprocess.Popen[bytes]:
        dealt.append(given_to)
        return subprocess.Popen(["true"], stdout=subprocess.PIPE)

    def opener_of(*_: object) -> Callable[[], FakeBackend]:
        return fake

    monkeypatch.setattr(workers, "_start", start)
    monkeypatch.setattr(workers, "opener_of", opener_of)
    config = small(methods=[{"kind": "sft"}], seeds=[0, 1], execution=TWO, decode={"max_new_tokens": 64})
    with pytest.raises(StageError, match="a worker stopped"):
        list(running.run_all([config], [tmp_path / "out"], tmp_path / "store"))
    assert capsys.readouterr().err == "2 workers\n"
    planned = [stage.fingerprint for stage in dealt[0].stages]
    assert [stage.fingerprint for stage in dealt[1].stages] == planned
    for given_to in dealt:
        (share,) = given_to.shares
        assert share is not None
        workers.work_through(share, tmp_path / "store", Terminal(), Course(given_to.stages, shared=True))
    found = capsys.readouterr()
    started = [line.split("]")[0] for line in found.err.splitlines() if line.endswith(": started")]
    assert sorted(started) == sorted(f"[{number}/{len(planned)}" for number in range(1, len(planned) + 1))
    assert {line.split("] ")[1][:6] for line in found.err.splitlines()} >= {"seed 0", "seed 1"}
    assert found.out == ""


# --- real workers


@pytest.mark.slow
def test_two_workers_compute_what_one_process_computes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    from burnish.lab.running import run_all

    changes: dict[str, Any] = {
        "task": {"kind": "sums", "train": 80, "test": 10},
        "train": {"lora": None, "epochs": 8, "learning_rate": 2e-3, "batch_size": 8},
        "decode": {"beams": 1, "max_new_tokens": 24},
        "supervision": {"annotator": {"kind": "oracle"}},
        "measure": ["kl"],
        "seeds": [0, 1],
    }
    dpo = {"kind": "dpo", "rounds": 1, "learning_rate": 1e-5}
    configs = [
        small(name="one", methods=[{"kind": "sft"}, dpo], **changes),
        small(name="two", methods=[{"kind": "ilr", "rounds": 1}, dpo], **changes),
    ]
    for name, count in (("alone", 1), ("together", 2)):
        counted = [
            config.model_copy(update={"execution": config.execution.model_copy(update={"workers": count})})
            for config in configs
        ]
        places = [tmp_path / name / config.name for config in configs]
        assert len(list(run_all(counted, places, tmp_path / f"store-{name}"))) == 2
        said = capfd.readouterr()
        # Each stage of both experiments starts once, whoever computes it.
        started = [line.split("]")[0] for line in said.err.splitlines() if line.endswith(": started")]
        numbered = [start for start in started if start.startswith("[")]
        total = len(list((tmp_path / f"store-{name}" / "stages").glob("*/*")))
        assert sorted(numbered) == sorted(f"[{number}/{total}" for number in range(1, total + 1))
        assert said.out == ""
    for config in configs:
        alone, together = (tmp_path / name / config.name / "results.json" for name in ("alone", "together"))
        assert alone.read_bytes() == together.read_bytes()
    stages = [
        {
            name: sum_
            for name, sum_ in tree_checksums(tmp_path / f"store-{place}" / "stages").items()
            if "manifest" not in name
        }
        for place in ("alone", "together")
    ]
    assert stages[0] == stages[1]


@pytest.mark.slow
def test_a_worker_whose_run_ended_while_it_wrote_ends_in_silence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "burnish.lab.workers", str(os.getpid()), str(tmp_path), "0"]
    done = subprocess.run(command, input=b'{"shares": [', capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


@pytest.mark.slow
def test_ctrl_c_ends_a_run_with_workers_in_one_line(tmp_path: Path) -> None:
    """A terminal sends SIGINT to all processes of its foreground group, the workers among them."""
    pytest.importorskip("torch")
    config = tmp_path / "config.yaml"
    # With gold labels the run cannot end by itself before it is interrupted: eight tokens hold no weak model's answer.
    supervision = {"annotator": {"kind": "likelihood", "model": "builtin:judge-3"}, "demonstrations": "gold"}
    task = {"kind": "sums", "train": 2000, "test": 10}
    values = small(task=task, supervision=supervision, execution=TWO, seeds=[0, 1])
    config.write_bytes(dump_line(values.model_dump(mode="json", exclude_unset=True)))
    # A shell that starts the tests in the background makes them, and all that they start, ignore SIGINT.
    ours = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from burnish.cli import main; main()"
    )
    command = [sys.executable, "-c", ours, "run", str(config), "--store", "store", "--out", "out"]
    for started in ("locks", None):  # in the middle of the work, and while the workers still import
        with (tmp_path / "stderr").open("w+b") as stderr:
            run = subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
            )
            until = time.monotonic() + 120
            while time.monotonic() < until and not (
                list((tmp_path / "store" / started).glob("*.holder"))
                if started
                else b"2 workers" in (tmp_path / "stderr").read_bytes()
            ):
                assert run.poll() is None, (tmp_path / "stderr").read_text()
                time.sleep(0.05)
            os.killpg(run.pid, signal.SIGINT)
            assert run.wait(timeout=60) == 130, (tmp_path / "stderr").read_text()
        text = (tmp_path / "stderr").read_text()
        assert "Traceback" not in text
        assert "KeyboardInterrupt" not in text
        assert text.splitlines()[-1] == "stopped; finished work is kept, run the same command again to continue"
