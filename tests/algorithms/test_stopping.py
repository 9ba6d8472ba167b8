"""The stopping rule of `rounds: auto`: which evidence counts, and what a stopped round's ledger says."""

from __future__ import annotations

import pytest

from burnish.algorithms.ledger_lines import verdict_on
from burnish.algorithms.refinement import Acceptance, Candidate, select
from burnish.algorithms.stopping import LEAST_HELD, Evidence, evidence, stopped
from burnish.types import Accept, Reason, Refinement, Verdict


def line(number: int, reason: Reason, ab: float | None = None, ba: float | None = None) -> Refinement:
    judged = [p for p in (ab, ba) if p is not None]
    return Refinement(
        example_id=f"row-{number}",
        round=1,
        kept=f"k{number}",
        proposed=f"p{number}",
        chosen=f"p{number}" if reason is Reason.ACCEPTED else f"k{number}",
        score=abs(sum(judged) / len(judged) - 0.5) if judged else None,
        p_b_ab=ab,
        p_b_ba=ba,
        annotator="test" if judged else "",
        model="m",
        reason=reason,
    )


ROUND = [
    line(1, Reason.ACCEPTED, 0.9, 0.8),
    line(2, Reason.OVER_CAP, 0.7, 0.8),
    # The mean prefers the proposal in these three, but the rule turned them down.
    line(3, Reason.ORDERS_DISAGREE, 0.9, 0.3),
    line(4, Reason.BELOW_GATE, 0.55, 0.51),
    line(5, Reason.TIE, 0.9, 0.5),
    # It does not prefer the proposal in the others.
    line(6, Reason.ORDERS_DISAGREE, 0.6, 0.2),
    line(7, Reason.TIE, 0.5, 0.5),
    line(8, Reason.REJECTED, 0.1, 0.2),
    line(9, Reason.ABSTAINED),
    line(10, Reason.AGREED),
    line(11, Reason.INVALID),
    line(12, Reason.ACCEPTED),  # naive replacement judges nothing
]


def test_evidence_counts_what_the_mean_prefers_and_what_the_rule_accepts() -> None:
    assert evidence(ROUND) == Evidence(preferred=5, held=2)
    assert evidence(ROUND).share == pytest.approx(0.4)
    assert evidence([]) == Evidence(preferred=0, held=0)


@pytest.mark.parametrize(
    ("preferred", "held", "enough"), [(0, 0, False), (5, 1, True), (100, 20, True), (100, 19, False), (3, 0, False)]
)
def test_a_fifth_of_the_preferred_proposals_must_hold(preferred: int, held: int, enough: bool) -> None:
    assert LEAST_HELD == 0.2
    assert Evidence(preferred=preferred, held=held).enough is enough


def test_a_stopped_round_changes_nothing_and_keeps_its_verdicts_and_its_evidence() -> None:
    before, after = ROUND[:11], list(stopped(ROUND[:11]))
    assert all(row.chosen == row.kept for row in after)
    assert [row.reason for row in after[:2]] == [Reason.STOPPED, Reason.STOPPED]
    assert after[2:] == before[2:]
    assert [verdict_on(row) for row in after] == [verdict_on(row) for row in before]
    assert verdict_on(after[0]) is Verdict.B
    assert evidence(after) == evidence(before)


def test_every_preferred_proposal_holds_under_the_papers_rule() -> None:
    """So that rule has no stopping signal, and `rounds: auto` refuses it."""
    candidates = [
        Candidate(
            example_id=f"row-{number}",
            screened=None,
            verdict=Verdict.B if p > 0.5 else Verdict.A,
            p_b=p,
            orders=(p + 0.3, p - 0.3),
        )
        for number, p in enumerate((0.51, 0.6, 0.45, 0.69))
    ]
    for rule, held in ((Acceptance(), 3), (Acceptance(gate=0.6), 2), (Acceptance(accept=Accept.BOTH_ORDERS), 0)):
        reasons = select(candidates, 0.5, 4, rule=rule)
        lines = [line(n, why, *row.orders) for n, (why, row) in enumerate(zip(reasons, candidates, strict=True))]
        assert evidence(lines) == Evidence(preferred=3, held=held)
