"""Outcomes to results: metrics with intervals a run, summaries over seeds, paired differences between methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from burnish import __version__
from burnish.artifacts import (
    TRAINING,
    read_demonstrations,
    read_grades,
    read_json,
    read_ledger,
)
from burnish.config import Config
from burnish.lab import Outcome, semantic
from burnish.protocols import Task
from burnish.results import Change, Metric, PairedRow, Results, Run, SummaryRow
from burnish.stats import Interval, mean_interval, paired_bootstrap, wilson
from burnish.types import Example, Reason, Refinement, short_hash

CHANGES_OF_A_REASON = 6
"""Rows of each reason, method and round that the report shows."""
SHOWN = (Reason.ACCEPTED, Reason.OVER_CAP, Reason.REJECTED, Reason.TIE, Reason.ABSTAINED)


def results_of(config: Config, outcomes: Sequence[Outcome], task: Task) -> Results:
    """Read every outcome's grades and ledger and reduce them to numbers."""
    runs = tuple(_run(outcome, task) for outcome in outcomes)
    return Results(
        burnish_version=__version__,
        config=semantic(config),
        runs=runs,
        summary=tuple(_summary(runs)),
        paired=tuple(_paired(outcomes)),
    )


def _run(outcome: Outcome, task: Task) -> Run:
    test, labels = read_grades(outcome.test), read_grades(outcome.labels)
    metrics = {
        "test_accuracy": _share(sum(row.correct for row in test.values()), len(test)),
        "label_accuracy": _share(sum(row.correct for row in labels.values()), len(labels)),
    }
    training = read_json(outcome.training, TRAINING)
    counts = {"train_rows": len(training["trained_on"]), "without_answer": training["without_answer"]}
    counts["dropped"] = read_json(outcome.rows.data, "data.json")["dropped"]
    if outcome.round.refined is not None:
        ledger = read_ledger(outcome.round.refined.stage)
        counts |= {str(reason): n for reason, n in sorted(Counter(row.reason for row in ledger).items())}
        counts["compared"] = sum(row.score is not None for row in ledger)
        metrics["replaced"] = Metric(value=_accepted(ledger) / len(ledger), n=len(ledger), ci95=None)
        judged = [row for row in ledger if row.p_b_ab is not None]
        if judged:
            right, decisive = _decisive(outcome, judged, task)
            metrics["annotator_accuracy"] = _share(right, decisive)
    return Run(
        method=outcome.method,
        kind=outcome.kind,
        seed=outcome.seed,
        round=outcome.round.number,
        metrics=metrics,
        counts=counts,
    )


def _accepted(ledger: Iterable[Refinement]) -> int:
    return sum(row.reason is Reason.ACCEPTED for row in ledger)


def _share(right: int, n: int) -> Metric:
    if n == 0:
        return Metric(value=None, n=0, ci95=None)
    return _metric(wilson(right, n))


def _metric(interval: Interval) -> Metric:
    return Metric(value=interval.value, n=interval.n, ci95=interval.ci95)


def _decisive(outcome: Outcome, judged: Sequence[Refinement], task: Task) -> tuple[int, int]:
    """Return how many decisive pairs (exactly one side right) the annotator called rightly, and how many there are.

    Ties and abstentions stand apart: who does not choose is neither right nor wrong.
    """
    examples, sides = outcome.rows.examples(), _sides(outcome)
    right = decisive = 0
    for row in judged:
        p_b = p_b_of(row)
        if p_b is None or p_b == 0.5:
            continue
        kept, proposed = (_correct(task, examples, sides[id_]) for id_ in (row.kept, row.proposed))
        if kept != proposed:
            decisive += 1
            right += (p_b > 0.5) == proposed
    return right, decisive


def _correct(task: Task, examples: Mapping[str, Example], side: tuple[str, str]) -> bool:
    return task.grade(examples[side[0]], side[1]).correct


