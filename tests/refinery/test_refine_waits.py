"""`burnish refine --wait`: it says how people judge, and goes on by itself when their answers are there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from people_at_work import person, worked
from refinement import CAP, bytes_of, refine, right, rows, settings, written
from test_refine_with_study import answered_in_a_spreadsheet, truth

from burnish.config import RefineConfig
from burnish.config.study import StudyKind
from burnish.errors import Paused, PeopleAwaited
from burnish.people.mailbox import Mailbox
from burnish.people.study.beside import free_place, study_with
from burnish.people.study.folder import StudyFolder, new_study
from burnish.people.study.managing import set_state
from burnish.people.study.model import ItemRole, SentReply, ShownQuestion, StudyState
from burnish.people.study.schema import opened
from burnish.people.study.sittings import arrive, consent
from burnish.people.waiting import with_people


def config_of(where: Path, **options: int) -> RefineConfig:
    return settings(written(where), annotator="people", no_selftest=True, **options)


def come(study: StudyFolder, name: str, reply: Callable[[ShownQuestion], SentReply] = truth) -> bool:
    """Let a person answer in a study, and say whether there was a place."""
    rules = study.rules()
    with closing(opened(study.file)) as db:
        session = arrive(db, person(name), 0.0).session
        if session is None:
            return False
        assert consent(db, rules, session, 0.0) is None
        worked(db, rules, session, 0.0, reply)
    return True


class Meanwhile:
    """What happens while the refinement waits: one thing at a time, in place of each time that it sleeps."""

    def __init__(self, *things: Callable[[], object]) -> None:
        self.things, self.said = list(things), list[str]()

    def sleep(self, _: float) -> None:
        assert self.things, "it waits for ever"
        self.things.pop(0)()


@pytest.mark.slow
def test_it_goes_on_when_a_spreadsheet_is_imported(tmp_path: Path) -> None:
    out = tmp_path / "out"
    world = Meanwhile(lambda: None, lambda: answered_in_a_spreadsheet(out))
    found = with_people(lambda: refine(config_of(tmp_path, rounds=1), tmp_path), world.said.append, world.sleep)
    assert world.things == []
    assert found.labels() != [row["answer"] for row in rows()]
    assert world.said[0].startswith("waiting: ")
    assert f"  burnish study new {out}-study --from {out} --kind comparisons" in world.said
    assert world.said[-1] == "all pairs are judged; going on"


@pytest.mark.slow
def test_two_rounds_go_on_with_the_answers_of_studies(tmp_path: Path) -> None:
    """Each round has a study of its own."""
    out, studies = tmp_path / "out", list[StudyFolder]()

    def make() -> None:
        place = free_place(out)
        assert f"  burnish study serve {place}" in world.said
        studies.append(new_study(place, out, StudyKind.COMPARISONS))

    def rest() -> None:
        number = 0
        while come(studies[-1], f"{number}"):
            number += 1

    world = Meanwhile(make, rest, make, rest)
    found = with_people(lambda: refine(config_of(tmp_path), tmp_path), world.said.append, world.sleep)
    assert [study.path.name for study in studies] == ["out-study", "out-study-2"]
    assert sum("new annotations from" in line for line in world.said) == 2
    # The same as a person who is asked at each stop by hand.
    other = tmp_path / "by-hand"
    for _ in (1, 2):
        with pytest.raises(PeopleAwaited):
            refine(config_of(tmp_path), other)
        answered_in_a_spreadsheet(other / "out")
    assert refine(config_of(tmp_path), other).labels() == found.labels()


@pytest.mark.slow
@pytest.mark.parametrize(("sure", "better"), [(3, True), (1, False)])
def test_several_people_compare_each_pair_in_a_study_anywhere(tmp_path: Path, sure: int, better: bool) -> None:
    """Two people are right and one is surely wrong. The mean of all three counts.

    If the two are sure, they win, in whichever order each of them saw the pair. If they are not, they lose, although
    they are more."""
    out, rules = tmp_path / "out", tmp_path / "rules.yaml"
    rules.write_text("wanted: 3\nper_sitting: 50\n")
    studies: list[StudyFolder] = []

    def make() -> None:
        studies.append(new_study(tmp_path / "far" / "people", out, StudyKind.COMPARISONS, rules))
        assert study_with(out, Mailbox(out).unanswered()) == studies[0].path

    def says(question: ShownQuestion, value: int) -> SentReply:
        found = truth(question)
        work = question.role is ItemRole.WORK and found.value
        return SentReply(value=value * (1 if (found.value or 0) > 0 else -1)) if work else found

    def person_says(name: str, value: int) -> Callable[[], None]:
        def answer() -> None:
            assert Mailbox(out).said() == {}  # nothing is taken over before all three have answered
            assert come(studies[0], name, lambda one: says(one, value))

        return answer

    (tmp_path / "far").mkdir()
    world = Meanwhile(make, person_says("ann", sure), person_says("bob", -3), person_says("cy", sure))
    found = with_people(lambda: refine(config_of(tmp_path, rounds=1), tmp_path), world.said.append, world.sleep)
    assert world.things == []
    assert {len(by) for by in Mailbox(out).said().values()} == {3}
    changed = [
        right(row["question"], label)
        for row, label in zip(rows(), found.labels(), strict=True)
        if label != row["answer"]
    ]
    assert changed == [better] * CAP


@pytest.mark.slow
def test_a_study_is_used_when_nobody_works_on_it_any_more(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(PeopleAwaited) as stop:
        refine(config_of(tmp_path, rounds=1), tmp_path)
    assert stop.value.folder == out
    study = new_study(free_place(out), out, StudyKind.COMPARISONS)
    waiting = Mailbox(out).unanswered()
    assert study_with(out, waiting) == study.path

    def close() -> None:
        with closing(opened(study.file)) as db:
            set_state(db, StudyState.CLOSED, 0.0)

    def look() -> None:
        assert Mailbox(out).said() == {}

    def judge_the_rest() -> None:
        left = Mailbox(out).unanswered()
        assert 0 < len(left) < len(waiting)
        assert any("have no answer yet" in line for line in world.said)
        answered_in_a_spreadsheet(out)

    # A person finishes what is planned for one sitting, and the study is closed before the next one comes.
    small = study.rules().model_copy(update={"per_sitting": 3})

    def sitting() -> None:
        with closing(opened(study.file)) as db:
            session = arrive(db, person("ann"), 0.0).session
            assert session is not None
            assert consent(db, small, session, 0.0) is None
            worked(db, small, session, 0.0, truth)

    world = Meanwhile(sitting, look, close, judge_the_rest)
    with_people(lambda: refine(config_of(tmp_path, rounds=1), tmp_path), world.said.append, world.sleep)
    assert world.things == []


# Not marked slow: it is the one quick test of waiting with a refinement.
def test_an_interrupt_loses_nothing(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world = Meanwhile(interrupt)
    with pytest.raises(KeyboardInterrupt):
        with_people(lambda: refine(config_of(tmp_path, rounds=1), tmp_path), world.said.append, world.sleep)
    before = bytes_of(tmp_path / "out")
    with pytest.raises(PeopleAwaited):
        refine(config_of(tmp_path, rounds=1), tmp_path)
    assert bytes_of(tmp_path / "out") == before


def test_a_pause_for_a_budget_is_not_waited_for() -> None:
    def spent() -> None:
        raise Paused("9 calls are spent", "")

    with pytest.raises(Paused, match="9 calls are spent"):
        with_people(spent, print, lambda _: None)


@pytest.mark.slow
def test_a_study_that_waits_is_named_again(tmp_path: Path) -> None:
    """The second stop names the study that has the pairs, and makes no other one."""
    out = tmp_path / "out"
    with pytest.raises(PeopleAwaited):
        refine(config_of(tmp_path, rounds=1), tmp_path)
    place = free_place(out)
    new_study(place, out, StudyKind.COMPARISONS)
    with pytest.raises(PeopleAwaited) as stop:
        refine(config_of(tmp_path, rounds=1), tmp_path)
    assert "burnish study new" not in stop.value.ways
    assert f"burnish study serve {place}\nburnish study export {place} --into {out}" in stop.value.ways
