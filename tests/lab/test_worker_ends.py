"""How a run with workers ends early: the run is killed, or Ctrl-C is pressed. No worker is left, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from experiment import small
from working import DECODE, FAKE_WORKER, TWO

from burnish.store.json_rows import dump_line

TESTS = FAKE_WORKER.parent
RUN = """
import signal, sys
# A shell that starts the tests in the background makes them, and all that they start, ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
from burnish.lab import local_processes
local_processes.COMMAND = (sys.executable, *sys.argv[1].split("|"))
from burnish.cli import main
main(sys.argv[2:])
"""
LATEST = 5.0
"""Seconds in which workers must have ended."""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process whose parent was killed, too, is soon collected by the system.
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def under_way(where: Path) -> Generator[tuple[subprocess.Popen[bytes], list[int]], None, None]:
    """Start a run whose two workers wait for ever in a stage. Give it and the process ids of the workers."""
    config, pids = where / "config.yaml", where / "pids"
    values = small(execution=TWO, seeds=[0, 1], decode=DECODE)
    config.write_bytes(dump_line(values.model_dump(mode="json", exclude_unset=True)))
    rules = "|".join([str(FAKE_WORKER), f"wait:weak supervisor:{pids}"])
    command = [sys.executable, "-c", RUN, rules, "run", str(config), "--store", "store", "--out", "out"]
    with (where / "stderr").open("wb") as stderr:
        run = subprocess.Popen(command, cwd=where, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
        try:
            until = time.monotonic() + 120
            while not pids.exists() or pids.read_text().count("\n") < 2:
                assert run.poll() is None, (where / "stderr").read_text()
                assert time.monotonic() < until, (where / "stderr").read_text()
                time.sleep(0.05)
            found = [int(line) for line in pids.read_text().split()]
            assert all(alive(pid) for pid in found)
            yield run, found
        finally:
            run.kill()
            run.wait()


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + LATEST
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="who is alive is read from /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_no_worker(tmp_path: Path, how: signal.Signals) -> None:
    with under_way(tmp_path) as (run, pids):
        os.kill(run.pid, how)
        assert run.wait(timeout=60) == -how
        assert gone(pids)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="who is alive is read from /proc")
def test_ctrl_c_leaves_no_worker_and_one_line(tmp_path: Path) -> None:
    """A terminal sends SIGINT to all processes of its foreground group, the workers among them."""
    with under_way(tmp_path) as (run, pids):
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(timeout=60) == 130
        assert gone(pids)
    text = (tmp_path / "stderr").read_text()
    assert "Traceback" not in text
    assert "KeyboardInterrupt" not in text
    assert text.splitlines()[-1] == "stopped; finished work is kept, run the same command again to continue"


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
