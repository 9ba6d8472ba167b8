"""Read a ledger line: how sure the annotator was of the comparison, and which side it preferred."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from burnish.algorithms.comparisons import verdict_of
from burnish.types import Effect, Reason, Refinement, Verdict

EFFECTS = {
    (False, True): Effect.WRONG_TO_RIGHT,
    (True, False): Effect.RIGHT_TO_WRONG,
    (False, False): Effect.WRONG_TO_WRONG,
    (True, True): Effect.RIGHT_TO_RIGHT,
}
"""{(right before, right after): effect}."""
BINS = 10
"""Bins of equal width into which confidence, from 0 to 0.5, is counted."""


def mean_of_orders(p_b_ab: float | None, p_b_ba: float | None) -> float | None:
    """Return P(b is better) as the mean over the orders that were judged. Return None where no order was judged."""
    judged = [p for p in (p_b_ab, p_b_ba) if p is not None]
    return sum(judged) / len(judged) if judged else None


def p_b_of(line: Refinement) -> float | None:
    """Return P(b is better) of a line. Return None where nothing was compared or the annotator abstained."""
    return None if line.score is None else mean_of_orders(line.p_b_ab, line.p_b_ba)


def verdict_on(line: Refinement) -> Verdict | None:
    """Return the annotator's verdict on `kept` (a) and `proposed` (b). Return None where nothing was compared.

    The verdict is read from the reason, because the reason tells more than the probabilities. When several annotators
    vote, the side with more votes wins, but the mean of their probabilities may favour the other side. With the rule
    `both-orders`, two orders that name different winners are a tie.

    For over-the-cap and below-the-gate lines it matters which method wrote the line. Refinement gives these reasons
    only to a preferred proposal. Preference optimisation may prefer either side there; its line then has an empty
    `chosen`.
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
        case Reason.OVER_RISK | Reason.STOPPED | Reason.REMOVED | Reason.DISTRUSTED:
            verdict = Verdict.B
        case Reason.ACCEPTED | Reason.OVER_CAP if line.score is None:
            verdict = None  # naive ILR chose at random, without a comparison
        case Reason.ACCEPTED:
            # Refinement accepts only proposals. Preference optimisation may train on either side.
            verdict = Verdict.B if line.chosen == line.proposed else Verdict.A
        case Reason.OVER_CAP | Reason.BELOW_GATE:
            # `chosen` is `kept` in a line of refinement and "" in a line of preference optimisation.
            verdict = Verdict.B if line.chosen == line.kept else verdict_of(p_b_of(line))
        case _:
            assert_never(line.reason)
    return verdict


def right_calls(lines: Iterable[Refinement], right: Callable[[str, str], bool]) -> tuple[int, int]:
    """Return how many decisive pairs the annotator judged rightly, and how many decisive pairs it judged.

    A pair is decisive if exactly one side is right. `right` takes an example id and a demonstration id and says whether
    that demonstration is right. Ties and abstentions are not counted: an annotator that does not choose is neither
    right nor wrong. A pair in several lines was judged once, so it counts once.
    """
    called = decisive_calls(lines, right)
    return sum(is_right for _, is_right in called), len(called)


def decisive_calls(lines: Iterable[Refinement], right: Callable[[str, str], bool]) -> list[tuple[Refinement, bool]]:
    """Return a line of each decisive pair that was judged, and whether the annotator preferred the right side.

    `right`, ties, abstentions and repeated pairs are as in `right_calls`.
    """
    called: dict[tuple[str, str], tuple[Refinement, bool]] = {}
    for line in lines:
        verdict = verdict_on(line)
        if verdict is None or verdict is Verdict.TIE or verdict is Verdict.ABSTAIN:
            continue
        kept, proposed = (right(line.example_id, side) for side in (line.kept, line.proposed))
        if kept != proposed:
            called[line.kept, line.proposed] = line, (verdict is Verdict.B) == proposed
    return list(called.values())


def effects(lines: Iterable[Refinement], right: Callable[[str, str], bool]) -> dict[Effect, int]:
    """Count what the accepted changes of labels did, in the order of `Effect`.

    `right` is that of `right_calls`. A change from one wrong label to another one is counted apart, because it harms a
    student as much as a change for the worse does, although it leaves the share of right labels as it was.
    """
    counts = dict.fromkeys(Effect, 0)
    for line in lines:
        if line.reason is Reason.ACCEPTED and line.chosen == line.proposed:
            before, after = (right(line.example_id, side) for side in (line.kept, line.proposed))
            counts[EFFECTS[before, after]] += 1
    return counts


def bin_of(score: float) -> int:
    """Return the bin of a confidence from 0 to 0.5.

    A bin holds its lower end and not its upper one; the last bin holds both.
    """
    # 0.15 / 0.05 is 2.999... in floats: what is meant is the bin that begins at 0.15.
    return min(int(score / (0.5 / BINS) + 1e-9), BINS - 1)


def confidence_counts(lines: Iterable[Refinement]) -> tuple[int, ...]:
    """Count the lines that were judged by confidence |P(b is better) - 0.5|, in `BINS` bins from 0 to 0.5.

    Abstentions have no confidence.
    """
    counts = [0] * BINS
    for line in lines:
        if line.score is not None:
            counts[bin_of(line.score)] += 1
    return tuple(counts)
