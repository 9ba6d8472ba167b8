"""What is computed now: the notes of attempts, of this machine and of others, in a folder and in a bucket."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hosts import Silent, on_host
from obstore.store import MemoryStore

from burnish.store import attempts
from burnish.store.attempts import Doing, Life, attempting
from burnish.store.bucket import Bucket
from burnish.store.object_store import ObjectStore
from burnish.store.runners import Executor
from burnish.store.stages import Stage, Store
from burnish.store.under_way import UnderWay, under_way

KEY = "answer-" + "a" * 32


class Counting(Silent):
    """A talk that knows how far a stage is."""

    def progress(self) -> tuple[int, int]:
        return 3, 20


def until(store: Store, done: int) -> UnderWay:
    """Return the one attempt when its note says that so many units are done."""
    end = time.monotonic() + 60
    while True:
        (found,) = store.under_way()
        if found.done == done:
            return found
        assert time.monotonic() < end, found


def test_a_running_stage_is_seen_with_its_progress(tmp_path: Path) -> None:
    seen: list[UnderWay] = []
    stage = Stage(
        name="answer",
        version=1,
        config={},
        inputs={},
        run=lambda work: seen.extend(Store(tmp_path).under_way()),
        label="seed 0 answers",
    )
    Executor(Store(tmp_path), Counting(), {}).run(stage)
    (found,) = seen
    assert (found.stage, found.digits, found.label) == ("answer", stage.fingerprint[:32], "seed 0 answers")
    assert (found.process, found.life, found.done, found.total) == (os.getpid(), Life.ALIVE, 3, 20)
    assert found.beat < 60
    assert list(Store(tmp_path).under_way()) == []


@pytest.mark.parametrize("bucket", [False, True])
def test_each_sign_of_life_says_how_far_the_stage_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: bool
) -> None:
    monkeypatch.setattr(attempts, "BEAT", 0.01)
    store = ObjectStore(Bucket(MemoryStore(), "memory://b"), tmp_path) if bucket else Store(tmp_path)
    done = [1]
    with store.attempting(KEY, Doing(label="x", progress=lambda: (done[0], 9))):
        assert until(store, 1).total == 9
        done[0] = 7
        assert until(store, 7).total == 9
    assert list(store.under_way()) == []


def test_a_note_that_was_removed_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an attempt that another host has taken over would believe that it goes on."""
    monkeypatch.setattr(attempts, "BEAT", 0.005)
    with attempting(tmp_path, KEY) as attempt:
        attempt.note.unlink()
        time.sleep(0.05)
        assert attempt.lost


def test_who_is_dead_and_who_is_silent(tmp_path: Path) -> None:
    with attempting(tmp_path, KEY) as attempt:
        about = attempts.read_words(attempt.note.read_bytes())
        assert under_way(KEY, about | {"process": 2**22 + 1}, 1.0).life is Life.ENDED
        assert under_way(KEY, about | {"process": 2**22 + 1, "machine": "other"}, 1.0).life is Life.ALIVE
        assert under_way(KEY, about, attempts.LEASE + 1).life is Life.SILENT
        assert under_way(KEY, about, 5.0).life is Life.ALIVE


def test_a_note_of_another_version_is_shown_as_far_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_host(monkeypatch, "other")
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / f"{KEY}.node.7.0123abcd.json").write_text('{"host": "node", "process": 7}')
    (tmp_path / "locks" / f"{KEY}.node.8.0123abcd.json").write_text('{"ho')
    first, second = Store(tmp_path).under_way()
    assert (first.host, first.process, first.label, first.total) == ("node", 7, "", None)
    assert (second.host, second.process) == ("unknown", None)
