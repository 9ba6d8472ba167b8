"""What a line of the ledger says of its comparison: how sure the annotator was, and which side it preferred."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from burnish.algorithms.comparisons import verdict_of
from burnish.types import Reason, Refinement, Verdict


def mean_of_orders(p_b_ab: float | None, p_b_ba: float | None) -> float | None:
    """Return P(b is better) as the mean of the orders in which the pair was judged. None where no order was."""
    seen = [p for p in (p_b_ab, p_b_ba) if p is not None]
    return sum(seen) / len(seen) if seen else None


def p_b_of(line: Refinement) -> float | None:
    """Return P(b is better) of a line. None where nothing was compared, or the annotator abstained."""
    return None if line.score is None else mean_of_orders(line.p_b_ab, line.p_b_ba)


def verdict_on(line: Refinement) -> Verdict | None:
    """Return what the annotator said of `kept` (a) and `proposed` (b). None where nothing was compared.

    The reason tells more than the probabilities: several annotators that vote prefer the side with more votes, and the
    mean of their probabilities may lie on the other side. Over the cap or below the gate, preference optimisation may
    prefer either side (the line then has no `chosen`); refinement puts a preferred proposal there. Two orders that name
    different winners are a tie under the rule `both-orders`.
    """
    verdict: Verdict | None
    match line.reason:
        case Reason.AGREED | Reason.INVALID | Reason.NOT_COMPARED | Reason.REVERTED:
            verdict = None
        case Reason.TIE | Reason.ORDERS_DISAGREE:
            verdict = Verdict.TIE
        case Reason.ABSTAINED:
            verdict = Verdict.ABSTAIN
        case Reason.REJECTED:
            verdict = Verdict.A
        case Reason.OVER_RISK:
            verdict = Verdict.B
        case Reason.ACCEPTED | Reason.OVER_CAP if line.score is None:  # chosen at random, without a comparison
            verdict = None
        case Reason.ACCEPTED:
            verdict = Verdict.B if line.chosen == line.proposed else Verdict.A
        case Reason.OVER_CAP | Reason.BELOW_GATE:
            verdict = Verdict.B if line.chosen == line.kept else verdict_of(p_b_of(line))
        case _:
            assert_never(line.reason)
    return verdict


def right_calls(lines: Iterable[Refinement], right: Callable[[str, str], bool]) -> tuple[int, int]:
    """Return how many decisive pairs the annotator called rightly, and how many it called.

    A pair is decisive if exactly one side is right; `right` says so of an example id and a demonstration id. Ties and
    abstentions are not counted: who does not choose is neither right nor wrong. A pair that several lines have was
    judged once and counts once.
    """
    called: dict[tuple[str, str], bool] = {}
    for line in lines:
        verdict = verdict_on(line)
        if verdict is None or verdict is Verdict.TIE or verdict is Verdict.ABSTAIN:
            continue
        kept, proposed = (right(line.example_id, side) for side in (line.kept, line.proposed))
        if kept != proposed:
            called[line.kept, line.proposed] = (verdict is Verdict.B) == proposed
    return sum(called.values()), len(called)
