"""A tournament by hand: who competes, how many comparisons that takes, who wins; and what is removed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from burnish.algorithms.comparisons import combined
from burnish.algorithms.tournaments import Contenders, brackets, champion, contenders
from burnish.methods.robustft import sureness
from burnish.protocols import Score
from burnish.steps.leaving import removed
from burnish.tasks.numbers import NumericAnswers
from burnish.types import Accept, Comparison, Demonstration, DemonstrationSource, Order, Preference, Reason, Refinement


def answer(text: str, sample: int = 0, row: str = "e") -> Demonstration:
    """Return an answer; one that ends in ~ has no end."""
    source = DemonstrationSource.PROPOSAL
    return Demonstration(example_id=row, completion=text, source=source, finished=not text.endswith("~"), sample=sample)


def answers(*texts: str, row: str = "e") -> list[Demonstration]:
    return [answer(text, sample, row) for sample, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("label", "texts", "differing", "agreeing", "proposal"),
    [
        ("4", ["5", "so 4", "6", "it is 6"], ["6", "5"], "so 4", "6"),  # the most frequent first
        ("4", ["so 4", "4.0"], [], "so 4", "so 4"),
        ("4", ["7~", "dunno", "5"], ["5"], None, "5"),
        ("4", ["dunno", "7~"], [], None, "dunno"),
        ("none", ["5", "4", "4"], ["4", "5"], None, "4"),  # a label without an answer differs from every answer
    ],
)
def test_who_can_take_a_labels_place(
    label: str, texts: list[str], differing: list[str], agreeing: str | None, proposal: str
) -> None:
    found = contenders(NumericAnswers(), answer(label), answers(*texts))
    assert [one.completion for one in found.differing] == differing
    assert (found.agreeing.completion if found.agreeing else None) == agreeing
    assert found.proposal.completion == proposal


@pytest.mark.parametrize(
    ("texts", "confirmed"),
    [(["5", "4", "4"], True), (["4", "5"], True), (["5", "4"], False), (["5", "5", "4"], False), (["dunno"], False)],
)
def test_a_label_is_confirmed_by_the_most_frequent_answer(texts: list[str], confirmed: bool) -> None:
    found = contenders(NumericAnswers(), answer("4"), answers(*texts))
    assert found.confirmed is confirmed
    (bracket,) = brackets({"e": found}, 3, None, 0, 1)
    assert (bracket.reason is Reason.AGREED, bracket.challengers == ()) == (confirmed, confirmed or texts == ["dunno"])


def row(count: int, agreeing: bool, name: str) -> Contenders:
    given = answers("so 4", row=name)[0]
    different = tuple(answers(*map(str, range(5, 5 + count)), row=name))
    return Contenders(
        differing=different, agreeing=given if agreeing else None, confirmed=agreeing and not count, first=given
    )


ROWS = {
    "a": row(3, True, "a"),
    "b": row(0, True, "b"),
    "c": row(1, False, "c"),
    "d": row(5, False, "d"),
    "e": row(0, False, "e"),
}


def test_a_row_takes_as_many_comparisons_as_it_has_challengers() -> None:
    found = {one.example_id: one for one in brackets(ROWS, 3, None, 0, 1)}
    assert {id_: len(one.challengers) for id_, one in found.items()} == {"a": 3, "b": 0, "c": 1, "d": 3, "e": 0}
    assert {id_: one.reason for id_, one in found.items()} == {
        "a": None,
        "b": Reason.AGREED,
        "c": None,
        "d": None,
        "e": Reason.INVALID,
    }
    assert [one.completion for one in found["d"].challengers] == ["5", "6", "7"]


@pytest.mark.parametrize("limit", range(9))
def test_a_budget_is_used_up_and_never_exceeded(limit: int) -> None:
    found = {one.example_id: one for one in brackets(ROWS, 3, limit, 0, 1)}
    used = {id_: len(one.challengers) for id_, one in found.items()}
    assert sum(used.values()) == min(limit, 7)
    # At most one row has fewer than it could use and still has some.
    wanted = {"a": 3, "b": 0, "c": 1, "d": 3, "e": 0}
    assert sum(0 < used[id_] < wanted[id_] for id_ in wanted) <= 1
    for id_ in ("a", "c", "d"):
        assert (found[id_].reason is Reason.NOT_COMPARED) == (used[id_] == 0)


def test_which_rows_are_served_changes_with_seed_and_round() -> None:
    many = {str(number): row(1, False, str(number)) for number in range(40)}
    served = {
        frozenset(one.example_id for one in brackets(many, 1, 10, seed, number) if one.challengers)
        for seed in (0, 1)
        for number in (1, 2)
    }
    assert len(served) == 4
    assert {len(ids) for ids in served} == {10}


def judged_by(
    strength: dict[str, float], bias: float = 0.0
) -> tuple[list[Comparison], Callable[[Comparison], Preference]]:
    """Return what was asked, and a judge that prefers the stronger answer; `bias` favours the second one shown."""
    asked: list[Comparison] = []

    def judge(comparison: Comparison) -> Preference:
        asked.append(comparison)
        a, b = strength[comparison.a.completion], strength[comparison.b.completion]
        shown = (min(1.0, 0.5 + b - a + bias), min(1.0, 0.5 + a - b + bias))
        return combined(comparison.id, (Order.AB, Order.BA), shown, "j")

    return asked, judge


@pytest.mark.parametrize(
    ("strength", "winner"),
    [
        ({"1": 0.3, "2": 0.4, "3": 0.1}, "2"),
        ({"1": 0.3, "2": 0.3, "3": 0.3}, "1"),  # a tie keeps the winner so far
        ({"1": 0.1, "2": 0.2, "3": 0.3}, "3"),
    ],
)
def test_the_winner_so_far_meets_the_next(strength: dict[str, float], winner: str) -> None:
    asked, judge = judged_by(strength)
    assert champion(answers("1", "2", "3"), judge).completion == winner
    assert [one.b.completion for one in asked] == ["2", "3"]


def test_both_orders_must_prefer_the_challenger_where_the_rule_says_so() -> None:
    strength = {"1": 0.3, "2": 0.4}
    for bias, accept, winner in (
        (0.2, Accept.MEAN, "2"),
        (0.2, Accept.BOTH_ORDERS, "1"),  # each order prefers what it shows second
        (0.0, Accept.BOTH_ORDERS, "2"),
    ):
        _, judge = judged_by(strength, bias)
        assert champion(answers("1", "2"), judge, accept).completion == winner


def test_an_abstention_keeps_the_winner_so_far_and_one_challenger_needs_no_judge() -> None:
    def abstains(comparison: Comparison) -> Preference:
        return combined(comparison.id, (Order.AB,), (None,), "j")

    assert champion(answers("1", "2"), abstains).completion == "1"
    _, nobody = judged_by({})
    assert champion(answers("1"), nobody).completion == "1"


def test_sureness_falls_with_the_entropy_of_a_token() -> None:
    def of(value: float, tokens: int) -> float:
        return sureness(Score(id="e", value=value, tokens=tokens))

    assert of(0.0, 3) == 1.0
    assert of(-2.0, 2) == pytest.approx((1 + 0.36787944117) / 2)
    assert of(-2.0, 4) > of(-2.0, 2) > of(-8.0, 2) > 0.5


def test_only_what_would_be_replaced_is_removed() -> None:
    def line(reason: Reason) -> Refinement:
        return Refinement(
            example_id="e",
            round=1,
            kept="k",
            proposed="p",
            chosen="p" if reason is Reason.ACCEPTED else "k",
            score=0.2,
            p_b_ab=0.7,
            p_b_ba=None,
            annotator="j",
            model="m",
            reason=reason,
        )

    gone = removed(line(Reason.ACCEPTED))
    assert (gone.reason, gone.chosen, gone.score) == (Reason.REMOVED, "", 0.2)
    for reason in set(Reason) - {Reason.ACCEPTED}:
        assert removed(line(reason)) == line(reason)
