"""Hosts that share a store and whose locks do not hold for one another: work may be done twice, but never spoiled."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Generator, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import filelock
import pytest
from experiment import Quiet
from hosts import compute_all, expected, no_locks_for, not_at_all, on_host, rows_stage

from burnish.errors import StageError
from burnish.store import attempts, locking, runners
from burnish.store.attempts import Life, Others, attempting, discard, stage_key
from burnish.store.gc import collect
from burnish.store.runners import Executor
from burnish.store.stages import Stage, Store, Work


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks, and other processes that are never waited for."""
    no_locks_for(monkeypatch)


def written(run: Callable[[Work], None], resumable: bool = False) -> Stage:
    return Stage(name="write", version=1, config={}, inputs={}, run=run, resumable=resumable)


def put(work: Work, text: str) -> None:
    (work.path / "out.txt").write_text(text)


def executor(root: Path) -> Executor:
    return Executor(Store(root), Quiet(), {})


def folders(root: Path) -> list[str]:
    return [path.name for path in (root / "work").iterdir()]


# --- one process that plays several hosts


@pytest.mark.usefixtures("no_locks")
def test_the_first_commit_counts_and_the_loser_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "wait_for_others", not_at_all)

    def slow(work: Work) -> None:
        with pytest.MonkeyPatch.context() as patch:
            on_host(patch, "fast")
            executor(tmp_path).run(written(lambda work: put(work, "winner")))
        put(work, "loser")

    artifact = executor(tmp_path).run(written(slow))
    assert (Path(artifact.path) / "out.txt").read_text() == "winner"
    assert folders(tmp_path) == []
    assert [path.name for path in (tmp_path / "locks").glob("*.json")] == []


@pytest.mark.usefixtures("no_locks")
def test_a_commit_over_a_damaged_result_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other host's result is put aside, and the work of this one is not done again."""
    monkeypatch.setattr(runners, "wait_for_others", not_at_all)
    calls: list[str] = []

    def slow(work: Work) -> None:
        calls.append("slow")
        with pytest.MonkeyPatch.context() as patch:
            on_host(patch, "fast")
            place = Path(executor(tmp_path).run(written(lambda work: put(work, "winner"))).path)
        (place / "out.txt").write_text("damaged")
        put(work, "loser")

    artifact = executor(tmp_path).run(written(slow))
    assert (Path(artifact.path) / "out.txt").read_text() == "loser"
    assert [path.read_text() for path in (tmp_path / "damaged").glob("*/out.txt")] == ["damaged"]
    assert calls == ["slow"]
    assert folders(tmp_path) == []


def test_a_removed_attempt_is_made_again_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    calls: list[Path] = []

    def run(work: Work) -> None:
        calls.append(work.path)
        put(work, "first half")
        if len(calls) == 1:
            discard(work.path)  # what `gc` of another host does after LEASE
            work.path.mkdir()
            (work.path / "second half").write_text("alone")

    place = Path(executor(tmp_path).run(written(run)).path)
    assert len(set(calls)) == 2
    assert sorted(path.name for path in place.iterdir()) == ["manifest.json", "out.txt"]
    assert folders(tmp_path) == []


def test_an_attempt_that_is_removed_each_time_is_a_named_error(tmp_path: Path) -> None:
    def run(work: Work) -> None:
        discard(work.path)
        work.count(rows=1)

    with pytest.raises(attempts.LeaseError, match=r"no sign of life for 120 seconds.*same command again"):
        executor(tmp_path).run(written(run))
    assert Store(tmp_path).done("write", written(run).fingerprint) is None


def test_a_step_without_its_folder_stops_at_the_next_batch(tmp_path: Path) -> None:
    asked: list[int] = []

    def run(work: Work) -> None:
        def batches(_: Path) -> Iterator[list[int]]:
            for number in range(1000):
                asked.append(number)
                yield [number]
                discard(work.path)
                time.sleep(0.01)

        work.append_batches("rows.jsonl", batches, lambda batch: {"rows": 1})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("burnish.store.stages.SAVED_SECONDS", 0.0)
        with pytest.raises(attempts.LeaseError):
            executor(tmp_path).run(written(run, resumable=True))
    assert len(asked) <= 2 * runners.TRIES


def test_a_silent_attempt_is_copied_because_its_process_may_still_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that was suspended wakes up and writes on. Its rows do not reach the attempt that went on with them."""
    fingerprint = written(print, resumable=True).fingerprint
    key = stage_key("write", fingerprint)
    with pytest.MonkeyPatch.context() as patch:
        on_host(patch, "suspended")
        with attempting(tmp_path, key) as attempt:
            attempt.path.mkdir(parents=True)
            with (attempt.path / "rows.jsonl").open("ab", buffering=0) as rows:
                rows.write(b'{"row":0}\n')
                monkeypatch.setattr(attempts, "LEASE", -1.0)
                on_host(patch, "this one")

                def run(work: Work) -> None:
                    rows.write(b'{"row":"late"}\n')
                    with (work.path / "rows.jsonl").open("ab") as mine:
                        mine.write(b'{"row":1}\n')

                place = Path(executor(tmp_path).run(written(run, resumable=True)).path)
            assert attempt.lost
    assert (place / "rows.jsonl").read_bytes() == b'{"row":0}\n{"row":1}\n'
    assert folders(tmp_path) == []


def test_a_host_that_gives_signs_of_life_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "LEASE", 0.2)
    monkeypatch.setattr(locking, "POLL", 0.01)
    key, talk = stage_key("write", written(print).fingerprint), Quiet()
    with pytest.MonkeyPatch.context() as patch:
        on_host(patch, "other")
        patch.setattr(attempts, "BEAT", 1000.0)  # it falls silent at once
        with attempting(tmp_path, key) as attempt:
            attempt.path.mkdir(parents=True)
            on_host(patch, "this one")
            assert Others(tmp_path, key, locked=True).state(attempt.path) is Life.ALIVE
            Executor(Store(tmp_path), talk, {}).run(written(lambda work: put(work, "mine")))
    assert f"is being computed by process {os.getpid()} on" in talk.said[0]


def test_a_clock_that_jumps_does_not_end_a_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages are taken from the clock of the file system, and never from the one of a host."""
    monkeypatch.setattr(time, "time_ns", lambda: 10**20)
    monkeypatch.setattr(time, "time", lambda: 1e11)
    with attempting(tmp_path, "write-" + "a" * 32) as attempt:
        attempt.path.mkdir(parents=True)
        assert Others(tmp_path, "write-" + "a" * 32, locked=False).state(attempt.path) is Life.ALIVE


