"""Outcomes to results: metrics with intervals a run, summaries over seeds, paired differences between methods."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from burnish import __version__
from burnish.algorithms.ledger_lines import p_b_of, right_calls
from burnish.config import Config
from burnish.lab.experiment import Outcome
from burnish.lab.inputs import semantic
from burnish.lab.win_rates import Contests, contests
from burnish.protocols import SaysMore, Task, TrainingPoint
from burnish.results import (
    REFERENCE_WIN_RATE,
    Change,
    CurvePoint,
    Metric,
    PairedRow,
    Results,
    Run,
    SummaryRow,
)
from burnish.stats import mean_interval, paired_bootstrap, ratio_interval, win_rate
from burnish.steps.artifacts import (
    TRAINING,
    read_comparisons,
    read_curve,
    read_demonstrations,
    read_grades,
    read_json,
    read_ledger,
    read_preferences,
    read_samples,
    read_scores,
)
from burnish.steps.probes import Divergence, Versus
from burnish.store.files import as_mapping
from burnish.types import Example, Reason, Refinement, Verdict, short_hash

SFT = "sft"
"""The method that every round is compared with, where a config has one of that name."""
CURVE_POINTS = 12
"""Points of a training curve in results."""
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
        "test_accuracy": Metric.share(sum(row.correct for row in test.values()), len(test)),
        "label_accuracy": Metric.share(sum(row.correct for row in labels.values()), len(labels)),
    }
    training = read_json(outcome.training, TRAINING)
    counts = {"train_rows": len(training["trained_on"]), "without_answer": training["without_answer"]}
    counts["dropped"] = read_json(outcome.rows.data, "data.json")["dropped"]
    if outcome.round.compared is not None:
        ledger = read_ledger(outcome.round.compared.ledger)
        counts |= {str(reason): n for reason, n in sorted(Counter(row.reason for row in ledger).items())}
        judged = [row for row in ledger if row.score is not None]
        counts["compared"] = len({(row.kept, row.proposed) for row in judged})  # equal pairs are judged once
        accepted = [row for row in ledger if row.reason is Reason.ACCEPTED]
        if outcome.round.relabelled:
            metrics["replaced"] = Metric(value=len(accepted) / len(ledger), n=len(ledger), ci95=None)
        else:
            counts["pairs_trained_on"] = training["pairs"]
        if judged:
            metrics["annotator_accuracy"] = _called(outcome, judged, task)
            metrics["accepted_accuracy"] = _called(outcome, accepted, task)
    if outcome.divergence is not None:
        metrics |= _divergence(outcome.divergence)
    if outcome.versus is not None:
        metrics["win_rate"] = _win_rate(outcome.versus, len(test))
    if isinstance(task, SaysMore):
        examples = outcome.held_out.examples()
        said = task.said([(examples[id_], text) for id_, text in _texts(outcome).items()])
        metrics |= {name: Metric.share(*share) for name, share in said.shares.items()}
        counts |= said.counts
    if outcome.referenced is not None:
        met = _contests(outcome, outcome.referenced)
        metrics |= met.metrics()
        counts |= met.counts()
    return Run(
        method=outcome.method,
        kind=outcome.kind,
        seed=outcome.seed,
        round=outcome.round.number,
        metrics=metrics,
        counts=counts,
        curve=tuple(_point(point) for point in _thinned(read_curve(outcome.training))),
    )


def _texts(outcome: Outcome) -> dict[str, str]:
    return {id_: given.completion for id_, given in read_demonstrations(outcome.answers).items()}


def _contests(outcome: Outcome, against: Versus) -> Contests:
    return contests(against.compared, against.judged, outcome.held_out.examples(), _texts(outcome))


def _thinned(points: Sequence[TrainingPoint]) -> Sequence[TrainingPoint]:
    """Return at most CURVE_POINTS of the points, evenly spaced, the last one among them."""
    step = -(-len(points) // CURVE_POINTS) or 1
    return points[::-1][::step][::-1]


def _point(point: TrainingPoint) -> CurvePoint:
    """Round to what a figure shows: a suite has thousands of points."""
    values = {name: round(value, 4) for name, value in as_mapping(point).items() if name != "step"}
    return CurvePoint(step=point.step, **values)


def _divergence(divergence: Divergence) -> dict[str, Metric]:
    """Return KL(model || SFT model) in nats, a sequence and a token, from the model's own samples; a sample without an
    end is left out."""
    own, reference = read_scores(divergence.own), read_scores(divergence.reference)
    differences = [own[id_].value - reference[id_].value for id_ in sorted(own)]
    if not differences:
        nothing = Metric.of(None)
        return {"kl": nothing, "kl_per_token": nothing}
    tokens = [own[id_].tokens for id_ in sorted(own)]
    return {"kl": Metric.of(mean_interval(differences)), "kl_per_token": Metric.of(ratio_interval(differences, tokens))}


def _win_rate(versus: Versus, prompts: int) -> Metric:
    """Return how often the annotator prefers the round's answer; equal answers are ties."""
    judged = read_preferences(Path(versus.judged.path))
    verdicts = [judged[comparison.id].verdict for comparison in read_comparisons(versus.compared)]
    return Metric.of(win_rate([*verdicts, *[Verdict.TIE] * (prompts - len(verdicts))]))


