"""The course of a run: numbers of stages, and how long the rest may take, from stages of the same kind."""

from __future__ import annotations

import pytest

from burnish.store.course import Course, PlannedStage, StagePosition


def planned(*stages: str, reused: dict[str, float] | None = None) -> list[PlannedStage]:
    """Return stages from "NAME: LABEL". The text is the fingerprint, and `reused` has the seconds of finished ones."""
    took = reused or {}
    made: list[PlannedStage] = []
    for stage in stages:
        name, _, label = stage.partition(": ")
        made.append(
            PlannedStage(fingerprint=stage, name=name, label=label, reused=stage in took, seconds=took.get(stage, 0.0))
        )
    return made


ROUNDS = ("train: seed 0 round 1", "judge: seed 0 round 1", "train: seed 0 round 2", "judge: seed 0 round 2")


def test_a_stage_is_numbered_by_its_place_in_the_plan() -> None:
    course = Course(planned("a: x", "b: y", "a: x", "c: z"))
    positions = [course.position(stage) for stage in ("a: x", "b: y", "c: z")]
    assert [(one.number, one.total) for one in positions if one] == [(1, 3), (2, 3), (3, 3)]
    assert course.position("d: not planned") is None
    course.finished("d: not planned", 3.0)  # such as a model that is trained after labels were taken back
    assert course.position("d: not planned") is None


def test_nothing_is_estimated_before_a_stage_of_each_kind_is_finished() -> None:
    course = Course(planned(*ROUNDS))
    assert course.position(ROUNDS[0]) == StagePosition(number=1, total=4, expected=None, rest=None)
    course.finished(ROUNDS[0], 100.0)
    assert course.position(ROUNDS[1]) == StagePosition(number=2, total=4, expected=None, rest=None)
    course.finished(ROUNDS[1], 7.0)
    assert course.position(ROUNDS[2]) == StagePosition(number=3, total=4, expected=100.0, rest=7.0)
    course.finished(ROUNDS[2], 50.0)
    assert course.position(ROUNDS[3]) == StagePosition(number=4, total=4, expected=7.0, rest=0)


def test_reused_stages_tell_how_long_others_take_and_their_mean_counts() -> None:
    course = Course(planned(*ROUNDS, "train: seed 1 round 1", reused={ROUNDS[0]: 10.0, ROUNDS[2]: 20.0}))
    position = course.position("train: seed 1 round 1")
    assert position is not None
    assert position.expected == 15.0
    assert position.rest is None  # no judgements are finished yet
    course.finished(ROUNDS[1], 1.0)
    assert course.position(ROUNDS[3]) == StagePosition(number=4, total=5, expected=1.0, rest=15.0)


def test_the_same_label_counts_before_the_same_name() -> None:
    """The weak supervisor is another model than the student, so it says less about the student's time."""
    course = Course(
        planned(
            "train: seed 0 weak",
            "train: seed 0 sft",
            "train: seed 1 sft",
            reused={"train: seed 0 weak": 9.0},
        )
    )
    expected = [course.position(f"train: seed {seed} sft") for seed in (0, 1)]
    assert [one.expected for one in expected if one] == [9.0, 9.0]
    course.finished("train: seed 0 sft", 4.0)
    course.finished("train: seed 0 sft", 1000.0)  # each stage counts once
    position = course.position("train: seed 1 sft")
    assert position is not None
    assert position.expected == 4.0


def test_the_rest_is_not_estimated_while_several_workers_share_it() -> None:
    course = Course(planned(*ROUNDS, reused={ROUNDS[0]: 10.0, ROUNDS[1]: 2.0}), shared=True)
    assert course.position(ROUNDS[2]) == StagePosition(number=3, total=4, expected=10.0, rest=None)


@pytest.mark.parametrize(
    ("expected", "rest", "elapsed", "of_stage", "left"),
    [
        (30.0, 600.0, 10.0, 80.0, 680.0),  # what the rows of the stage show counts before other stages
        (30.0, 600.0, 10.0, None, 620.0),
        (30.0, 600.0, 45.0, None, 600.0),  # it takes longer than others did: no less than nothing is left
        (None, 600.0, 10.0, None, None),
        (None, 600.0, 10.0, 5.0, 605.0),
        (30.0, None, 10.0, 5.0, None),
        (None, 0, 10.0, 5.0, 5.0),
    ],
)
def test_what_is_left_is_the_rest_of_the_stage_and_of_the_run(
    expected: float | None, rest: float | None, elapsed: float, of_stage: float | None, left: float | None
) -> None:
    assert StagePosition(number=1, total=2, expected=expected, rest=rest).left(elapsed, of_stage) == left


@pytest.mark.parametrize(
    ("reused", "said"),
    [({}, []), ({ROUNDS[0]: 1.0, ROUNDS[3]: 1.0}, ["2 of 4 stages are finished already and are reused"])],
)
def test_reused_stages_are_announced_in_one_line(reused: dict[str, float], said: list[str]) -> None:
    heard: list[str] = []
    Course(planned(*ROUNDS, reused=reused)).announce(heard.append)
    assert heard == said
