"""The order in which the cap is filled: also among judgements whose p_b is 1 in floats."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms.comparisons import combined, from_difference, logit_of, sigmoid
from burnish.algorithms.preferences import Pair, most_confident
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import select
from burnish.types import Demonstration, DemonstrationSource, Order, Preference, Reason

SATURATED = (38.0, 1000.0, 200.0)
"""Differences of log-likelihoods in nats. Their p_b is exactly 1.0."""


def candidate(preference: Preference, rank: str = "") -> Candidate:
    return Candidate(
        example_id=preference.comparison_id,
        screened=None,
        verdict=preference.verdict,
        p_b=preference.p_b,
        rank=rank,
        logit=preference.logit,
    )


def accepted(candidates: Sequence[Candidate], count: int) -> list[str]:
    """The ids that `select` accepts under a cap of `count`."""
    reasons = select(candidates, count / len(candidates), len(candidates))
    return [one.example_id for one, why in zip(candidates, reasons, strict=True) if why is Reason.ACCEPTED]


def order_of(candidates: Sequence[Candidate]) -> list[str]:
    """The ids in the order in which a growing cap accepts them."""
    found: list[str] = []
    for count in range(1, len(candidates) + 1):
        found += [id_ for id_ in accepted(candidates, count) if id_ not in found]
    return found


@pytest.mark.parametrize("rank", ["", "r"])
def test_saturated_judgements_are_ranked_by_their_logits(rank: str) -> None:
    judged = [from_difference(f"e{place}", nats, "likelihood") for place, nats in enumerate(SATURATED)]
    assert [preference.p_b for preference in judged] == [1.0, 1.0, 1.0]
    assert order_of([candidate(preference, rank) for preference in judged]) == ["e1", "e2", "e0"]
    # Without the logit, only the ids are left.
    plain = [candidate(dataclasses.replace(preference, logit=None), rank) for preference in judged]
    assert order_of(plain) == ["e0", "e1", "e2"]


def test_pairs_of_preference_optimisation_are_ranked_by_their_logits_whichever_side_wins() -> None:
    def side(text: str) -> Demonstration:
        return Demonstration(example_id="x", completion=text, source=DemonstrationSource.PROPOSAL)

    pairs = [Pair(example_id=f"e{place}", number=0, a=side("a"), b=side(f"b{place}")) for place in range(3)]
    nats = (38.0, -1000.0, 200.0)
    judged = {
        pair.comparison.id: from_difference(pair.comparison.id, one, "j") for pair, one in zip(pairs, nats, strict=True)
    }
    kept = [most_confident(pairs, judged, count / 3, 3) for count in (1, 2)]
    accepted, over = Reason.ACCEPTED, Reason.OVER_CAP
    assert kept == [[over, accepted, over], [over, accepted, accepted]]


@given(st.lists(st.floats(0.01, 1e4), min_size=2, max_size=8, unique=True))
def test_known_logits_are_the_order(logits: list[float]) -> None:
    candidates = [candidate(from_difference(f"e{place}", nats, "j")) for place, nats in enumerate(logits)]
    expected = sorted(range(len(logits)), key=lambda place: -logits[place])
    assert order_of(candidates) == [f"e{place}" for place in expected]


def test_judgements_without_logits_keep_their_order() -> None:
    both = tuple(Order)
    judged = [combined(name, both, (p, 1 - p), "j") for name, p in (("a", 0.9), ("b", 0.6), ("c", 0.9), ("d", 1.0))]
    assert order_of([candidate(preference) for preference in judged]) == ["d", "a", "c", "b"]


def test_a_logit_is_what_the_judge_recorded_or_follows_from_the_probability() -> None:
    assert logit_of(0.75) == pytest.approx(math.log(3))
    assert logit_of(0.5) == 0.0
    assert logit_of(1.0, 200.0) == 200.0
    assert logit_of(1.0) == pytest.approx(36.7368, abs=1e-4) == -logit_of(0.0)
    assert sigmoid(logit_of(0.3)) == pytest.approx(0.3)