def test_gc_spares_the_work_of_a_host_that_gives_signs_of_life(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        on_host(patch, "other")
        with attempting(tmp_path, "train-" + "e" * 32) as attempt:
            attempt.path.mkdir(parents=True)
            patch.undo()
            assert collect(Store(tmp_path)) == []
            long_ago = time.time() - attempts.LEASE - 10
            os.utime(attempt.note, (long_ago, long_ago))
            assert [item.path for item in collect(Store(tmp_path))] == [attempt.path]
            assert attempt.lost


def test_gc_forgets_a_note_whose_folder_is_gone(tmp_path: Path) -> None:
    with attempting(tmp_path, "train-" + "e" * 32) as attempt:
        collect(Store(tmp_path))
        assert not attempt.lost
        os.utime(attempt.note, (1, 1))
        collect(Store(tmp_path))
        assert attempt.lost


def test_gc_keeps_what_the_run_of_another_host_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its results folder may be on a disk that only that host sees."""
    run = executor(tmp_path)
    artifact = run.run(written(lambda work: put(work, "needed")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "other")
        run.store.refer(tmp_path / "on another disk", [artifact.fingerprint])
    assert collect(run.store) == []
    run.store.refer(tmp_path / "on another disk", [artifact.fingerprint])
    assert [str(item.path) for item in collect(run.store)] == [artifact.path]


def test_what_two_hosts_put_aside_at_once_is_put_aside_once(tmp_path: Path) -> None:
    """A new result that came between the look and the move goes back to its place."""
    run = executor(tmp_path)
    place = Path(run.run(written(lambda work: put(work, "new"))).path)
    assert run.store.put_aside(place, inode=place.stat().st_ino + 1) is None
    assert (place / "out.txt").read_text() == "new"
    assert run.store.put_aside(tmp_path / "gone", inode=7) is None


def test_an_error_of_a_lock_that_is_not_about_locks_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(PermissionError):
        executor(tmp_path).run(written(print))


# --- several processes


def _disturbed(start: Callable[[int], BaseProcess], hosts: int, moments: random.Random) -> Generator[None]:
    """Run hosts. Kill some of them and stop some for longer than LEASE. Start another one for each that was killed."""
    running, begun = [start(seed) for seed in range(hosts)], hosts
    for trouble in range(6):
        time.sleep(moments.random() * 0.3)
        victim = moments.choice(running)
        if trouble % 2:
            os.kill(victim.pid or 0, signal.SIGSTOP) if victim.is_alive() else None
            time.sleep(0.6)
            os.kill(victim.pid or 0, signal.SIGCONT) if victim.is_alive() else None
        else:
            victim.kill()
            running.remove(victim)
            running.append(start(begun))
            begun += 1
        yield
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0] * hosts


@pytest.mark.slow
@pytest.mark.parametrize("waits", [True, False], ids=["with signs of life", "blind"])
def test_hosts_without_locks_never_spoil_each_others_work(tmp_path: Path, waits: bool) -> None:
    count, context = 6, multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hosts"])

    def start(seed: int) -> BaseProcess:
        process = context.Process(target=compute_all, args=(str(tmp_path), seed, count, waits))
        process.start()
        return process

    for _ in _disturbed(start, hosts=3, moments=random.Random(int(waits))):
        pass
    store = Store(tmp_path)
    for number in range(count):
        one = rows_stage(number, tmp_path / "log", 0)
        done = store.done("rows", one.fingerprint)
        assert done is not None
        assert store.damage(done) is None
        assert (done.path / "rows.jsonl").read_bytes() == expected(number)
    assert len(list(store.every())) == count
    # Without waiting, hosts do the same work at the same time, so there were losers.
    assert waits or len((tmp_path / "log").read_text().split()) > count
    assert not (tmp_path / "damaged").exists()


def test_a_full_disk_leaves_no_result_and_the_work_goes_on(tmp_path: Path) -> None:
    full = [True]

    def run(work: Work) -> None:
        work.append_batches("rows.jsonl", lambda _: [[{"row": 0}]], lambda _: {"rows": 1})
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    stage = written(run, resumable=True)
    with pytest.raises(StageError, match="no space left on the device"):
        executor(tmp_path).run(stage)
    assert Store(tmp_path).done("write", stage.fingerprint) is None
    full.clear()
    full.append(False)
    place = Path(executor(tmp_path).run(stage).path)
    assert (place / "rows.jsonl").read_bytes() == b'{"row":0}\n' * 2
