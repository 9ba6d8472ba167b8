"""The stage store: identity, reuse, completeness, locks."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from experiment import Quiet

from burnish.errors import StageError
from burnish.store import locking, stages
from burnish.store.canonical import canonical
from burnish.store.course import StagePosition
from burnish.store.explain import explain
from burnish.store.gc import collect
from burnish.store.locking import stage_lock
from burnish.store.manifest import MANIFEST
from burnish.store.runners import Executor, Planner
from burnish.store.stages import Stage, Store, Work
from burnish.types import Artifact, Verdict


def stage(calls: list[str], name: str = "double", **config: Any) -> Stage:
    def run(work: Work) -> None:
        calls.append(name)
        (work.path / "out.txt").write_text(str(config))
        work.count(rows=1)

    return Stage(name=name, version=1, config=config, inputs={}, run=run)


def executor(root: Path) -> Executor:
    return Executor(Store(root), Quiet(), {})


def test_a_stage_identity_is_pinned() -> None:
    """If this changes, every result of every user is computed again: bump a stage's version instead."""
    source = Artifact(path="/anywhere", kind="data", fingerprint="ab" * 32)
    pinned = Stage(
        name="train",
        version=1,
        config={"learning_rate": 1e-3, "epochs": 3.0, "lora": None, "sides": ["first"], "text": "é"},
        inputs={"data": source},
        run=lambda _: None,
        label="labels are no identity",
    )
    assert canonical(pinned.payload).decode() == (
        '{"config":{"epochs":3.0,"learning_rate":0.001,"lora":null,"sides":["first"],"text":"é"},'
        f'"inputs":{{"data":"{"ab" * 32}"}},"name":"train","version":1}}'
    )
    assert pinned.fingerprint == "9151cfe50dd0e669cd59f562ee4bae6ff44face2a6ede4ffb61f7dfb71b2270f"


@pytest.mark.parametrize("unstable", [{1, 2}, object(), float("nan"), float("inf"), {1: "a"}, b"bytes", Path("x")])
def test_what_has_no_stable_form_is_refused(unstable: object) -> None:
    with pytest.raises(StageError, match="stable form"):
        canonical({"a": [unstable]})


def test_enums_and_tuples_are_their_values() -> None:
    assert canonical({"b": (Verdict.TIE,), "a": 1}) == b'{"a":1,"b":["tie"]}'


def test_a_done_stage_is_reused_and_another_config_is_not(tmp_path: Path) -> None:
    calls: list[str] = []
    first = executor(tmp_path).run(stage(calls, alpha=0.1))
    again = executor(tmp_path).run(stage(calls, alpha=0.1))
    other = executor(tmp_path).run(stage(calls, alpha=0.2))
    assert len(calls) == 2
    assert first == again != other
    assert not list((tmp_path / "work").iterdir())


def test_what_workers_of_this_run_computed_is_not_reused(tmp_path: Path) -> None:
    """`there` is what was finished when the run began; a result that came since was paid for by this run."""
    calls: list[str] = []
    before, since = executor(tmp_path).run(stage(calls, alpha=0.1)), executor(tmp_path).run(stage(calls, alpha=0.2))
    again = Executor(Store(tmp_path), Quiet(), {}, frozenset({before.fingerprint}))
    for alpha in (0.1, 0.2, 0.3):
        again.run(stage(calls, alpha=alpha))
    assert [record.reused for record in again.records] == [True, False, False]
    assert len(calls) == 3
    assert again.records[1].fingerprint == since.fingerprint
    everything = executor(tmp_path)
    everything.run(stage(calls, alpha=0.2))
    assert everything.records[0].reused


def test_a_failed_stage_is_absent(tmp_path: Path) -> None:
    def run(work: Work) -> None:
        (work.path / "half.txt").write_text("half")
        raise RuntimeError

    broken = Stage(name="broken", version=1, config={}, inputs={}, run=run)
    with pytest.raises(RuntimeError):
        executor(tmp_path).run(broken)
    assert Store(tmp_path).done("broken", broken.fingerprint) is None


def test_a_kill_between_manifest_and_rename_loses_nothing(tmp_path: Path) -> None:
    calls: list[str] = []
    place = Path(executor(tmp_path).run(stage(calls)).path)
    store = Store(tmp_path)
    place.rename(store.work_place("double", stage(calls).fingerprint))
    executor(tmp_path).run(stage(calls))
    assert calls == ["double"]
    assert (place / MANIFEST).is_file()


