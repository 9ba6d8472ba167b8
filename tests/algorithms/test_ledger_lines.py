"""What a line of the ledger says of its comparison, by hand."""

from __future__ import annotations

import pytest

from burnish.algorithms.comparisons import combined, voted
from burnish.algorithms.ledger_lines import (
    confidence_counts,
    effects,
    mean_of_orders,
    p_b_of,
    right_calls,
    verdict_on,
)
from burnish.algorithms.preferences import Pair, ledger_line
from burnish.algorithms.refinement import ledger
from burnish.types import Demonstration, DemonstrationSource, Effect, Order, Preference, Reason, Refinement, Verdict

KEPT = Demonstration(example_id="x", completion="4", source=DemonstrationSource.GIVEN, producer="g", round=0)
PROPOSED = Demonstration(example_id="x", completion="5", source=DemonstrationSource.PROPOSAL, producer="m", round=1)


def line(reason: Reason, preference: Preference | None) -> Refinement:
    """A line of refinement: `chosen` is the proposal where it was accepted, else the label that was there."""
    preferences = {} if preference is None else {"x": preference}
    found = ledger({"x": KEPT}, {"x": PROPOSED}, preferences, {"x": reason}, round_number=1, annotator="judge")
    return next(found)


def trained(reason: Reason, preference: Preference) -> Refinement:
    """A line of preference optimisation: `chosen` is the preferred side where the pair was trained on, else empty."""
    return ledger_line(Pair(example_id="x", number=0, a=KEPT, b=PROPOSED), preference, reason, 1, "judge")


def seen(*p_b: float) -> Preference:
    """A preference of one judge with these P(b is better), in one order or in both."""
    shown = (Order.AB, Order.BA)[: len(p_b)]
    return combined("c", shown, [p if order is Order.AB else 1 - p for p, order in zip(p_b, shown, strict=True)], "j")


def test_the_probability_of_a_line_is_the_mean_of_the_orders_that_were_judged() -> None:
    assert mean_of_orders(0.25, 0.75) == 0.5
    assert mean_of_orders(0.25, None) == 0.25
    assert mean_of_orders(None, None) is None
    assert p_b_of(line(Reason.REJECTED, seen(0.25, 0.5))) == 0.375
    assert p_b_of(line(Reason.AGREED, None)) is None


def test_an_abstention_has_no_probability_though_one_order_was_judged() -> None:
    halfway = combined("c", (Order.AB, Order.BA), (0.75, None), "j")
    found = line(Reason.ABSTAINED, halfway)
    assert (found.p_b_ab, p_b_of(found), verdict_on(found)) == (0.75, None, Verdict.ABSTAIN)


@pytest.mark.parametrize(
    ("reason", "p_b", "verdict"),
    [
        (Reason.ACCEPTED, 0.75, Verdict.B),
        (Reason.OVER_CAP, 0.75, Verdict.B),
        (Reason.BELOW_GATE, 0.75, Verdict.B),
        (Reason.OVER_RISK, 0.75, Verdict.B),
        (Reason.REJECTED, 0.25, Verdict.A),
        (Reason.TIE, 0.5, Verdict.TIE),
        (Reason.ORDERS_DISAGREE, 0.6, Verdict.TIE),
        (Reason.AGREED, None, None),
        (Reason.INVALID, None, None),
        (Reason.NOT_COMPARED, None, None),
        (Reason.ACCEPTED, None, None),  # replaced at random, without feedback
    ],
)
def test_the_verdict_of_a_refinements_line(reason: Reason, p_b: float | None, verdict: Verdict | None) -> None:
    assert verdict_on(line(reason, None if p_b is None else seen(p_b))) is verdict


@pytest.mark.parametrize("reason", [Reason.ACCEPTED, Reason.OVER_CAP, Reason.BELOW_GATE])
@pytest.mark.parametrize(("p_b", "verdict"), [(0.75, Verdict.B), (0.25, Verdict.A)])
def test_preference_optimisation_may_prefer_either_side(reason: Reason, p_b: float, verdict: Verdict) -> None:
    assert verdict_on(trained(reason, seen(p_b, p_b))) is verdict


@pytest.mark.parametrize("reason", [Reason.ACCEPTED, Reason.OVER_CAP, Reason.BELOW_GATE])
def test_a_vote_counts_though_the_mean_probability_says_otherwise(reason: Reason) -> None:
    """Two voters lean to b, one is sure of a: two votes of three, while the mean of 0.6, 0.6 and 0.0 is 0.4."""
    vote = voted([seen(0.6), seen(0.6), seen(0.0)])
    assert vote.verdict is Verdict.B
    found = line(reason, vote)
    assert p_b_of(found) == pytest.approx(0.4)
    assert verdict_on(found) is Verdict.B
    assert right_calls([found], lambda _, side: side == PROPOSED.id) == (1, 1)


def test_a_tie_stays_a_tie_where_the_mean_of_its_orders_is_rounded() -> None:
    """0.1 and 0.9 turned back and averaged may miss 0.5 in the last digit."""
    uneven = combined("c", (Order.AB, Order.BA), (0.3, 0.3), "j")
    assert uneven.verdict is Verdict.TIE
    assert right_calls([line(Reason.TIE, uneven)], lambda _, side: side == PROPOSED.id) == (0, 0)


def test_only_decisive_pairs_are_counted_and_each_once() -> None:
    wrong, right = line(Reason.REJECTED, seen(0.25)), line(Reason.ACCEPTED, seen(0.75))
    proposed_is_right = {KEPT.id: False, PROPOSED.id: True}
    assert right_calls([right, right], lambda _, side: proposed_is_right[side]) == (1, 1)
    assert right_calls([wrong], lambda _, side: proposed_is_right[side]) == (0, 1)
    assert right_calls([right], lambda _, __: True) == (0, 0)
    assert right_calls([line(Reason.ABSTAINED, combined("c", (Order.AB,), (None,), "j"))], lambda _, __: True) == (0, 0)


def test_confidence_is_counted_in_ten_bins() -> None:
    """0.15 and 0.35 begin a bin although a float's quotient falls short of it; certainty is in the last one."""
    sure = [0.0, 0.049, 0.05, 0.15, 0.35, 0.499, 0.5]
    lines = [line(Reason.ACCEPTED, seen(0.5 + one)) for one in sure]
    assert confidence_counts([*lines, line(Reason.AGREED, None)]) == (2, 1, 0, 1, 0, 0, 0, 1, 0, 2)


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (False, True, Effect.WRONG_TO_RIGHT),
        (True, False, Effect.RIGHT_TO_WRONG),
        (False, False, Effect.WRONG_TO_WRONG),
        (True, True, Effect.RIGHT_TO_RIGHT),
    ],
)
def test_a_change_is_counted_by_what_it_did(before: bool, after: bool, effect: Effect) -> None:
    right = {KEPT.id: before, PROPOSED.id: after}
    changed = line(Reason.ACCEPTED, seen(0.75))
    left = [line(reason, seen(0.75)) for reason in (Reason.OVER_CAP, Reason.BELOW_GATE, Reason.OVER_RISK)]
    found = effects([changed, *left], lambda _, side: right[side])
    assert found == {one: int(one is effect) for one in Effect}


def test_a_pair_that_was_trained_on_for_its_old_side_changed_no_label() -> None:
    found = effects([trained(Reason.ACCEPTED, seen(0.25))], lambda _, side: side == PROPOSED.id)
    assert not any(found.values())
