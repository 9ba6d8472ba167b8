"""The order of a run's stages over several workers: what is ready, what is urgent, and what must wait."""

from __future__ import annotations

import heapq
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from burnish.store.agenda import TYPICAL, Agenda
from burnish.store.course import PlannedStage


def stage(key: str, *needs: str, name: str = "train", outside: bool = False, seconds: float = 0.0) -> PlannedStage:
    """Return a stage whose fingerprint and label are `key`."""
    return PlannedStage(
        fingerprint=key, name=name, label=key, reused=False, seconds=seconds, needs=needs, outside=outside
    )


def started(agenda: Agenda) -> list[str]:
    """Start all stages that can start now, and return them in their order."""
    found: list[str] = []
    while (one := agenda.start_next()) is not None:
        found.append(one.fingerprint)
    return found


def test_a_stage_starts_when_all_that_it_needs_is_finished() -> None:
    agenda = Agenda([stage("a"), stage("b"), stage("c", "a", "b", "weights"), stage("d", "c")], frozenset())
    assert (started(agenda), agenda.left) == (["a", "b"], 4)
    agenda.finish("a", 1.0)
    assert started(agenda) == []
    agenda.finish("b", 1.0)
    assert started(agenda) == ["c"]
    agenda.finish("c", 1.0)
    assert started(agenda) == ["d"]
    agenda.finish("d", 1.0)
    assert (started(agenda), agenda.left) == ([], 0)


def test_finished_stages_are_neither_started_nor_waited_for() -> None:
    agenda = Agenda([stage("a"), stage("b", "a"), stage("a"), stage("c")], {"a"})
    assert sorted(started(agenda)) == ["b", "c"]
    assert Agenda([stage("a")], {"a"}).left == 0


def test_the_stage_with_the_longest_path_behind_it_is_first() -> None:
    # By hand, with train 10 and answer 2: a 10, b 10 + 2, c 2 + 10 + 10.
    plan = [stage("a"), stage("b"), stage("c", name="answer"), stage("d", "c"), stage("e", "d")]
    plan.append(stage("f", "b", name="answer"))
    assert started(Agenda(plan, frozenset())) == ["c", "b", "a"]


def test_of_equal_paths_the_first_of_the_plan_is_first() -> None:
    assert started(Agenda([stage("b"), stage("a"), stage("c")], frozenset())) == ["b", "a", "c"]


def test_finished_stages_tell_how_long_others_of_their_kind_take() -> None:
    """Here training takes no time, and answers do."""
    plan = [stage("seed 0"), stage("said 0", name="answer"), stage("seed 1"), stage("said 1", name="answer")]
    assert started(Agenda(plan, frozenset())) == ["seed 0", "seed 1", "said 0", "said 1"]
    agenda = Agenda(plan, frozenset())
    assert {started(agenda)[0]} == {"seed 0"}
    reused = [stage("seed 0", seconds=0.5), stage("said 0", name="answer", seconds=9.0), *plan[2:]]
    assert started(Agenda(reused, {"seed 0", "said 0"})) == ["said 1", "seed 1"]


def test_what_is_known_of_some_stages_scales_the_others() -> None:
    """Training took a tenth of what is typical. So an answer of another kind, measured at 1.5, takes longer than the
    judgement that nothing is known of."""
    assert TYPICAL["train"] == 10.0
    assert TYPICAL["judge"] == 2.0
    reused = [stage("t", name="train", seconds=1.0), stage("a 0", name="answer", seconds=1.5)]
    # Known are train 1.0 and answer 1.5 of 10 and 2: the scale is 2.5 / 12, and a judgement is expected to take 0.42.
    plan = [*reused, stage("j", name="judge"), stage("a 1", name="answer")]
    assert started(Agenda(plan, {"t", "a 0"})) == ["a 1", "j"]


def test_one_stage_at_a_time_asks_outside() -> None:
    plan = [stage("p", outside=True), stage("q", outside=True), stage("r")]
    agenda = Agenda(plan, frozenset())
    assert started(agenda) == ["p", "r"]
    agenda.finish("r", 1.0)
    assert started(agenda) == []
    agenda.finish("p", 1.0)
    assert started(agenda) == ["q"]


