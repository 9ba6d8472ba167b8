"""Ledger and updated labels: what they must agree on, and a round of twelve examples worked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms import refinement as algorithm
from burnish.algorithms.caps import cap
from burnish.algorithms.comparisons import combined, from_difference, majority, screen
from burnish.store import files as store
from burnish.types import Answer, Demonstration, DemonstrationSource, Order, Preference, Reason, Refinement, Verdict

BOTH = (Order.AB, Order.BA)
GOLDEN = Path(__file__).parents[1] / "golden" / "round_of_12.json"


def weak(example_id: str, text: str) -> Demonstration:
    return Demonstration(example_id=example_id, completion=text, source=DemonstrationSource.WEAK, producer="w")


def proposal(example_id: str, text: str, finished: bool = True) -> Demonstration:
    return Demonstration(
        example_id=example_id,
        completion=text,
        source=DemonstrationSource.PROPOSAL,
        producer="m",
        round=1,
        finished=finished,
    )


def one_line(preference: Preference | None, reason: Reason) -> Refinement:
    kept, proposed = [weak("e", "a")], [proposal("e", "b")]
    ((line, _),) = algorithm.updated(kept, proposed, [preference], [reason], round_number=1, annotator="q")
    return line


@given(st.lists(st.sampled_from(Reason), max_size=20))
def test_the_dataset_can_be_recomputed_from_the_ledger(drawn: list[Reason]):
    reasons = {f"e{i:02d}": reason for i, reason in enumerate(drawn)}
    current = {name: weak(name, "kept") for name in reasons}
    proposals = {name: proposal(name, "new") for name in reasons}
    nobody = [None] * len(reasons)
    sides = (current.values(), proposals.values(), nobody, drawn)
    found = list(algorithm.updated(*sides, round_number=1, annotator="q"))
    assert [line.example_id for line, _ in found] == list(current)
    assert [line.chosen for line, _ in found] == [row.id for _, row in found]
    for line, row in found:
        changed = reasons[line.example_id] is Reason.ACCEPTED
        assert row is (proposals if changed else current)[line.example_id]
        assert (line.kept, line.proposed) == (current[line.example_id].id, proposals[line.example_id].id)


def test_a_compared_line_has_both_orders_turned_back():
    line = one_line(combined("c", BOTH, (0.75, 0.25), "j"), Reason.ACCEPTED)
    assert (line.p_b_ab, line.p_b_ba, line.score, line.annotator, line.model) == (0.75, 0.75, 0.25, "q", "m")


def test_orders_may_come_the_other_way_round():
    line = one_line(combined("c", (Order.BA, Order.AB), (0.25, 1.0), "j"), Reason.ACCEPTED)
    assert (line.p_b_ab, line.p_b_ba) == (1.0, 0.75)


def test_a_line_that_was_not_compared_names_no_annotator():
    line = one_line(None, Reason.AGREED)
    assert (line.p_b_ab, line.p_b_ba, line.score, line.annotator, line.model) == (None, None, None, "", "m")


def test_an_order_free_annotator_fills_the_first_order_alone():
    oracle = Preference(comparison_id="c", shown=(), verdict=Verdict.B, p_b=1.0, judge="oracle")
    for preference in (oracle, from_difference("c", 1e9, "likelihood")):
        line = one_line(preference, Reason.ACCEPTED)
        assert (line.p_b_ab, line.p_b_ba, line.score) == (1.0, None, 0.5)


def test_several_judges_are_averaged_order_by_order():
    judges = [combined("c", BOTH, p, "j") for p in ((1.0, 0.5), (0.5, 0.0))]
    line = one_line(majority(judges), Reason.ACCEPTED)
    assert (line.p_b_ab, line.p_b_ba, line.score) == (0.75, 0.75, 0.25)


def test_a_row_without_proposal_or_under_a_wrong_id_is_refused():
    kept, tie = [weak("e", "a")], [Reason.TIE]
    with pytest.raises(ValueError, match="shorter"):
        list(algorithm.updated(kept, [], [None], tie, round_number=1, annotator="q"))
    with pytest.raises(AssertionError):
        list(algorithm.updated(kept, [proposal("f", "b")], [None], tie, round_number=1, annotator="q"))


class Marked:
    """The answer is what stands after the last #."""

    def extract(self, completion: str) -> Answer | None:
        _, mark, text = completion.rpartition("#")
        return Answer(text=text) if mark else None

    def agree(self, a: Answer, b: Answer) -> bool:
        return a.text == b.text


def test_the_round_worked_by_hand(tmp_path: Path):
    golden: dict[str, Any] = json.loads(GOLDEN.read_text())
    rows: list[dict[str, Any]] = golden["rows"]
    current = {row["id"]: weak(row["id"], row["current"]) for row in rows}
    proposals = {row["id"]: proposal(row["id"], row["proposal"], row["finished"]) for row in rows}
    screened = {name: screen(Marked(), current[name], proposals[name]) for name in current}
    preferences = {
        row["id"]: combined(row["id"], BOTH, row["p_second"], "j") for row in rows if screened[row["id"]] is None
    }
    assert {row["id"] for row in rows if row["p_second"]} == set(preferences)
    candidates = [
        algorithm.Candidate(
            example_id=name,
            screened=reason,
            verdict=preferences[name].verdict if reason is None else None,
            p_b=preferences[name].p_b if reason is None else None,
        )
        for name, reason in screened.items()
    ]
    assert cap(golden["alpha"], len(rows)) == golden["cap"]
    reasons = algorithm.select(candidates, golden["alpha"], len(rows))
    sides = (current.values(), proposals.values(), map(preferences.get, current), reasons)
    lines, updated = zip(*algorithm.updated(*sides, round_number=1, annotator="q"), strict=True)
    assert store.write_rows(tmp_path / "ledger.jsonl", lines) == 12
    written = store.read_rows(tmp_path / "ledger.jsonl", Refinement)
    for row, line, chosen in zip(rows, written, updated, strict=True):
        name = row["id"]
        assert line.reason == row["reason"], name
        assert line.score == (None if row["score"] is None else pytest.approx(row["score"])), name
        assert chosen is (current if row["chosen"] == "current" else proposals)[name], name
        assert line.chosen == chosen.id, name
        if name in preferences:
            p_b = preferences[name].p_b
            assert p_b == (None if row["p_b"] is None else pytest.approx(row["p_b"])), name
    given_reasons = {row["reason"] for row in rows}
    elsewhere = {
        Reason.NOT_COMPARED,
        Reason.ORDERS_DISAGREE,
        Reason.BELOW_GATE,
        Reason.DISTRUSTED,
        Reason.STOPPED,
        Reason.OVER_RISK,
        Reason.REVERTED,
        Reason.REMOVED,
    }
    assert given_reasons == set(Reason) - elsewhere
