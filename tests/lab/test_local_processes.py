"""Worker processes: what they are given and report, how their death is told, and that none is left. Small programs play
the workers."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment import small

from burnish.backends.allocator import VARIABLE, filling_holes
from burnish.lab import local_processes
from burnish.lab.children import died
from burnish.lab.inputs import resolve
from burnish.lab.local_processes import LocalProcesses
from burnish.lab.pool import About, Assignment, Brief, Report

PRELUDE = """
import json, os, signal, sys, time
def tell(about, **more): print(json.dumps({"about": about, **more}), flush=True)
def tasks():
    for line in sys.stdin: yield json.loads(line)["fingerprint"]
"""


def brief(**execution: Any) -> Brief:
    config = small(execution=execution)
    return Brief(configs=(config,), inputs=(resolve(config, offline_ok=False),), folders=("out",), store="s", stages=())


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[..., LocalProcesses]:
    """Returns a function that opens a pool whose workers run this program."""

    def opened(program: str, count: int, **execution: Any) -> LocalProcesses:
        monkeypatch.setattr(local_processes, "COMMAND", (sys.executable, "-c", PRELUDE + program))
        return LocalProcesses(brief(**execution), count)

    return opened


def task(key: str) -> Assignment:
    return Assignment(config=0, fingerprint=key)


def until(pool: LocalProcesses, count: int) -> list[Report]:
    """Return reports until there are so many that are not lines."""
    found: list[Report] = []
    end = time.monotonic() + 60
    while sum(one.about is not About.SAID for one in found) < count:
        found += pool.reports(1.0)
        assert time.monotonic() < end, found
    return found


def ended(pool: LocalProcesses, count: int = 1) -> list[Report]:
    return [report for report in until(pool, count) if report.about is not About.SAID]


Played = Callable[..., LocalProcesses]


def test_a_worker_computes_one_stage_after_another(played: Played) -> None:
    pool = played("for key in tasks(): tell('finished', fingerprint=key, seconds=os.getpid())", 1)
    pids: set[float] = set()
    for key in ("a", "b", "c"):
        assert pool.free()
        pool.submit(task(key))
        assert not pool.free()
        (report,) = ended(pool)
        assert (report.about, report.fingerprint) == (About.FINISHED, key)
        pids.add(report.seconds)
    assert len(pids) == 1
    pool.close()


def test_workers_compute_at_the_same_time(played: Played, tmp_path: Path) -> None:
    """Each of two stages ends only when the other has started."""
    program = f"""
for key in tasks():
    open(os.path.join({str(tmp_path)!r}, key), "w").close()
    while len(os.listdir({str(tmp_path)!r})) < 2: time.sleep(0.01)
    tell("finished", fingerprint=key)
"""
    pool = played(program, 2)
    pool.submit(task("a"))
    pool.submit(task("b"))
    assert not pool.free()
    assert sorted(report.fingerprint for report in ended(pool, 2)) == ["a", "b"]
    pool.close()


def test_the_brief_reaches_every_worker(played: Played) -> None:
    """Several read the same open file, which has one position."""
    program = """
fd = int(sys.argv[2])
brief = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
for key in tasks(): tell("finished", fingerprint=key, message=brief["store"] + brief["configs"][0]["name"])
"""
    pool = played(program, 2)
    pool.submit(task("a"))
    pool.submit(task("b"))
    assert [report.message for report in ended(pool, 2)] == ["ssmall", "ssmall"]
    pool.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9 (SIGKILL); it may have run out of memory: lower"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by signal 11 (SIGSEGV); its last words: two | three | four"),
        ("sys.exit(3)", "ended with exit code 3; its last words: two | three | four"),
        ("os.close(1); time.sleep(600)", "killed by signal 9"),
        # A child of the worker still holds its stdout and stderr.
        ("os.fork() or time.sleep(30); os._exit(1)", "ended with exit code 1"),
    ],
)
def test_a_dead_worker_is_noticed_and_named(played: Played, end: str, words: str) -> None:
    program = f"print('one', 'two', 'three', 'four', sep='\\n', file=sys.stderr, flush=True)\nfor key in tasks(): {end}"
    pool = played(program, 2)
    pool.submit(task("a"))
    found = until(pool, 1)
    (death,) = (one for one in found if one.about is not About.SAID)
    assert (death.about, death.fingerprint) == (About.LOST, "a")
    assert words in death.message
    # What it wrote on stderr is shown, too. The second worker writes the same.
    assert [one.message for one in found if one.about is About.SAID][:1] == ["one"]
    assert pool.free()
    pool.close()


def test_a_dead_worker_is_replaced(played: Played) -> None:
    program = """
