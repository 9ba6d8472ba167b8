"""What happened to single rows in an experiment, and how sure the annotator was of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from burnish.algorithms.calibration import binned
from burnish.algorithms.ledger_lines import confidence_counts, decisive_calls, p_b_of
from burnish.lab.experiment import Outcome
from burnish.lab.measure import is_right, right_side, sides_of
from burnish.protocols import Task
from burnish.results import Change, Confidence, Reliability
from burnish.steps.artifacts import read_ledger
from burnish.types import Reason, Refinement, short_hash

CHANGES_OF_A_REASON = 6
"""How many rows the report shows for each reason, method and round."""
SHOWN = (
    Reason.ACCEPTED,
    Reason.REMOVED,
    Reason.OVER_CAP,
    Reason.REJECTED,
    Reason.TIE,
    Reason.ORDERS_DISAGREE,
    Reason.DISTRUSTED,
    Reason.ABSTAINED,
)
"""The reasons whose rows the report shows, in this order."""


def changes_of(outcomes: Sequence[Outcome], task: Task) -> list[Change]:
    """Return a sample of the rows that the first seed's rounds changed or did not change. The sample is chosen by
    hash."""
    # One seed is enough for reading, and keeps the report small.
    first = outcomes[0].seed if outcomes else 0
    return [
        change
        for outcome in outcomes
        if outcome.seed == first and outcome.round.compared is not None
        for change in _changes(outcome, task)
    ]


def _changes(outcome: Outcome, task: Task) -> Iterable[Change]:
    """Yield up to CHANGES_OF_A_REASON rows for each reason of a round."""
    assert outcome.round.compared is not None, outcome
    ledger, sides, examples = read_ledger(outcome.round.compared.ledger), sides_of(outcome), outcome.rows.examples()
    for reason in SHOWN:
        # By hash and not by place: the first rows of a file may be alike, and a random draw would change with each run.
        rows = sorted((row for row in ledger if row.reason is reason), key=lambda row: short_hash(row.example_id))
        for row in rows[:CHANGES_OF_A_REASON]:
            example = examples[row.example_id]
            yield Change(
                method=outcome.method,
                seed=outcome.seed,
                round=row.round,
                example_id=row.example_id,
                prompt="\n".join(message.content for message in example.prompt),
                before=sides[row.kept].completion,
                after=sides[row.proposed].completion,
                reason=row.reason,
                p_b=p_b_of(row),
                before_correct=is_right(task, examples, sides[row.kept]),
                after_correct=is_right(task, examples, sides[row.proposed]),
            )


def confidence_of(outcomes: Sequence[Outcome], task: Task) -> list[Confidence]:
    """Return how sure the annotator was in each round of each seed, and how often it was right. Rounds that judged
    nothing are left out."""
    rows: list[Confidence] = []
    for outcome in outcomes:
        if outcome.round.compared is None:
            continue
        ledger = read_ledger(outcome.round.compared.ledger)
        judged = confidence_counts(ledger)
        # Naive replacement compares nothing, so no line of its ledger has a confidence.
        if not any(judged):
            continue
        accepted = confidence_counts(line for line in ledger if line.reason in {Reason.ACCEPTED, Reason.REMOVED})
        rows.append(
            Confidence(
                method=outcome.method,
                seed=outcome.seed,
                round=outcome.round.number,
                judged=list(judged),
                accepted=list(accepted),
                reliability=_reliability(outcome, ledger, task),
            )
        )
    return rows


def _reliability(outcome: Outcome, ledger: Iterable[Refinement], task: Task) -> Reliability:
    """Return how often the annotator was right among the decisive pairs of a round, by what it said."""
    calls = decisive_calls((line for line in ledger if line.score is not None), right_side(outcome, task))
    # The preferred side has P = 0.5 + |p_b - 0.5|.
    return Reliability.of(binned((0.5 + line.score, right) for line, right in calls if line.score is not None))
