"""The foreman: who computes what, deaths, failures and pauses, and when an experiment is done. Pools are played."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from experiment import Quiet, small

from burnish.errors import BurnishError, ConfigError, Paused, StageError
from burnish.lab.computing import NODES, TRIES, Foreman, compute, whole
from burnish.lab.inputs import resolve
from burnish.lab.pool import About, Assignment, Brief, Report, line_of, read_line
from burnish.store.agenda import Agenda
from burnish.store.course import PlannedStage
from burnish.store.runners import Executor, Planner, planned_stages
from burnish.store.stages import Stage, Store, Work


def stage(key: str, *needs: str) -> PlannedStage:
    return PlannedStage(fingerprint=key, name="train", label=f"seed 0 {key}", reused=False, seconds=0.0, needs=needs)


class Played:
    """A pool with room for some stages. `ends` has the reports with which a stage ends, one for each try; all others
    are finished. The oldest stage ends first."""

    def __init__(self, room: int, ends: Mapping[str, Sequence[Report]] | None = None) -> None:
        self.room, self.ends = room, {key: list(reports) for key, reports in (ends or {}).items()}
        self.under_way: list[str] = []
        self.given: list[Assignment] = []
        self.closed = False

    def free(self) -> bool:
        return len(self.under_way) < self.room

    def submit(self, assignment: Assignment) -> None:
        assert self.free()
        self.given.append(assignment)
        self.under_way.append(assignment.fingerprint)

    def reports(self, timeout: float) -> Sequence[Report]:
        key = self.under_way.pop(0)
        ends = self.ends.get(key)
        return [dataclasses.replace(ends.pop(0), fingerprint=key) if ends else finished(key)]

    def close(self) -> None:
        self.closed = True

    @property
    def order(self) -> list[str]:
        return [assignment.fingerprint for assignment in self.given]


def finished(key: str) -> Report:
    return Report(about=About.FINISHED, fingerprint=key, seconds=1.0)


LOST = Report(about=About.LOST, message="its worker was killed by signal 9 (SIGKILL)")
FAILED = Report(about=About.FAILED, message="task: 3 rows found; use more", error="ConfigError")
PAUSED = Report(about=About.PAUSED, message="12 pairs wait for people", command="burnish annotate export out")


def worked(plan: Sequence[PlannedStage], pool: Played) -> tuple[list[str], list[str], BurnishError | Paused | None]:
    """Return what was finished, what was said, and what was raised."""
    done, said = list[str](), list[str]()
    foreman = Foreman(Agenda(plan, frozenset()), pool, {one.fingerprint: 0 for one in plan}, said.append)
    try:
        done.extend(foreman.work())
    except (BurnishError, Paused) as error:
        return done, said, error
    return done, said, None


def test_all_stages_are_given_out_as_far_as_there_is_room() -> None:
    pool = Played(2)
    assert worked([stage("a"), stage("b"), stage("c", "a")], pool) == (["a", "b", "c"], [], None)
    assert pool.order == ["a", "b", "c"]


def test_a_stage_whose_worker_died_is_tried_again() -> None:
    pool = Played(1, {"a": [LOST, LOST]})
    done, said, error = worked([stage("a"), stage("b", "a")], pool)
    assert (done, error, pool.order) == (["a", "b"], None, ["a", "a", "a", "b"])
    assert said == ["seed 0 a: its worker was killed by signal 9 (SIGKILL); it is tried again"] * 2


def test_a_stage_whose_nodes_die_is_tried_more_often() -> None:
    node = dataclasses.replace(LOST, message="its node died", node_died=True)
    pool = Played(1, {"a": [node] * TRIES * 2})
    done, said, raised = worked([stage("a")], pool)
    assert (done, len(said), raised) == (["a"], TRIES * 2, None)
    _, _, raised = worked([stage("a")], Played(1, {"a": [node] * NODES}))
    assert str(raised) == f"seed 0 a: its node died. It was tried {NODES} times; finished work is kept"


def test_a_stage_whose_workers_all_die_is_named() -> None:
    pool = Played(2, {"a": [LOST] * TRIES})
    done, _, error = worked([stage("a"), stage("b")], pool)
    assert done == ["b"]
    assert isinstance(error, StageError)
    words = "seed 0 a: its worker was killed by signal 9 (SIGKILL). It was tried 3 times; finished work is kept"
    assert str(error) == words


def test_after_a_failure_what_runs_is_finished_and_nothing_new_is_started() -> None:
    pool = Played(3, {"a": [FAILED]})
    done, said, error = worked([stage("a"), stage("b"), stage("c"), stage("d"), stage("e", "a")], pool)
    assert (done, pool.order) == (["b", "c"], ["a", "b", "c"])
    assert type(error) is ConfigError
    assert str(error) == "task: 3 rows found; use more"
    assert said == [
        "task: 3 rows found; use more; the run ends when 2 running stages are finished (seed 0 b, seed 0 c)"
    ]


def test_an_error_is_raised_as_the_kind_that_it_was() -> None:
    for kind in (*BurnishError.__subclasses__(), StageError):
        report = dataclasses.replace(FAILED, error=kind.__name__)
        assert type(worked([stage("a")], Played(1, {"a": [report]}))[2]) is kind
    # An error class of another package.
    report = dataclasses.replace(FAILED, error="OddError")
    assert type(worked([stage("a")], Played(1, {"a": [report]}))[2]) is StageError


def test_a_pause_keeps_its_command() -> None:
    done, _, error = worked([stage("a"), stage("b", "a")], Played(1, {"a": [PAUSED]}))
    assert done == []
    assert isinstance(error, Paused)
    assert (error.message, error.command) == ("12 pairs wait for people", "burnish annotate export out")


@pytest.mark.parametrize("first", [PAUSED, FAILED])
def test_an_error_counts_before_a_pause(first: Report) -> None:
    second = FAILED if first is PAUSED else PAUSED
    error = worked([stage("a"), stage("b")], Played(2, {"a": [first], "b": [second]}))[2]
    assert type(error) is ConfigError


def test_the_first_error_counts() -> None:
    other = dataclasses.replace(FAILED, message="another")
    error = worked([stage("a"), stage("b")], Played(2, {"a": [FAILED], "b": [other]}))[2]
    assert str(error) == "task: 3 rows found; use more"


def test_a_worker_that_dies_after_a_failure_is_not_replaced() -> None:
    pool = Played(2, {"a": [FAILED], "b": [LOST]})
    _, said, error = worked([stage("a"), stage("b")], pool)
    assert (type(error), pool.order) == (ConfigError, ["a", "b"])
    assert said[-1] == "seed 0 b: its worker was killed by signal 9 (SIGKILL); finished work is kept"


def test_lines_of_workers_are_said() -> None:
    pool = Played(1, {"a": [Report(about=About.SAID, message="a line")]})
    said = list[str]()
    foreman = Foreman(Agenda([stage("a")], frozenset()), pool, {"a": 0}, said.append)
    # The played pool forgets a stage with each report, so this one would never end.
    assert next(foreman.work(iter([False, True]).__next__), None) is None
    assert said == ["a line"]


# --- several experiments


def brief_of(plan: Sequence[PlannedStage], experiments: int) -> Brief:
    return Brief(
        configs=(small(),) * experiments,
        inputs=(resolve(small(), offline_ok=False),) * experiments,
        folders=("out",) * experiments,
        store="store",
        stages=tuple(plan),
    )


def computed(plans: Sequence[Sequence[PlannedStage]], pool: Played, done: frozenset[str] = frozenset()) -> list[int]:
    plan = [one for one_plan in plans for one in one_plan]
    keys = [[one.fingerprint for one in one_plan] for one_plan in plans]
    return list(compute(brief_of(plan, len(plans)), keys, done, lambda _: pool, lambda _: None))


def test_experiments_are_done_in_their_order_and_share_stages() -> None:
    a, b, c = stage("a"), stage("b", "a"), stage("c", "a")
    pool = Played(1)
    assert computed([[a, b], [a, c]], pool) == [0, 1]
    assert (sorted(pool.order), pool.closed) == (["a", "b", "c"], True)
    # A shared stage is found in the first experiment that has it.
    assert {one.fingerprint: one.config for one in pool.given} == {"a": 0, "b": 0, "c": 1}


def test_no_pool_is_opened_if_everything_is_finished() -> None:
    def refuse(_: int) -> Played:
        raise AssertionError("opened")

    plan = [stage("a"), stage("b", "a")]
    done = frozenset({"a", "b"})
    assert list(compute(brief_of(plan, 2), [["a"], ["a", "b"]], done, refuse, lambda _: None)) == [0, 1]


def test_an_experiment_that_is_done_comes_before_the_error_of_another() -> None:
    pool = Played(1, {"b": [FAILED]})
    running = compute(
        brief_of([stage("a"), stage("b")], 2), [["a"], ["b"]], frozenset(), lambda _: pool, lambda _: None
    )
    assert next(running) == 0
    with pytest.raises(ConfigError, match="3 rows found"):
        next(running)
    assert pool.closed


def test_a_pool_that_cannot_be_opened_is_an_error_of_the_run() -> None:
    def full(_: int) -> Played:
        raise OSError(28, "No space left on device")

    running = compute(brief_of([stage("a")], 1), [["a"]], frozenset(), full, lambda _: None)
    with pytest.raises(OSError, match="No space left"):
        next(running)


def test_the_workers_end_with_the_caller() -> None:
    pool = Played(1)
    running = compute(
        brief_of([stage("a"), stage("b")], 2), [["a"], ["b"]], frozenset(), lambda _: pool, lambda _: None
    )
    assert next(running) == 0
    running.close()  # type: ignore[attr-defined]
    assert pool.closed


# --- what is reused


def test_only_whole_stages_are_reused(tmp_path: Path) -> None:
    def run(work: Work) -> None:
        (work.path / "a.txt").write_text("text")

    store = Store(tmp_path)
    stages = [Stage(name="s", version=1, config={"n": n}, inputs={}, run=run) for n in range(4)]
    executor = Executor(store, Quiet(), {})
    places = [Path(executor.run(one).path) for one in stages[:3]]
    (places[1] / "a.txt").write_text("changed")
    (places[2] / "a.txt").unlink()
    planner = Planner(store)
    for one in stages:
        planner.run(one)
    plan = planned_stages(planner.records)
    assert [one.reused for one in plan] == [True, True, True, False]
    assert whole(plan, store, 2) == {stages[0].fingerprint}


# --- records


@pytest.mark.parametrize(
    "record",
    [
        Assignment(config=3, fingerprint="ab"),
        Report(about=About.FAILED, fingerprint="ab", message="half \ud83d and a\nline", error="DataError"),
        Report(about=About.FINISHED, fingerprint="ab", seconds=0.1),
    ],
)
def test_a_record_is_a_line(record: Assignment | Report) -> None:
    line = line_of(record)
    assert line.count(b"\n") == 1
    # By its own kind, so that each is read as what it is.
    back = read_line(line, Report) if isinstance(record, Report) else read_line(line, Assignment)
    assert back == record