def _sides(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Return {demonstration id: (example id, completion)} of all that a round compared."""
    refined = outcome.round.refined
    assert refined is not None, outcome
    return {
        row.id: (row.example_id, row.completion)
        for artifact in (refined.previous, *refined.proposals)
        for row in read_demonstrations(artifact).values()
    }


def p_b_of(row: Refinement) -> float | None:
    """Return P(b is better) of a ledger line: the mean of the orders that were judged."""
    seen = [p for p in (row.p_b_ab, row.p_b_ba) if p is not None]
    return sum(seen) / len(seen) if seen else None


def _summary(runs: Sequence[Run]) -> Iterable[SummaryRow]:
    """Yield mean, spread and t interval over seeds of every metric of every method's round."""
    groups: dict[tuple[str, int, str], list[float]] = {}
    for run in runs:
        for name, metric in run.metrics.items():
            values = groups.setdefault((run.method, run.round, name), [])
            if metric.value is not None:
                values.append(metric.value)
    for (method, round_, metric), values in groups.items():
        interval = mean_interval(values) if values else None
        yield SummaryRow(
            method=method,
            round=round_,
            metric=metric,
            mean=interval.value if interval else None,
            sd=_spread(values),
            seeds=len(values),
            ci95=interval.ci95 if interval else None,
        )


def _spread(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def _paired(outcomes: Sequence[Outcome]) -> Iterable[PairedRow]:
    """Yield the difference in test accuracy of every two methods' last rounds, paired by seed and prompt."""
    finals: dict[str, dict[int, Outcome]] = {}
    for outcome in outcomes:  # a later round of the same method and seed takes the place of an earlier one
        finals.setdefault(outcome.method, {})[outcome.seed] = outcome
    for b, a in combinations(finals, 2):
        seeds = sorted(finals[a].keys() & finals[b].keys())
        difference_SP = [_differences(finals[a][seed], finals[b][seed]) for seed in seeds]
        interval = paired_bootstrap(difference_SP)
        yield PairedRow(
            metric="test_accuracy",
            a=a,
            a_round=finals[a][seeds[0]].round.number,
            b=b,
            b_round=finals[b][seeds[0]].round.number,
            difference=interval.value,
            ci95=interval.ci95,
            seeds=len(seeds),
            prompts=len(difference_SP[0]),
        )


def _differences(a: Outcome, b: Outcome) -> list[int]:
    right_a, right_b = read_grades(a.test), read_grades(b.test)
    return [int(right_a[id_].correct) - int(right_b[id_].correct) for id_ in sorted(right_a)]


def changes_of(outcomes: Sequence[Outcome], task: Task) -> list[Change]:
    """Return a sample of what the first seed's rounds changed and did not change, chosen by hash."""
    first = outcomes[0].seed if outcomes else 0
    return [
        change
        for outcome in outcomes
        if outcome.seed == first and outcome.round.refined is not None
        for change in _changes(outcome, task)
    ]


def _changes(outcome: Outcome, task: Task) -> Iterable[Change]:
    assert outcome.round.refined is not None, outcome
    ledger, sides, examples = read_ledger(outcome.round.refined.stage), _sides(outcome), outcome.rows.examples()
    for reason in SHOWN:
        rows = sorted((row for row in ledger if row.reason is reason), key=lambda row: short_hash(row.example_id))
        for row in rows[:CHANGES_OF_A_REASON]:
            example = examples[row.example_id]
            yield Change(
                method=outcome.method,
                seed=outcome.seed,
                round=row.round,
                example_id=row.example_id,
                prompt="\n".join(message.content for message in example.prompt),
                before=sides[row.kept][1],
                after=sides[row.proposed][1],
                reason=row.reason,
                p_b=p_b_of(row),
                before_correct=_correct(task, examples, sides[row.kept]),
                after_correct=_correct(task, examples, sides[row.proposed]),
            )
