"""People as annotators: how sure they are moves the probability, and others who agree move it further."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.algorithms.comparisons import agreed, orders_of, tie_rank
from burnish.algorithms.preferences import Pair, most_confident
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import Acceptance, select
from burnish.annotators.people import PeopleAnnotator
from burnish.people.mailbox import Annotation, Mailbox, Purpose, Said
from burnish.types import (
    Accept,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Order,
    Preference,
    Reason,
    Role,
    Verdict,
)


def demonstration(text: str) -> Demonstration:
    return Demonstration(example_id="e", completion=text, source=DemonstrationSource.PROPOSAL)


PAIR = Comparison(example_id="e", a=demonstration("a"), b=demonstration("b"))
EXAMPLES = {"e": Example(id="e", group="g", prompt=(Message(role=Role.USER, content="q"),))}


@pytest.mark.parametrize(
    ("verdicts", "p_b"),
    [
        ([(Said.SECOND, None)], 1.0),
        ([(Said.SECOND, 1.0)], 1.0),
        ([(Said.SECOND, 0.6)], 0.8),
        ([(Said.FIRST, 0.6)], 0.2),
        ([(Said.SECOND, 0.0)], 0.5),
        ([(Said.TIE, 0.9)], 0.5),
        ([(Said.ABSTAIN, 0.9)], None),
        ([(Said.SECOND, 0.6), (Said.SECOND, 0.2)], 0.7),
        ([(Said.SECOND, 0.6), (Said.FIRST, 0.6)], 0.5),
        ([(Said.SECOND, 0.6), (Said.SECOND, None)], 0.9),
        ([(Said.SECOND, None), (Said.SECOND, None), (Said.FIRST, None)], 2 / 3),
    ],
)
def test_what_people_come_to(tmp_path: Path, verdicts: list[tuple[Said, float | None]], p_b: float | None) -> None:
    mailbox = Mailbox(tmp_path)
    mailbox.answer(
        [
            Annotation(id=f"compare-{PAIR.id}", said=said, by=f"p{n}", shown=Order.AB, confidence=confidence)
            for n, (said, confidence) in enumerate(verdicts)
        ]
    )
    ((preference,),) = PeopleAnnotator(mailbox, Purpose.COMPARE, EXAMPLES, 0).judge([PAIR], set())
    assert preference.p_b == (None if p_b is None else pytest.approx(p_b))


@pytest.mark.parametrize("shown", [(Order.AB, Order.AB, Order.BA), (Order.BA, Order.AB, Order.AB), (Order.BA,) * 3])
@pytest.mark.parametrize("confidence", [0.6, None])
def test_most_people_win_in_whichever_order_each_of_them_saw_the_pair(
    tmp_path: Path, shown: tuple[Order, ...], confidence: float | None
) -> None:
    """Two prefer b and one prefers a. No two orders disagree, because each person saw only one of them."""
    mailbox = Mailbox(tmp_path)
    for n, (order, better) in enumerate(zip(shown, (Order.AB, Order.AB, Order.BA), strict=True)):
        # b is the second answer in the order ab.
        said = Said.SECOND if order is better else Said.FIRST
        mailbox.answer([Annotation(id=f"compare-{PAIR.id}", said=said, by=f"p{n}", shown=order, confidence=confidence)])
    ((preference,),) = PeopleAnnotator(mailbox, Purpose.COMPARE, EXAMPLES, 0).judge([PAIR], set())
    p_b = 2 / 3 if confidence is None else (0.8 + 0.8 + 0.2) / 3
    assert preference.p_b == pytest.approx(p_b)
    assert orders_of(preference) == (pytest.approx(p_b),)
    assert agreed(preference) == pytest.approx(2 / 3)
    both = Acceptance(accept=Accept.BOTH_ORDERS)
    assert select(candidates({"e": preference}), 1.0, 1, rule=both) == [Reason.ACCEPTED]


def test_equal_confidence_is_ranked_by_what_the_seed_draws_and_not_by_the_id() -> None:
    ranks = {"a": "2", "b": "1", "c": "3"}
    candidates = [
        Candidate(example_id=id_, screened=None, verdict=Verdict.B, p_b=1.0, rank=rank) for id_, rank in ranks.items()
    ]
    assert select(candidates, 1 / 3, 3) == [Reason.OVER_CAP, Reason.ACCEPTED, Reason.OVER_CAP]


# The paper's human study, section 6: at least moderate preferences, the most confident first


def graded(folder: Path, name: str, *values: int) -> Preference:
    """Return what people come to who chose these points of a scale from -3 (sure of a) to 3 (sure of b)."""
    mailbox, pair = Mailbox(folder), Comparison(example_id="e", a=demonstration("a"), b=demonstration(name))
    mailbox.answer(
        [
            Annotation(
                id=f"compare-{pair.id}",
                said=Said.TIE if value == 0 else Said.SECOND if value > 0 else Said.FIRST,
                by=f"p{n}",
                shown=Order.AB,
                confidence=abs(value) / 3,
            )
            for n, value in enumerate(values)
        ]
    )
    ((preference,),) = PeopleAnnotator(mailbox, Purpose.COMPARE, EXAMPLES, 0).judge([pair], set())
    return preference


@pytest.mark.parametrize("value", range(-3, 4))
def test_a_point_of_the_scale_is_a_probability(tmp_path: Path, value: int) -> None:
    assert graded(tmp_path, "b", value).p_b == pytest.approx((value + 3) / 6)


def candidates(preferences: dict[str, Preference], seed: int = 0) -> list[Candidate]:
    """Return the candidates in the order of their ids."""
    return [
        Candidate(
            example_id=name,
            screened=None,
            verdict=one.verdict,
            p_b=one.p_b,
            orders=orders_of(one),
            rank=tie_rank(one, str(seed), "1", name),
        )
        for name, one in sorted(preferences.items())
    ]


def accepted(preferences: dict[str, Preference], count: int, seed: int = 0) -> set[str]:
    """Return the ids of those that are accepted if `count` may be."""
    reasons = select(candidates(preferences, seed), count / len(preferences), len(preferences))
    return {name for name, why in zip(sorted(preferences), reasons, strict=True) if why is Reason.ACCEPTED}


def test_only_proposals_that_are_at_least_moderately_preferred_are_taken(tmp_path: Path) -> None:
    preferences = {f"v{value}": graded(tmp_path, f"v{value}", value) for value in range(-3, 4)}
    reasons = select(candidates(preferences), 1.0, 7, rule=Acceptance(gate=0.83))
    found = dict(zip(sorted(preferences), reasons, strict=True))
    assert {name for name, why in found.items() if why is Reason.ACCEPTED} == {"v2", "v3"}
    assert found["v1"] is Reason.BELOW_GATE
    assert found["v0"] is Reason.TIE
    # With room for one, the surest comes first.
    assert accepted(preferences, 1) == {"v3"}


def test_equally_confident_proposals_are_ranked_by_agreement(tmp_path: Path) -> None:
    # All have the mean 1 up to rounding, and those on which people agree less are larger in the last digit.
    values = {"c": (3, -1), "d": (1, 1), "a": (-1, 3), "b": (1, 1)}
    preferences = {name: graded(tmp_path, name, *of_name) for name, of_name in values.items()}
    assert [agreed(preferences[name]) for name in "abcd"] == [0.5, 1.0, 0.5, 1.0]
    assert len({preference.p_b for preference in preferences.values()}) == 2
    assert accepted(preferences, 2) == {"b", "d"}


def test_a_seeded_hash_decides_where_people_agree_alike(tmp_path: Path) -> None:
    preferences = {f"r{n:02}": graded(tmp_path, f"r{n}", 2) for n in range(12)}
    found = [accepted(preferences, 6, seed) for seed in (0, 1)]
    assert found[0] != found[1]
    assert [len(names) for names in found] == [6, 6]


def test_pairs_of_preference_optimisation_are_ranked_alike(tmp_path: Path) -> None:
    values = {"c": (3, 0), "d": (-2, -1), "a": (0, -3), "b": (1, 2)}
    preferences = {name: graded(tmp_path, name, *of_name) for name, of_name in values.items()}
    pairs = [Pair(example_id=name, number=0, a=demonstration("a"), b=demonstration(name)) for name in sorted(values)]
    by_id = {one.comparison_id: one for one in preferences.values()}
    reasons = most_confident(pairs, by_id, 0.5, 4, rank=lambda preference, key: tie_rank(preference, "0", key))
    assert [why is Reason.ACCEPTED for why in reasons] == [False, True, False, True]