def test_a_stage_whose_worker_died_waits_again() -> None:
    agenda = Agenda([stage("a"), stage("b", "a")], frozenset())
    assert started(agenda) == ["a"]
    agenda.give_back("a")
    assert (started(agenda), agenda.left) == (["a"], 2)
    assert list(agenda.running) == ["a"]


@st.composite
def plans(draw: st.DrawFn) -> list[PlannedStage]:
    """Return plans of up to 12 stages in which each stage needs some that come before it."""
    drawn = draw(
        st.lists(st.tuples(st.integers(0, 2**11), st.sampled_from(sorted(TYPICAL)), st.booleans()), max_size=12)
    )
    return [
        # Each bit of a number says whether an earlier stage is needed.
        stage(f"s{n}", *(f"s{m}" for m in range(n) if bits >> m & 1), name=name, outside=outside)
        for n, (bits, name, outside) in enumerate(drawn)
    ]


@given(plans(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_plan_is_computed_once_and_in_order(plan: list[PlannedStage], workers: int, random: Random) -> None:
    """Workers of which some die: each stage is finished once, after what it needs, and one at a time asks outside."""
    agenda, finished = Agenda(plan, frozenset()), list[str]()
    by_key = {one.fingerprint: one for one in plan}
    while agenda.left:
        while len(agenda.running) < workers and (one := agenda.start_next()) is not None:
            assert set(one.needs) <= set(finished)
        assert sum(by_key[key].outside for key in agenda.running) <= 1
        key = random.choice(sorted(agenda.running))
        if random.random() < 0.25:
            agenda.give_back(key)
        else:
            agenda.finish(key, 1.0)
            finished.append(key)
    assert sorted(finished) == sorted(by_key)


def test_a_chain_beside_short_stages_ends_as_early_as_it_can() -> None:
    """Ten short stages come first in the plan, and then a chain of five. Two workers need no longer than the chain."""
    plan = [stage(f"short {n}", name="answer") for n in range(10)]
    plan += [stage(f"link {n}", *([f"link {n - 1}"] if n else [])) for n in range(5)]
    agenda, now = Agenda(plan, frozenset()), 0.0
    under_way: list[tuple[float, str]] = []
    while agenda.left:
        while len(agenda.running) < 2 and (one := agenda.start_next()) is not None:
            heapq.heappush(under_way, (now + (2.0 if one.name == "answer" else 10.0), one.fingerprint))
        now, key = heapq.heappop(under_way)
        agenda.finish(key, 2.0 if key.startswith("short") else 10.0)
    assert now == 50.0


def test_the_time_that_is_left_is_the_longest_path_or_the_work_of_each_worker() -> None:
    """By hand: trainings take 10 s and answers 4 s. The chain has 10 + 10 + 4, and all stages have 36."""
    reused = [stage("t", seconds=10.0), stage("a", name="answer", seconds=4.0)]
    plan = [*reused, stage("b"), stage("c", "b"), stage("d", "c", name="answer"), stage("e", name="answer")]
    plan += [stage("f", name="answer"), stage("g", name="answer")]
    agenda = Agenda(plan, {"t", "a"})
    assert [agenda.seconds_left(workers) for workers in (1, 2, 3)] == [36.0, 24.0, 24.0]
    assert started(agenda)[0] == "b"
    assert agenda.seconds_left(1) == 36.0  # it is not known how much of a running stage is done
    agenda.finish("b", 10.0)
    assert [agenda.seconds_left(workers) for workers in (1, 2)] == [26.0, 14.0]


def test_the_time_that_is_left_is_unknown_before_a_stage_of_each_kind_is_finished() -> None:
    agenda = Agenda([stage("a"), stage("b", name="answer")], frozenset())
    assert agenda.seconds_left(2) is None
    assert started(agenda) == ["a", "b"]
    agenda.finish("a", 1.0)
    assert agenda.seconds_left(2) is None
    agenda.finish("b", 1.0)
    assert agenda.seconds_left(2) == 0.0
