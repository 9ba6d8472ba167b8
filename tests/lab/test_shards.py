"""Stages that are computed in parts: neither their identity nor their result depends on how many parts there are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from experiment import fake, small
from stops import StopError
from working import DECODE, TWO, briefed, faked, outputs, ran

from burnish.backends.fake import FakeBackend
from burnish.lab import workers
from burnish.lab.pool import Assignment
from burnish.lab.running import run
from burnish.protocols import Score, Scorer
from burnish.report.terminal import Terminal
from burnish.steps.shards import ScoreBatch, scored_part
from burnish.store.course import PlannedStage
from burnish.store.files import iter_rows, write_rows
from burnish.store.gc import collect
from burnish.store.shards import Shard
from burnish.store.stages import Store
from burnish.types import Artifact

UNITS = {"generate", "logprobs", "classify"}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeBackend], None]:
    """Returns a function that lets workers in this process use a backend."""

    def use(backend: FakeBackend) -> None:
        def opener_of(*_: object) -> Callable[[], FakeBackend]:
            return lambda: backend

        monkeypatch.setattr(workers, "opener_of", opener_of)

    return use


Use = Callable[[FakeBackend], None]


def whole(sums: dict[str, str]) -> dict[str, str]:
    """Leave out the results of parts."""
    return {name: sum_ for name, sum_ in sums.items() if "_part/" not in name}


def computed(store: Path, shards: int, **settings: Any) -> tuple[PlannedStage, ...]:
    """Compute all stages of a run, one after the other, and return its plan."""
    values: dict[str, Any] = {"decode": DECODE, "execution": TWO | {"shards": shards}} | settings
    brief = briefed(small(**values), store)
    worker = workers.Worker(brief, Terminal())
    for stage in brief.stages:
        worker.compute(Assignment(config=0, fingerprint=stage.fingerprint))
    return brief.stages


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_parts(tmp_path: Path, on: Use) -> None:
    on(fake())
    judges = [{"kind": "classifier", "checkpoints": 2}, {"kind": "likelihood", "model": "builtin:judge-3"}]
    settings: dict[str, Any] = {
        "supervision": {"annotator": {"kind": "majority", "of": judges}},
        "methods": [{"kind": "ilr", "rounds": 1}],
        "measure": ["kl"],
    }
    counts = (2, 3)
    plans = {count: computed(tmp_path / str(count), count, **settings) for count in (1, *counts)}
    expected = [(stage.fingerprint, stage.name, stage.label) for stage in plans[1]]
    for count in counts:
        parts = [stage for stage in plans[count] if stage.name.endswith("_part")]
        assert {stage.name for stage in parts} == {"answer_part", "score_part", "judge_part"}
        assert {stage.label.rpartition(", ")[2] for stage in parts} == {
            f"part {number} of {count}" for number in range(1, count + 1)
        }
        stages = [(one.fingerprint, one.name, one.label) for one in plans[count] if one not in parts]
        assert stages == expected
        assert whole(outputs(tmp_path / str(count))) == outputs(tmp_path / "1")
        # The parts have done all of the work, and the counts are those of one process.
        one, several = (Store(tmp_path / str(number)) for number in (1, count))
        for stage in plans[1]:
            done, again = (store.done(stage.name, stage.fingerprint) for store in (one, several))
            assert done is not None
            assert again is not None
            assert done.counts == again.counts, stage.label


def test_one_process_cuts_nothing(tmp_path: Path) -> None:
    assert briefed(small(execution={"shards": 3}), tmp_path).stages == briefed(small(), tmp_path).stages


def test_a_killed_part_alone_is_done_again(tmp_path: Path, on: Use) -> None:
    """And of that part only the batches that are missing."""
    done: list[str] = []

    def before_unit(unit: str) -> None:
        if unit in UNITS:
            done.append(unit)
            # The weak model's answers are one batch. Its test answers are seven: three in the first part.
            if len(done) == 6:
                raise StopError

    on(fake(before_unit))
    settings: dict[str, Any] = {"methods": [{"kind": "sft"}], "task": {"kind": "sums", "train": 10, "test": 100}}
    with pytest.raises(StopError):
        computed(tmp_path / "killed", 2, **settings)
    computed(tmp_path / "killed", 2, **settings)
    killed = len(done)
    computed(tmp_path / "alone", 1, **settings)
    assert whole(outputs(tmp_path / "killed")) == outputs(tmp_path / "alone")
    # One batch was begun twice.
    assert killed - 1 == len(done) - killed


def test_a_stage_whose_parts_are_gone_is_computed_whole(tmp_path: Path, on: Use) -> None:
    units: list[str] = []
    on(fake(units.append))
    settings: dict[str, Any] = {"methods": [{"kind": "sft"}], "measure": []}
    plan = computed(tmp_path / "store", 3, **settings)
    expected, before = whole(outputs(tmp_path / "store")), len(units)
    (last,) = [stage for stage in plan if stage.name == "answer" and "labels" in stage.label]
    shutil.rmtree(tmp_path / "store" / "stages" / "answer" / last.fingerprint[:32])
    # Without the second part, only the rows of the first one are taken.
    parts = [stage for stage in plan if stage.label.startswith(f"{last.label}, part")]
    place = Store(tmp_path / "store").place(parts[1].name, parts[1].fingerprint)
    file = place / "demonstrations.jsonl"
    file.write_bytes(file.read_bytes() + b"damaged")
    worker = workers.Worker(
        briefed(small(decode=DECODE, execution=TWO | {"shards": 3}, **settings), tmp_path / "store"), Terminal()
    )
    worker.compute(Assignment(config=0, fingerprint=last.fingerprint))
    assert whole(outputs(tmp_path / "store")) == expected
    assert 0 < len(units) - before < 3


@pytest.mark.slow
class TwoBatches(FakeBackend):
    """Gives rewards in two batches, to which all parts have a share."""

    def part(self, part: Shard) -> FakeBackend:
        return self

    def rewards(self, model: object, rows: object, done: Any) -> Iterator[list[Score]]:
        for name in ("first", "second"):
            if f"{name}:a" not in done:
                yield [Score(id=f"{name}:{side}", value=1.0, tokens=1) for side in "ab"]


def test_a_line_that_was_lost_before_the_end_of_a_part_is_computed_again(tmp_path: Path) -> None:
    """Else its comparisons would be abstentions, as if their answers were too long."""

    def judge(scorer: Scorer) -> Iterator[object]:
        yield from scorer.rewards(Artifact(path="", kind="", fingerprint=""), [], frozenset())

    def done_now() -> list[str]:
        found = scored_part(file, Shard(number=0, count=2), lambda: TwoBatches({}), judge)
        rows = [*kept, *(batch for batches in found for batch in batches)]
        write_rows(file, rows)
        return [batch.id for batch in rows]

    file, kept = tmp_path / "score_batches.jsonl", list[ScoreBatch]()
    file.touch()
    assert done_now() == ["first:a", "second:a", "end"]
    kept = list(iter_rows(file, ScoreBatch))[1:]
    write_rows(file, kept)
    assert done_now() == ["second:a", "end", "first:a"]


def test_workers_share_a_stage_and_gc_removes_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"methods": [{"kind": "sft"}], "decode": DECODE}
    alone = run(small(**settings), tmp_path / "alone", tmp_path / "alone-store", backend=fake).out
    faked(monkeypatch)
    out = ran(small(**settings, execution=TWO | {"shards": "auto"}), tmp_path)
    assert (out / "results.json").read_bytes() == (alone / "results.json").read_bytes()
    store = Store(tmp_path / "store")
    parts = [place for place in store.places() if place.parent.name.endswith("_part")]
    assert len(parts) >= 4
    assert {item.path for item in collect(store)} == set(parts)
    # Nothing is computed again without them.
    monkeypatch.setattr("burnish.lab.local_processes.COMMAND", ("false",))
    ran(small(**settings, execution=TWO | {"shards": 3}), tmp_path)