def test_a_resumed_stage_counts_what_the_killed_run_did(tmp_path: Path) -> None:
    attempts: list[int] = []

    def run(work: Work) -> None:
        work.append_batches("rows.jsonl", lambda _: [[{"row": len(attempts)}]], lambda _: {"rows": 1, "tokens": 10})
        attempts.append(1)
        if len(attempts) < 3:
            raise RuntimeError

    resumed = Stage(name="answer", version=1, config={}, inputs={}, run=run, resumable=True)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            executor(tmp_path).run(resumed)
    place = Path(executor(tmp_path).run(resumed).path)
    done = Store(tmp_path).read(place)
    assert done is not None
    assert done.counts == {"rows": 3, "tokens": 30}
    assert {path.name for path in place.iterdir()} == {"rows.jsonl", MANIFEST}


def test_each_batch_is_on_disk_before_the_next_one_is_computed(tmp_path: Path) -> None:
    """A run that is killed in the third batch has two; the next run sees them, and not the line that was torn."""
    path = tmp_path / "rows.jsonl"
    seen: list[str] = []

    def batches(file: Path, last: int) -> Iterator[list[int]]:
        for number in range(file.read_text().count("\n") // 2, last):
            seen.append(file.read_text())
            if number == 2 and last == 3:
                raise KeyboardInterrupt
            yield [2 * number, 2 * number + 1]

    with pytest.raises(KeyboardInterrupt):
        Work(tmp_path).append_batches(path.name, lambda file: batches(file, 3), lambda batch: {"rows": len(batch)})
    assert seen == ["", "0\n1\n", "0\n1\n2\n3\n"]
    path.write_text(path.read_text() + "4")  # a torn line
    work = Work(tmp_path)
    work.take_up()
    work.append_batches(path.name, lambda file: batches(file, 4), lambda batch: {"rows": len(batch)}, row=lambda n: -n)
    assert path.read_text().split() == ["0", "1", "2", "3", "-4", "-5", "-6", "-7"]
    assert work.counts == {"rows": 8}


def test_leftovers_of_a_killed_stage_are_not_mixed_in(tmp_path: Path) -> None:
    calls: list[str] = []
    work = Store(tmp_path).work_place("double", stage(calls).fingerprint)
    work.mkdir(parents=True)
    (work / "stale.txt").write_text("stale")
    place = Path(executor(tmp_path).run(stage(calls)).path)
    assert not (place / "stale.txt").exists()


@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_a_damaged_result_is_said_and_computed_again(tmp_path: Path, damage: str) -> None:
    calls: list[str] = []
    place = Path(executor(tmp_path).run(stage(calls)).path)
    if damage == "changed":
        (place / "out.txt").write_text("changed")
    else:
        (place / "out.txt").unlink()
    talk = Quiet()
    Executor(Store(tmp_path), talk, {}).run(stage(calls))
    assert calls == ["double", "double"]
    assert "damaged or missing" in talk.said[0]


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    calls: list[str] = []
    place = Path(executor(tmp_path).run(stage(calls)).path)
    manifest = orjson.loads((place / MANIFEST).read_bytes()) | {"schema_version": 2}
    (place / MANIFEST).write_bytes(orjson.dumps(manifest))
    with pytest.raises(StageError, match="schema_version 2 found, this burnish reads 1"):
        executor(tmp_path).run(stage(calls))


def _slow(root: str, order: Any) -> None:
    def run(work: Work) -> None:
        order.append("start")
        time.sleep(0.5)
        (work.path / "pid").write_text(str(os.getpid()))
        order.append("end")

    Executor(Store(Path(root)), Quiet(), {}).run(Stage(name="slow", version=1, config={}, inputs={}, run=run))


@pytest.mark.slow
def test_two_runs_on_one_store_compute_a_stage_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        order = manager.list()
        runs = [context.Process(target=_slow, args=(str(tmp_path), order)) for _ in range(2)]
        for process in runs:
            process.start()
        for process in runs:
            process.join()
        assert [process.exitcode for process in runs] == [0, 0]
        assert list(order) == ["start", "end"]


@pytest.mark.slow
def test_who_holds_a_stage_is_said(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with stage_lock(tmp_path, f"slow-{'f' * 32}", Quiet()):
        process = context.Process(target=_wait_and_tell, args=(str(tmp_path),))
        process.start()
        told = tmp_path / "told"
        while not told.exists():
            assert process.is_alive()
            time.sleep(0.05)
    process.join()
    assert f"process {os.getpid()} on" in told.read_text()
    assert (tmp_path / "shown").read_text() == "wait for slow ffffffff"


def _wait_and_tell(root: str) -> None:
    class Tell(Quiet):
        def say(self, message: str) -> None:
            (Path(root) / "told").write_text(message)

        @contextmanager
        def stage(self, label: str, position: StagePosition | None = None) -> Generator[None, None, None]:
            (Path(root) / "shown").write_text(label)
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locking, "PATIENCE", 0.1)
        with stage_lock(Path(root), f"slow-{'f' * 32}", Tell()):
            pass


def test_explain_names_the_field_and_the_stage_that_is_the_cause(tmp_path: Path) -> None:
    calls: list[str] = []

    def chain(runner: Executor | Planner, alpha: float) -> None:
        first = runner.run(stage(calls, alpha=alpha))
        second = Stage(
            name="next", version=1, config={}, inputs={"before": first}, run=lambda _: None, label="the second"
        )
        runner.run(second)

    chain(executor(tmp_path), 0.1)
    planner = Planner(Store(tmp_path))
    chain(planner, 0.2)
    first, second = explain(planner.records, planner.store)
    assert [(d.field, d.before, d.now) for d in first.differences] == [("config.alpha", 0.1, 0.2)]
    assert second.state == "changed"
    assert (second.differences[0].field, second.differences[0].cause) == ("inputs.before", "double")


def test_gc_frees_what_no_run_refers_to(tmp_path: Path) -> None:
    calls: list[str] = []
    run = executor(tmp_path / "store")
    kept, freed = run.run(stage(calls, alpha=0.1)), run.run(stage(calls, alpha=0.2))
    (tmp_path / "out").mkdir()
    run.store.refer(tmp_path / "out", [kept.fingerprint])
    assert [str(item.path) for item in collect(run.store, dry_run=True)] == [freed.path]
    assert Path(freed.path).exists()
    collect(run.store)
    assert Path(kept.path).exists()
    assert not Path(freed.path).exists()


def test_gc_frees_models_of_preferences_first(tmp_path: Path) -> None:
    calls: list[str] = []
    run = executor(tmp_path)
    for name in ("answer", "train_classifier", "train", "pair", "train_preferences"):
        run.run(stage(calls, name))
    freed = [item.name for item in collect(run.store)]
    assert freed == ["train_preferences", "train", "train_classifier", "answer", "pair"]


@pytest.mark.slow
def test_gc_leaves_the_work_of_a_living_process(tmp_path: Path) -> None:
    store, fingerprint = Store(tmp_path), "e" * 64
    store.work_place("train", fingerprint).mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    with stage_lock(tmp_path, f"train-{'e' * 32}", Quiet()):
        process = context.Process(target=_collect, args=(str(tmp_path),))
        process.start()
        process.join()
        assert store.work_place("train", fingerprint).exists()
    collect(store)
    assert not store.work_place("train", fingerprint).exists()


def _collect(root: str) -> None:
    collect(Store(Path(root)))


def test_an_interrupted_run_keeps_what_it_has_finished(tmp_path: Path) -> None:
    from experiment import fake, run_small, small

    def stop_at_the_third_training(unit: str) -> None:
        seen.append(unit)
        if seen.count("train") == 3:
            raise KeyboardInterrupt

    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_small(small(), tmp_path, fake(stop_at_the_third_training))
    there = list((tmp_path / "store" / "stages").glob("*/*"))
    assert there
    assert not {item.path for item in collect(Store(tmp_path / "store"))} & set(there)
    assert all(path.exists() for path in there)


def test_half_a_character_has_no_stable_form() -> None:
    with pytest.raises(StageError, match=r"payload.a\[\]: '.ud800' holds half a character"):
        canonical({"a": ["\ud800"]})


def test_small_batches_are_written_at_once_and_saved_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses no batch. Syncs and counts wait, and come at the end whatever ends the work."""
    seen, syncs = list[int](), list[int]()

    def sync(_: object) -> None:
        syncs.append(1)

    monkeypatch.setattr(stages, "SAVED_SECONDS", 1000.0)
    monkeypatch.setattr(stages.Appender, "sync", sync)
    work = Work(tmp_path)
    work._saved = time.monotonic()

    def batches(path: Path) -> Iterator[list[int]]:
        for number in range(5):
            yield [number]
            seen.append(len(path.read_bytes().splitlines()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work.append_batches("rows.jsonl", batches, lambda batch: {"rows": len(batch)})
    assert (seen, syncs) == ([1, 2, 3, 4, 5], [1])
    assert orjson.loads((tmp_path / stages.COSTS).read_bytes())["counts"] == {"rows": 5}
