"""The rule of acceptance: the mean of two orders, or only what both orders prefer; the gate; votes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from burnish.algorithms.comparisons import combined, orders_of, voted
from burnish.algorithms.preferences import Pair, most_confident
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import Acceptance, select
from burnish.config import DpoMethod
from burnish.types import Accept, Demonstration, DemonstrationSource, Order, Preference, Reason, Verdict

BOTH = Acceptance(accept=Accept.BOTH_ORDERS)


def judged(ab: float | None, ba: float | None, name: str = "a") -> Preference:
    """A judgement from P(the proposal is better) in each order, as it would be without any bias."""
    return combined(name, tuple(Order), (ab, None if ba is None else 1 - ba), "j")


def candidate(preference: Preference) -> Candidate:
    return Candidate(
        example_id=preference.comparison_id,
        screened=None,
        verdict=preference.verdict,
        p_b=preference.p_b,
        orders=orders_of(preference),
    )


def reason(preference: Preference, rule: Acceptance) -> Reason:
    (found,) = select([candidate(preference)], 1.0, 1, rule=rule)
    return found


@pytest.mark.parametrize(
    ("ab", "ba", "mean", "both"),
    [
        # A real small judge that answers "A" twelve times: a hair above one half.
        (0.119, 0.8814, Reason.ACCEPTED, Reason.ORDERS_DISAGREE),
        (0.8814, 0.119, Reason.ACCEPTED, Reason.ORDERS_DISAGREE),
        (0.119, 0.8806, Reason.REJECTED, Reason.ORDERS_DISAGREE),
        (0.7, 0.6, Reason.ACCEPTED, Reason.ACCEPTED),
        (0.3, 0.4, Reason.REJECTED, Reason.REJECTED),
        (0.5, 0.9, Reason.ACCEPTED, Reason.TIE),
        (0.9, 0.5, Reason.ACCEPTED, Reason.TIE),
        (0.5, 0.5, Reason.TIE, Reason.TIE),
        (None, 0.9, Reason.ABSTAINED, Reason.ABSTAINED),
        (0.9, None, Reason.ABSTAINED, Reason.ABSTAINED),
    ],
)
def test_what_two_orders_come_to(ab: float | None, ba: float | None, mean: Reason, both: Reason) -> None:
    assert reason(judged(ab, ba), Acceptance()) is mean
    assert reason(judged(ab, ba), BOTH) is both


@pytest.mark.parametrize("order", list(Order))
def test_who_is_asked_once_is_judged_by_the_one_answer(order: Order) -> None:
    p_second = 0.51 if order is Order.AB else 0.49
    assert reason(combined("a", (order,), (p_second,), "j"), BOTH) is Reason.ACCEPTED
    oracle = Preference(comparison_id="a", shown=(Order.AB,), verdict=Verdict.B, p_b=1.0, judge="oracle")
    assert reason(oracle, BOTH) is Reason.ACCEPTED


@pytest.mark.parametrize("accept", list(Accept))
def test_the_gate_is_the_least_probability_that_is_accepted(accept: Accept) -> None:
    rule = Acceptance(accept=accept, gate=0.625)
    assert reason(judged(0.75, 0.5625), rule) is Reason.ACCEPTED  # their mean is above the gate
    assert reason(judged(0.625, 0.625), rule) is Reason.ACCEPTED  # the gate itself is enough
    assert reason(judged(0.625, 0.5625), rule) is Reason.BELOW_GATE


def test_the_cap_is_filled_with_what_both_orders_prefer() -> None:
    """One of two may change. The bias of "c" is the surest by its mean, and is no candidate at all."""
    preferences = [judged(0.6, 0.6, "a"), judged(0.7, 0.7, "b"), judged(1.0, 0.45, "c")]
    candidates = [candidate(one) for one in preferences]
    assert select(candidates, 1 / 3, 3) == [Reason.OVER_CAP, Reason.OVER_CAP, Reason.ACCEPTED]
    assert select(candidates, 1 / 3, 3, rule=BOTH) == [Reason.OVER_CAP, Reason.ACCEPTED, Reason.ORDERS_DISAGREE]


def demonstration(text: str) -> Demonstration:
    return Demonstration(example_id="e", completion=text, source=DemonstrationSource.PROPOSAL)


@pytest.mark.parametrize("preferred", ["a", "b"])
def test_pairs_of_preference_optimisation_keep_the_same_rule(preferred: str) -> None:
    def seen(p: float) -> float:
        return p if preferred == "b" else 1 - p

    pairs = [Pair(example_id="e", number=n, a=demonstration(f"a{n}"), b=demonstration(f"b{n}")) for n in range(3)]
    agree, split, weak = (pair.comparison.id for pair in pairs)
    preferences = {
        agree: judged(seen(0.8), seen(0.7), agree),
        split: judged(seen(0.99), seen(0.45), split),
        weak: judged(seen(0.55), seen(0.56), weak),
    }
    found = most_confident(pairs, preferences, 1.0, 3, rule=Acceptance(accept=Accept.BOTH_ORDERS, gate=0.6))
    assert found == [Reason.ACCEPTED, Reason.ORDERS_DISAGREE, Reason.BELOW_GATE]
    assert most_confident(pairs, preferences, 1.0, 3) == [Reason.ACCEPTED] * 3


def test_a_voter_whose_orders_disagree_votes_for_a_tie() -> None:
    biased, sure = judged(0.119, 0.8814), judged(0.9, 0.8)
    against = judged(0.2, 0.3)
    assert voted([biased, sure]).p_b == 1.0  # both means are above one half
    assert voted([biased, sure], Accept.BOTH_ORDERS).p_b == 0.75
    assert voted([biased, against], Accept.BOTH_ORDERS).p_b == 0.25
    assert reason(voted([biased, sure, against], Accept.BOTH_ORDERS), BOTH) is Reason.TIE
    assert reason(voted([sure, sure, against], Accept.BOTH_ORDERS), BOTH) is Reason.ACCEPTED


@pytest.mark.parametrize("value", [1, 2, 3])
@pytest.mark.parametrize("gate", [0.83, 5 / 6, 0.5 + 1 / 3, "5/6"])
def test_what_people_prefer_moderately_passes_the_gate_of_the_paper(value: int, gate: float | str) -> None:
    """Section 6: only what is preferred at least moderately, 2 of 3, may be accepted. Both ways to compute p agree."""
    rule = Acceptance(gate=DpoMethod.model_validate({"kind": "dpo", "gate": gate}).gate)
    for p_b in ((value + 3) / 6, 0.5 + 0.5 * (value / 3)):
        assert reason(judged(p_b, p_b), rule) is (Reason.ACCEPTED if value >= 2 else Reason.BELOW_GATE)


@pytest.mark.parametrize("gate", ["5/4", "1/0", "5/", "1/6", "five"])
def test_a_gate_that_is_no_probability_from_one_half_on(gate: str) -> None:
    with pytest.raises(ValidationError, match="gate"):
        DpoMethod.model_validate({"kind": "dpo", "gate": gate})
