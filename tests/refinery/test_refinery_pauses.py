"""People as annotators and auditors: what waits for them, how a run goes on, and the bound on harm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from refinement import (
    CAP,
    COUNT,
    WRONG_LABELS,
    Refined,
    bytes_of,
    fake,
    label,
    refine,
    right,
    right_labels,
    rows,
    script,
    settings,
    written,
)

from burnish.annotators.people import PeopleAnnotator
from burnish.config import RefineConfig
from burnish.errors import Paused
from burnish.ledger.folder import LEDGER
from burnish.ledger.summary import State
from burnish.people.mailbox import Annotation, Ask, Mailbox, Purpose, Said
from burnish.store.stages import Store
from burnish.types import Comparison, Demonstration, DemonstrationSource, Example, Order, Reason

Opinion = Callable[[Ask], Said]
PEOPLE = {"annotator": "people"}


def truth(ask: Ask) -> Said:
    first, second = right(ask.request, ask.first), right(ask.request, ask.second)
    return Said.TIE if first == second else Said.FIRST if first else Said.SECOND


def harmful(ask: Ask) -> Said:
    """Say that the label before was better."""
    return Said.FIRST if ask.shown is Order.AB else Said.SECOND


def answered(out: Path, opinion: Opinion, by: str = "ann", asks: Iterable[Ask] | None = None) -> None:
    waiting = Mailbox(out).asked() if asks is None else asks
    Mailbox(out).answer([Annotation(id=ask.id, said=opinion(ask), by=by, shown=ask.shown) for ask in waiting])


def paused(config: RefineConfig, where: Path, **ways: Any) -> Paused:
    with pytest.raises(Paused) as caught:
        refine(config, where, **ways)
    return caught.value


def through(config: RefineConfig, where: Path, opinion: Opinion) -> Refined:
    """Answer whatever waits until the refinement is done."""
    for _ in range(10):
        try:
            return refine(config, where)
        except Paused:
            answered(where / "out", opinion)
    raise AssertionError("it never ends")


# --- comparisons by people


def test_a_run_waits_with_what_is_finished_and_with_commands(tmp_path: Path) -> None:
    config, out = settings(written(tmp_path), **PEOPLE), tmp_path / "out"
    stop = paused(config, tmp_path)
    waiting = Mailbox(out).asked()
    assert stop.message == f"{len(waiting)} of {len(waiting)} pairs wait for people (compare)"
    commands = stop.command.splitlines()
    assert commands[0] == f"burnish annotate export {out} --to pairs.csv"
    assert commands[2] == f"burnish annotate import {out} pairs.csv"
    assert commands[4:7] == [
        f"burnish study new {out}-study --from {out} --kind comparisons",
        f"burnish study serve {out}-study",
        f"burnish study export {out}-study --into {out}",
    ]
    found = Refined(out, tmp_path / "store")
    assert (found.summary.state, found.summary.rounds, found.summary.model) == (State.WAITING, (), None)
    assert found.rows == rows()
    assert not (out / LEDGER).exists()
    assert "This refinement is not finished" in (out / "report.html").read_text()


def test_what_waits_is_blinded_and_balanced(tmp_path: Path) -> None:
    config, out = settings(written(tmp_path), **PEOPLE), tmp_path / "out"
    paused(config, tmp_path)
    waiting = Mailbox(out).asked()
    labels = {row["id"]: label(i) for i, row in enumerate(rows())}
    questions = {row["id"]: row["question"] for row in rows()}
    assert len(waiting) > COUNT // 2
    for ask in waiting:
        assert ask.request == questions[ask.example_id]
        kept, other = (ask.first, ask.second) if ask.shown is Order.AB else (ask.second, ask.first)
        assert kept == labels[ask.example_id] != other
    swapped = sum(ask.shown is Order.BA for ask in waiting)
    assert len(waiting) / 3 < swapped < 2 * len(waiting) / 3
    assert len({ask.id for ask in waiting}) == len(waiting)
    raw = [orjson.loads(line) for line in (out / "waiting.jsonl").read_bytes().splitlines()]
    assert {tuple(ask) for ask in raw} == {tuple(Ask.__dataclass_fields__)}


@pytest.mark.slow
def test_the_same_call_goes_on_with_what_people_said(tmp_path: Path) -> None:
    config, out, units = settings(written(tmp_path), **PEOPLE), tmp_path / "out", list[str]()
    paused(config, tmp_path)
    first = Mailbox(out).asked()
    answered(out, truth, asks=first[:5])
    stop = paused(config, tmp_path, backend=fake(units.append))
    assert stop.message == f"{len(first) - 5} of {len(first)} pairs wait for people (compare)"
    assert Mailbox(out).asked() == first[5:]
    assert units == []
    answered(out, truth)
    stop = paused(config, tmp_path)
    found = Refined(out, tmp_path / "store")
    assert [one.round for one in found.summary.rounds] == [1]
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP
    ledger = (out / LEDGER).read_bytes()
    answered(out, truth)
    found = refine(config, tmp_path)
    assert found.summary.state is State.DONE
    assert Mailbox(out).asked() == []
    assert (out / LEDGER).read_bytes().startswith(ledger)
    assert right_labels(found) == COUNT - WRONG_LABELS + 2 * CAP
    assert {line.annotator for line in found.ledger if line.score is not None} == {"people"}
    shown = {ask.example_id: ask.shown for ask in first}
    for line in found.of_round(1):
        if line.score is not None:  # one order each, the other is unknown
            assert (line.p_b_ab is None, line.p_b_ba is None) == (
                shown[line.example_id] is Order.BA,
                shown[line.example_id] is Order.AB,
            )


@pytest.mark.slow
def test_stops_while_people_are_waited_for_change_no_byte(tmp_path: Path) -> None:
    config = settings(written(tmp_path), **PEOPLE)
    whole = through(config, tmp_path / "whole", truth)
    paused(config, tmp_path / "pieces")
    before = bytes_of(tmp_path / "pieces" / "out")
    paused(config, tmp_path / "pieces")
    assert bytes_of(tmp_path / "pieces" / "out") == before
    assert bytes_of(through(config, tmp_path / "pieces", truth).out) == bytes_of(whole.out)


def test_people_who_do_not_know_change_nothing(tmp_path: Path) -> None:
    found = through(settings(written(tmp_path), rounds=1, **PEOPLE), tmp_path, lambda _: Said.ABSTAIN)
    assert set(found.reasons(1)) == {Reason.AGREED, Reason.ABSTAINED}
    assert found.rows == rows()


def comparison(id_: str) -> Comparison:
    sides = [Demonstration(example_id=id_, completion=text, source=DemonstrationSource.GIVEN) for text in "ab"]
    return Comparison(example_id=id_, a=sides[0], b=sides[1])


@pytest.mark.parametrize(
    ("said", "p_b"),
    [
        (["b"], 1.0),
        (["b", "b", "a"], 2 / 3),
        (["b", "a"], 0.5),
        (["b", "tie"], 0.75),
        (["b", "abstain"], 1.0),
        (["abstain", "abstain"], None),
    ],
)
def test_several_people_vote(tmp_path: Path, said: list[str], p_b: float | None) -> None:
    mailbox, one = Mailbox(tmp_path), comparison("e")
    people = PeopleAnnotator(mailbox, Purpose.COMPARE, {"e": Example(id="e", group="", prompt=())}, 0)
    with pytest.raises(Paused):
        list(people.judge([one], set()))
    (ask,) = mailbox.asked()

    def opinion(word: str) -> Said:
        if word in "ab":
            return Said.FIRST if (ask.first == word) else Said.SECOND
        return Said(word)

    for number, word in enumerate(said):
        answered(tmp_path, lambda _: Said.TIE, f"person {number}", [ask])  # taken back: the last word counts
        answered(tmp_path, lambda _, word=word: opinion(word), f"person {number}", [ask])
    ((preference,),) = people.judge([one], set())
    assert preference.p_b == (None if p_b is None else pytest.approx(p_b))


def test_a_seed_shows_other_sides_first(tmp_path: Path) -> None:
    pairs = [comparison(str(i)) for i in range(40)]
    examples = {one.example_id: Example(id=one.example_id, group="", prompt=()) for one in pairs}
    orders: list[list[Order]] = []
    for seed in (0, 0, 1):
        with pytest.raises(Paused):
            list(PeopleAnnotator(Mailbox(tmp_path), Purpose.COMPARE, examples, seed).judge(pairs, set()))
        orders.append([ask.shown for ask in Mailbox(tmp_path).asked()])
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.slow
def test_graded_answers_pass_a_gate_and_come_in_their_order(tmp_path: Path) -> None:
    """A third of the right proposals each is preferred slightly, moderately and surely. Three labels may change."""
    config = settings(written(tmp_path), rounds=1, gate=0.83, **(PEOPLE | {"alpha": 3 / COUNT}))
    paused(config, tmp_path)
    waiting = Mailbox(tmp_path / "out").asked()
    grades = {ask.id: number % 3 + 1 for number, ask in enumerate(sorted(waiting, key=lambda ask: ask.example_id))}
    Mailbox(tmp_path / "out").answer(
        [
            Annotation(id=ask.id, said=truth(ask), by="ann", shown=ask.shown, confidence=grades[ask.id] / 3)
            for ask in waiting
        ]
    )
    found = refine(config, tmp_path)
    of_row = {ask.example_id: grades[ask.id] for ask in waiting}
    chosen = {
        reason: sorted(of_row[line.example_id] for line in found.ledger if line.reason is reason)
        for reason in (Reason.ACCEPTED, Reason.OVER_CAP, Reason.BELOW_GATE)
    }
    assert len(chosen[Reason.ACCEPTED]) == 3
    assert set(chosen[Reason.BELOW_GATE]) == {1}
    # Nothing that is over the cap is surer than what was accepted.
    assert max(chosen[Reason.OVER_CAP]) <= min(chosen[Reason.ACCEPTED])
    assert 1 not in chosen[Reason.ACCEPTED]


@pytest.mark.slow
def test_people_are_asked_last_of_a_majority(tmp_path: Path) -> None:
    program = script(tmp_path, "first.py", "for row in rows: say(row['id'], verdict='tie')")
    of = [{"kind": "people"}, {"kind": "command", "command": program}]
    config = settings(written(tmp_path), annotator={"kind": "majority", "of": of}, rounds=1)
    paused(config, tmp_path)
    assert [done.payload["config"]["kind"] for done in Store(tmp_path / "store").every("judge")] == ["command"]
    answered(tmp_path / "out", truth)
    found = refine(config, tmp_path)
    accepted = [line for line in found.ledger if line.reason is Reason.ACCEPTED]
    assert len(accepted) == CAP
    assert {line.score for line in accepted} == {0.25}  # half a vote and a whole one of two: 0.75