def _called(outcome: Outcome, lines: Iterable[Refinement], task: Task) -> Metric:
    """Return how often the annotator was right among the decisive pairs that it called."""
    examples, sides = outcome.rows.examples(), _sides(outcome)
    return Metric.share(*right_calls(lines, lambda _, side: _correct(task, examples, sides[side])))


def _correct(task: Task, examples: Mapping[str, Example], side: tuple[str, str]) -> bool:
    return task.on(examples[side[0]]).grade(side[1]).correct


def _sides(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Return {demonstration id: (example id, completion)} of all that a round compared."""
    compared = outcome.round.compared
    assert compared is not None, outcome
    return {
        row.id: (row.example_id, row.completion)
        for artifact in compared.sides
        for rows in read_samples(artifact).values()
        for row in rows
    }


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
    """Yield differences, paired by seed and prompt: of every two methods' last rounds, then of each earlier round and
    `sft`; of test accuracy and, where a judge compared answers with references, of that win rate."""
    by_round: dict[tuple[str, int], dict[int, Outcome]] = {}
    for outcome in outcomes:
        by_round.setdefault((outcome.method, outcome.round.number), {})[outcome.seed] = outcome
    last = {method: (method, number) for method, number in by_round}  # the highest comes last
    pairs = [(by_round[a], by_round[b]) for b, a in combinations(last.values(), 2)]
    if SFT in last:
        pairs += [
            (outcomes_of, by_round[last[SFT]])
            for (method, number), outcomes_of in by_round.items()
            if number > 0 and (method, number) not in last.values()
        ]
    for metric, values in (("test_accuracy", _right), (REFERENCE_WIN_RATE, _wins)):
        read = functools.cache(values)  # an outcome stands in many pairs
        for a, b in pairs:
            row = _difference(metric, a, b, read)
            if row is not None:
                yield row


def _right(outcome: Outcome) -> Mapping[str, float]:
    return {id_: float(row.correct) for id_, row in read_grades(outcome.test).items()}


def _wins(outcome: Outcome) -> Mapping[str, float]:
    if outcome.referenced is None:
        return {}
    met = _contests(outcome, outcome.referenced)
    return {id_: one.p_wins for id_, one in met.by_id.items() if one.p_wins is not None}


def _difference(
    metric: str, a: Mapping[int, Outcome], b: Mapping[int, Outcome], values: Callable[[Outcome], Mapping[str, float]]
) -> PairedRow | None:
    """Return the difference over the prompts that have a value on both sides in every seed, None where none has."""
    seeds = sorted(a.keys() & b.keys())
    sides = [(values(a[seed]), values(b[seed])) for seed in seeds]
    ids = sorted(set[str].intersection(*(set(one) & set(other) for one, other in sides))) if sides else []
    if not ids:
        return None
    interval = paired_bootstrap([[one[id_] - other[id_] for id_ in ids] for one, other in sides])
    return PairedRow(
        metric=metric,
        a=a[seeds[0]].method,
        a_round=a[seeds[0]].round.number,
        b=b[seeds[0]].method,
        b_round=b[seeds[0]].round.number,
        difference=interval.value,
        ci95=interval.ci95,
        seeds=len(seeds),
        prompts=len(ids),
    )


def changes_of(outcomes: Sequence[Outcome], task: Task) -> list[Change]:
    """Return a sample of what the first seed's rounds changed and did not change, chosen by hash."""
    first = outcomes[0].seed if outcomes else 0
    return [
        change
        for outcome in outcomes
        if outcome.seed == first and outcome.round.compared is not None
        for change in _changes(outcome, task)
    ]


def _changes(outcome: Outcome, task: Task) -> Iterable[Change]:
    assert outcome.round.compared is not None, outcome
    ledger, sides, examples = read_ledger(outcome.round.compared.ledger), _sides(outcome), outcome.rows.examples()
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
