"""Judgements become preferences: orders, ties, abstentions, aggregation, the difference filter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms.comparisons import (
    answer_of,
    both_orders,
    combined,
    confidence,
    from_difference,
    majority,
    screen,
)
from burnish.types import (
    Answer,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Message,
    Order,
    Preference,
    Reason,
    Role,
    Verdict,
)

BOTH = (Order.AB, Order.BA)
PROBABILITY = st.floats(0, 1)


def demonstration(text: str, finished: bool = True) -> Demonstration:
    return Demonstration(example_id="e", completion=text, source=DemonstrationSource.WEAK, finished=finished)


def preferred(p_b: float | None, judge: str = "j") -> Preference:
    return combined("c", (Order.AB,), (p_b,), judge)


def test_a_judge_that_sees_b_as_better_in_both_orders_says_b():
    # ab: B is second, .8; ba: B is first, 1 - .3 = .7; mean .75
    preference = combined("c", BOTH, (0.8, 0.3), "judge")
    assert preference.verdict is Verdict.B
    assert preference.p_b == pytest.approx(0.75)
    assert confidence(preference) == pytest.approx(0.25)
    assert preference.raw == (0.8, 0.3)
    assert preference.shown == BOTH
    assert preference.judge == "judge"


def test_a_position_blind_judge_without_opinion_scores_one_half():
    assert combined("c", BOTH, (0.5, 0.5), "j").p_b == 0.5


@given(PROBABILITY)
def test_a_position_biased_judge_cannot_win(p: float):
    preference = combined("c", BOTH, (p, p), "j")
    assert preference.verdict is Verdict.TIE
    assert preference.p_b == 0.5
    assert confidence(preference) == 0.0


@given(PROBABILITY, PROBABILITY)
def test_swapping_the_sides_swaps_the_verdict(ab: float, ba: float):
    # The same judge on (b, a): what was shown as ab is now shown as ba.
    one, other = combined("c", BOTH, (ab, ba), "j"), combined("c", BOTH, (ba, ab), "j")
    assert one.p_b is not None
    assert other.p_b is not None
    assert one.p_b + other.p_b == pytest.approx(1.0)
    swapped = {Verdict.A: Verdict.B, Verdict.B: Verdict.A, Verdict.TIE: Verdict.TIE}
    assert other.verdict is swapped[one.verdict]


@pytest.mark.parametrize(("shown", "p"), [((), ()), (BOTH, (None, None)), (BOTH, (0.9, None)), (BOTH, (None, 0.9))])
def test_a_missing_judgement_abstains(shown: tuple[Order, ...], p: tuple[float | None, ...]):
    preference = combined("c", shown, p, "j")
    assert preference.verdict is Verdict.ABSTAIN
    assert preference.p_b is None
    assert confidence(preference) is None
    assert len(preference.raw) == len(preference.shown) == sum(one is not None for one in p)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(p: float):
    with pytest.raises(AssertionError, match="some-judge"):
        combined("c", (Order.AB,), (p,), "some-judge")


def test_one_order_shown_twice_is_refused():
    with pytest.raises(AssertionError):
        combined("c", (Order.AB, Order.AB), (0.5, 0.5), "j")


def test_a_difference_of_scores_goes_through_the_sigmoid():
    assert from_difference("c", 0.0, "j").verdict is Verdict.TIE
    assert from_difference("c", 1e-13, "j").verdict is Verdict.TIE  # rounding, not an opinion
    assert from_difference("c", math.log(3), "j").p_b == pytest.approx(0.75)
    assert from_difference("c", -math.log(3), "j").verdict is Verdict.A
    assert from_difference("c", 1e6, "j").p_b == 1.0
    assert from_difference("c", -1e6, "j").p_b == 0.0
    assert from_difference("c", 1.0, "j").shown == (Order.AB,)
    with pytest.raises(AssertionError):
        from_difference("c", math.nan, "j")


def test_majority_is_the_mean_of_those_who_judge():
    preference = majority([preferred(0.9, "y"), preferred(None, "z"), preferred(0.2, "x"), preferred(0.7, "y")])
    assert preference.p_b == pytest.approx(0.6)
    assert preference.verdict is Verdict.B
    assert preference.judge == "x+y"
    assert preference.raw == (0.9, 0.2, 0.7)


def test_majority_of_abstentions_abstains():
    assert majority([preferred(None), preferred(None)]).verdict is Verdict.ABSTAIN


def test_majority_refuses_several_comparisons():
    with pytest.raises(AssertionError):
        majority([combined("c", (), (), "j"), combined("d", (), (), "j")])


def test_both_orders_show_each_side_second_once():
    comparison = Comparison(example_id="e", a=demonstration("kept"), b=demonstration("proposed"))
    prompt = (Message(role=Role.USER, content="?"),)
    ab, ba = both_orders(comparison, prompt)
    assert (ab.first, ab.second, ba.first, ba.second) == ("kept", "proposed", "proposed", "kept")
    assert (ab.id, ba.id) == (f"{comparison.id}:ab", f"{comparison.id}:ba")
    assert ab.prompt == ba.prompt == prompt


class Digits:
    """The answer is a text of digits; two are the same if their numbers are."""

    def extract(self, completion: str) -> Answer | None:
        return Answer(text=completion) if completion.isdigit() else None

    def agree(self, a: Answer, b: Answer) -> bool:
        return int(a.text) == int(b.text)


@pytest.mark.parametrize(
    ("text", "finished", "answer"), [("7", True, "7"), ("7", False, None), ("none", True, None), ("none", False, None)]
)
def test_an_answer_that_was_cut_is_none(text: str, finished: bool, answer: str | None):
    found = answer_of(Digits(), demonstration(text, finished))
    assert (found.text if found else None) == answer


@pytest.mark.parametrize(
    ("current", "proposal", "finished", "reason"),
    [
        ("7", "07", True, Reason.AGREED),
        ("7", "8", True, None),
        ("7", "none", True, Reason.INVALID),
        ("7", "8", False, Reason.INVALID),
        ("none", "8", True, None),
        ("none", "none", True, Reason.INVALID),
    ],
)
def test_only_proposals_with_another_answer_are_compared(
    current: str, proposal: str, finished: bool, reason: Reason | None
):
    assert screen(Digits(), demonstration(current), demonstration(proposal, finished)) is reason


def test_a_label_that_was_cut_differs_from_every_proposal():
    cut, whole = demonstration("7", finished=False), demonstration("7")
    assert screen(Digits(), cut, whole) is None
    assert screen(Digits(), whole, whole) is Reason.AGREED