for key in tasks():
    if key == "bad": os._exit(1)
    tell("finished", fingerprint=key)
"""
    pool = played(program, 1)
    for key, about in (("bad", About.LOST), ("good", About.FINISHED), ("bad", About.LOST), ("good", About.FINISHED)):
        pool.submit(task(key))
        assert [report.about for report in ended(pool)] == [about]
    pool.close()


def test_a_worker_whose_gpu_failed_is_replaced(played: Played) -> None:
    program = "for key in tasks(): tell('lost' if key == 'a' else 'finished', message=str(os.getpid()))"
    pool = played(program, 1)
    pool.submit(task("a"))
    (lost,) = ended(pool)
    pool.submit(task("b"))
    (done,) = ended(pool)
    assert [(one.about, one.fingerprint) for one in (lost, done)] == [(About.LOST, "a"), (About.FINISHED, "b")]
    assert lost.message != done.message
    pool.close()


def test_a_worker_that_died_without_a_stage_is_replaced_in_silence(played: Played) -> None:
    pool = played("for key in tasks():\n    tell('finished', fingerprint=key)\n    os._exit(1)", 1)
    for key in ("a", "b"):
        pool.submit(task(key))
        assert [report.about for report in ended(pool)] == [About.FINISHED]
        # It may be forgotten already, if its end was heard with its report.
        for process in list(pool._processes):
            process.process.wait()
    pool.close()


def test_a_worker_that_cannot_start_is_a_failure_of_the_stage_that_it_was_given(played: Played) -> None:
    pool = played("tell('failed', message='no plug-in', error='ConfigError')\nsys.exit(2)", 2)
    pool.submit(task("a"))
    (report,) = ended(pool)
    assert report == Report(about=About.FAILED, fingerprint="a", message="no plug-in", error="ConfigError")
    pool.close()


def test_what_is_no_report_is_passed_over(played: Played) -> None:
    program = "print('Welcome to a library')\nfor key in tasks(): tell('finished', fingerprint=key)"
    pool = played(program, 1)
    pool.submit(task("a"))
    assert [report.about for report in ended(pool)] == [About.FINISHED]
    pool.close()


@pytest.mark.parametrize("program", ["time.sleep(600)", "for key in tasks(): time.sleep(600)"])
def test_no_worker_is_left(played: Played, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Neither one that computes nor one that does not end by itself."""
    monkeypatch.setattr(local_processes, "PATIENCE", 0.5)
    pool = played(program, 2)
    pool.submit(task("a"))
    pids = [process.process.pid for process in pool._processes]
    assert len(pids) == 2
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_fills_holes_in_its_memory(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    pool = played(f"for key in tasks(): tell('finished', message=os.environ.get({VARIABLE!r}, ''))", 1)
    pool.submit(task("a"))
    (report,) = ended(pool)
    assert report.message == filling_holes({}).get(VARIABLE, "")
    pool.close()


def test_each_worker_sees_a_gpu_of_its_own(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-7f")
    program = "for key in tasks(): time.sleep(0.2); tell('finished', message=os.environ['CUDA_VISIBLE_DEVICES'])"
    pool = played(program, 3)
    for key in "abc":
        pool.submit(task(key))
    assert sorted(report.message for report in ended(pool, 3)) == ["2", "2", "GPU-7f"]
    pool.close()


def test_each_worker_sees_a_gpu_for_each_process_of_its_trainings(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    program = "for key in tasks(): time.sleep(0.2); tell('finished', message=os.environ['CUDA_VISIBLE_DEVICES'])"
    pool = played(program, 2, needs={"train": {"processes": 2}})
    for key in "ab":
        pool.submit(task(key))
    assert sorted(report.message for report in ended(pool, 2)) == ["0,1", "2,3"]
    pool.close()


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [
        (0, [], "its worker ended with exit code 0"),
        (1, ["a", "b"], "its worker ended with exit code 1; its last words: a | b"),
        (-signal.SIGTERM, [], "its worker was killed by signal 15 (SIGTERM)"),
        (-40, [], "its worker was killed by signal 40"),
    ],
)
def test_how_a_worker_died(code: int, words: Sequence[str], told: str) -> None:
    assert died(code, words) == told
