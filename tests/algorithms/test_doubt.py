"""SEAM inside ILR: the share of edits of a proposal that the annotator prefers, and the rule that reads it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from burnish.algorithms.comparisons import abstentions, combined, orders_of
from burnish.algorithms.distrust import doubt, with_edits
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import Acceptance, select
from burnish.algorithms.seam import Response, Variant, seam
from burnish.algorithms.stopping import evidence
from burnish.config import Distrust, IlrMethod
from burnish.types import Accept, Demonstration, DemonstrationSource, Order, Preference, Reason, Refinement, Verdict

PROPOSAL = Demonstration(
    example_id="e", completion="3 + 4 = 7", source=DemonstrationSource.PROPOSAL, producer="m", round=2
)


def said(ab: float, ba: float) -> Preference:
    """Return a judgement from P(the edit is better) in each order."""
    return combined("c", tuple(Order), (ab, 1 - ba), "j")


def test_a_proposal_is_the_first_side_of_each_of_its_edits() -> None:
    found = with_edits(PROPOSAL, ["3 + 4 = 8", "3 - 4 = 7"], "edits")
    assert [(one.a, one.b.completion, one.b.source, one.b.round) for one in found] == [
        (PROPOSAL, "3 + 4 = 8", DemonstrationSource.EDIT, 2),
        (PROPOSAL, "3 - 4 = 7", DemonstrationSource.EDIT, 2),
    ]
    assert len({one.id for one in found}) == 2


def test_doubt_by_hand() -> None:
    # By the mean, two of three edits are preferred. In both orders, the second one is a tie.
    asked = [said(0.9, 0.6), said(0.2, 0.9), said(0.1, 0.3)]
    assert doubt(asked, Accept.MEAN) == pytest.approx(2 / 3)
    assert doubt(asked, Accept.BOTH_ORDERS) == 0.5
    assert doubt([*asked, said(0.5, 0.5)], Accept.MEAN) == 0.625
    failed = abstentions(with_edits(PROPOSAL, ["3 + 4 = 9"], "edits"), frozenset(), "j")
    assert doubt([*asked, *failed], Accept.BOTH_ORDERS) == 0.5  # an abstention does not count
    assert doubt(failed, Accept.MEAN) is None  # undefined, and never 0
    assert doubt([], Accept.MEAN) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_doubt_is_the_count_of_seam_with_the_annotator_as_the_reward_model(p_b: list[float]) -> None:
    # An annotator says how much better an edit is than the proposal. So it is a reward model under which the proposal
    # has the reward one half.
    worse = [Response(reward=said(p, p).p_b or 0.0, logprob=-1.0, tokens=1) for p in p_b]
    gold = Response(reward=0.5, logprob=-1.0, tokens=1)
    found = doubt([said(p, p) for p in p_b], Accept.MEAN)
    assert found is not None
    assert math.isclose(found, seam(gold, worse, Variant.COUNT) or 0.0, abs_tol=1e-12)


def candidate(name: str, p_b: float, share: float | None) -> Candidate:
    preference = dataclasses.replace(said(p_b, p_b), comparison_id=name)
    return Candidate(
        example_id=name,
        screened=None,
        verdict=preference.verdict,
        p_b=preference.p_b,
        orders=orders_of(preference),
        doubt=share,
    )


def test_a_distrusted_proposal_leaves_its_place_to_the_next_one() -> None:
    rows = [candidate("a", 0.99, 0.5), candidate("b", 0.9, 0.25), candidate("c", 0.8, None), candidate("d", 0.2, 1.0)]
    taken, over, out = Reason.ACCEPTED, Reason.OVER_CAP, Reason.REJECTED
    assert select(rows, 0.5, 4) == [taken, taken, over, out]
    rule = Acceptance(most_doubt=0.25)
    # A share that is not known turns nothing down, and a proposal that is not preferred keeps its own reason.
    assert select(rows, 0.5, 4, rule=rule) == [Reason.DISTRUSTED, taken, taken, out]
    # Three thirds of a share are equal to it up to rounding.
    assert select([candidate("a", 0.9, 0.1 + 0.2)], 1.0, 1, rule=Acceptance(most_doubt=0.3)) == [taken]


def test_the_rule_gives_rounds_auto_its_evidence() -> None:
    def line(number: int, reason: Reason) -> Refinement:
        return Refinement(
            example_id=str(number),
            round=1,
            kept="k",
            proposed="p",
            chosen="k",
            score=0.4,
            p_b_ab=0.9,
            p_b_ba=0.9,
            annotator="j",
            model="m",
            reason=reason,
        )

    found = evidence([line(0, Reason.DISTRUSTED), line(1, Reason.OVER_CAP), line(2, Reason.DISTRUSTED)])
    assert (found.preferred, found.held) == (3, 1)


def test_settings_that_could_distrust_nothing_are_refused() -> None:
    for wrong in ({"most": 1.0}, {"most": -0.1}, {"worse": 0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            Distrust.model_validate(wrong)
    plain, asking = IlrMethod(kind="ilr"), IlrMethod(kind="ilr", distrust=Distrust(worse=3))
    # Without the rule, the recorded settings are those of methods from before it existed.
    assert "distrust" not in plain.model_dump(mode="json")
    assert (plain.comparisons_per_row, asking.comparisons_per_row) == (1, 4)


def test_all_votes_are_read_as_verdicts() -> None:
    assert said(0.9, 0.6).verdict is Verdict.B  # side b, the edit, is preferred: what `doubt` counts
