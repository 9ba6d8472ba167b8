"""Turn outcomes into results: metrics with intervals per run, and summaries over seeds."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish import __version__
from burnish.algorithms.ledger_lines import effects, right_calls
from burnish.algorithms.stopping import evidence
from burnish.config import METHODS, Config
from burnish.lab.curves import rl_counts, rl_curve, thinned
from burnish.lab.experiment import Outcome
from burnish.lab.inputs import semantic
from burnish.lab.pairing import Graded, noise, paired
from burnish.lab.win_rates import contests_of, texts_of
from burnish.protocols import SaysMore, Task, TrainingPoint
from burnish.results import (
    CurvePoint,
    Metric,
    Results,
    Run,
    SummaryRow,
)
from burnish.stats import mean_interval, ratio_interval, share_interval, shares_interval, win_rate
from burnish.steps.artifacts import (
    TRAINING,
    read_comparisons,
    read_curve,
    read_grades,
    read_json,
    read_ledger,
    read_preferences,
    read_samples,
    read_scores,
)
from burnish.steps.judging import read_routing
from burnish.steps.probes import Divergence, Versus
from burnish.steps.setting import Compared
from burnish.store.files import as_mapping
from burnish.tasks.answers import graded
from burnish.types import Demonstration, Example, Reason, Refinement, Verdict

CURVE_POINTS = 12
"""How many points of a training curve are kept in the results."""


def results_of(config: Config, outcomes: Sequence[Outcome], graded: Sequence[Graded], task: Task) -> Results:
    """Read the ledger of every outcome and compute the results from it and from the grades of all outcomes."""
    runs = [_run(outcome, one, task) for outcome, one in zip(outcomes, graded, strict=True)]
    return over_runs(semantic(config), runs, graded)


def over_runs(config: Mapping[str, Any], runs: Sequence[Run], graded: Sequence[Graded]) -> Results:
    """Compute what runs say together, with the grades of their held-out answers. `config` is its semantic part."""
    return Results(
        burnish_version=__version__,
        config=dict(config),
        runs=tuple(runs),
        summary=tuple(_summary(runs)),
        paired=tuple(paired(graded)),
        noise=tuple(noise(graded)),
    )


def _run(outcome: Outcome, graded: Graded, task: Task) -> Run:
    """Return the metrics and counts of one outcome."""
    orders, labels = graded.orders, read_grades(outcome.labels)
    prompts = len(orders[0])
    accuracy = [sum(order.values()) / prompts for order in orders] if prompts else []
    metrics = {
        "test_accuracy": Metric.of(shares_interval(accuracy, prompts) if accuracy else None),
        "label_accuracy": Metric.share(sum(row.correct for row in labels.values()), len(labels)),
    }
    training = read_json(outcome.training, TRAINING)
    counts = {"train_rows": len(training["trained_on"]), "without_answer": training["without_answer"]}
    counts |= rl_counts(training, outcome)
    counts["dropped"] = read_json(outcome.rows.data, "data.json")["dropped"]  # rows that the task could not use
    if outcome.round.compared is not None:
        of_round, counts_of_round = _of_round(outcome, outcome.round.compared, task)
        metrics |= of_round
        counts |= counts_of_round
    if outcome.round.compared is not None and not outcome.round.relabelled:
        # Methods that train on preference pairs replace no labels: the count of pairs takes the place of the share.
        # The pairs of RL train its reward model.
        counts["pairs_trained_on"] = training.get("pairs", counts.get("accepted", 0))
    if outcome.round.rows is not None:
        every = len(outcome.rows.examples())
        metrics["removed"] = Metric(value=1 - len(labels) / every, n=every, ci95=None)
    if outcome.divergence is not None:
        metrics |= _divergence(outcome.divergence)
    if outcome.versus is not None:
        metrics["win_rate"] = _win_rate(outcome.versus, prompts)
    if isinstance(task, SaysMore):
        examples = outcome.held_out.examples()
        extra = task.said([(examples[id_], text) for id_, text in texts_of(outcome).items()])
        metrics |= {name: Metric.share(*share) for name, share in extra.shares.items()}
        counts |= extra.counts
    if outcome.referenced is not None:
        judged_contests = contests_of(outcome, outcome.referenced)
        metrics |= judged_contests.metrics()
        counts |= judged_contests.counts()
    return Run(
        method=outcome.method,
        kind=outcome.kind,
        seed=outcome.seed,
        round=outcome.round.number,
        metrics=metrics,
        counts=counts,
        curve=tuple(_point(point) for point in thinned(read_curve(outcome.training), CURVE_POINTS)),
        rl_curve=rl_curve(outcome),
        by_order=tuple(accuracy) if len(accuracy) > 1 else (),
    )


def _of_round(outcome: Outcome, compared: Compared, task: Task) -> tuple[dict[str, Metric], dict[str, int]]:
    """Return the metrics and counts of a round's ledger."""
    ledger, right = read_ledger(compared.ledger), right_side(outcome, task)
    judged = [row for row in ledger if row.score is not None]
    # A removal follows from the same verdict as a replacement.
    accepted = [row for row in ledger if row.reason in {Reason.ACCEPTED, Reason.REMOVED}]
    metrics: dict[str, Metric] = {}
    counts = {str(reason): n for reason, n in sorted(Counter(row.reason for row in ledger).items())}
    # In the ledger of a method that asks nobody, a score is no comparison: it is a share of votes or an entropy.
    settings = METHODS.get(outcome.kind)
    asks = settings is None or settings.asks_annotator
    # Equal pairs are judged once, so they count once.
    pairs = {(row.kept, row.proposed) for row in judged}
    counts["compared"] = len(pairs) + sum(len(read_comparisons(stage)) for stage in compared.before) if asks else 0
    if outcome.round.relabelled:
        # Shares of votes and entropies say nothing about an annotator.
        counts |= as_mapping(evidence(ledger)) if asks or not judged else {}
        replaced = sum(row.reason is Reason.ACCEPTED for row in ledger)
        metrics["replaced"] = Metric(value=replaced / len(ledger), n=len(ledger), ci95=None)
        counts |= {str(effect): n for effect, n in effects(accepted, right).items()}
        counts |= _removed(accepted, right)
    if judged and asks:
        metrics["annotator_accuracy"] = Metric.share(*right_calls(judged, right))
    if judged:
        metrics["accepted_accuracy"] = Metric.share(*right_calls(accepted, right))
    figures = None if compared.judged is None else read_routing(compared.judged)
    if figures is not None:
        metrics |= {"wrong_when_sure": Metric.of(figures.errors.sure), "wrong": Metric.of(figures.errors.every)}
        counts |= figures.decided
    return metrics, counts


def _removed(accepted: Iterable[Refinement], right: Callable[[str, str], bool]) -> dict[str, int]:
    """Count how many of the labels whose row was removed were right, and how many were wrong."""
    called = [right(row.example_id, row.kept) for row in accepted if row.reason is Reason.REMOVED]
    return {"removed_right": sum(called), "removed_wrong": len(called) - sum(called)} if called else {}


def _point(point: TrainingPoint) -> CurvePoint:
    """Round a point to four decimals, which is all that a figure shows. A suite has thousands of points."""
    values = {name: round(value, 4) for name, value in as_mapping(point).items() if name != "step"}
    return CurvePoint(step=point.step, **values)


def _divergence(divergence: Divergence) -> dict[str, Metric]:
    """Return KL(model || SFT model) in nats, per sequence and per token, estimated from the model's own samples.

    A sample without an end is left out.
    """
    own, reference = read_scores(divergence.own), read_scores(divergence.reference)
    # The mean of log p - log q over samples from p is an unbiased estimate of KL(p || q).
    differences = [own[id_].value - reference[id_].value for id_ in sorted(own)]
    if not differences:
        nothing = Metric.of(None)
        return {"kl": nothing, "kl_per_token": nothing}
    tokens = [own[id_].tokens for id_ in sorted(own)]
    return {"kl": Metric.of(mean_interval(differences)), "kl_per_token": Metric.of(ratio_interval(differences, tokens))}


def _win_rate(versus: Versus, prompts: int) -> Metric:
    """Return how often the annotator prefers the round's answer. Equal answers count as ties."""
    judged = read_preferences(Path(versus.judged.path))
    # Prompts on which both models wrote the same answer are not among the comparisons.
    verdicts = [judged[comparison.id].verdict for comparison in read_comparisons(versus.compared)]
    return Metric.of(win_rate([*verdicts, *[Verdict.TIE] * (prompts - len(verdicts))]))


def right_side(outcome: Outcome, task: Task) -> Callable[[str, str], bool]:
    """Return a function that takes an example id and a demonstration id and says whether the demonstration is right."""
    examples, sides = outcome.rows.examples(), sides_of(outcome)

    @functools.cache  # grading may execute queries, and several counts ask about the same demonstration
    def right(example_id: str, side: str) -> bool:
        return is_right(task, examples, sides[side])

    return right


def is_right(task: Task, examples: Mapping[str, Example], side: Demonstration) -> bool:
    """Say whether an answer is right."""
    return graded(task.on(examples[side.example_id]), side).correct


def sides_of(outcome: Outcome) -> dict[str, Demonstration]:
    """Return {demonstration id: demonstration} for all answers that a round compared."""
    compared = outcome.round.compared
    assert compared is not None, outcome
    return {row.id: row for artifact in compared.sides for rows in read_samples(artifact).values() for row in rows}


def _summary(runs: Sequence[Run]) -> Iterable[SummaryRow]:
    """Yield mean, standard deviation and t interval over seeds, for every metric of every method's round."""
    groups: dict[tuple[str, int, str], list[float]] = {}
    for run in runs:
        for name, metric in run.metrics.items():
            values = groups.setdefault((run.method, run.round, name), [])
            # A metric may be undefined under one seed. The mean is then over the others, and `seeds` says how many.
            if metric.value is not None:
                values.append(metric.value)
    for (method, round_, metric), values in groups.items():
        # All metrics but the divergences are shares.
        over_seeds = mean_interval if metric.startswith("kl") else share_interval
        interval = over_seeds(values) if values else None
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
    """Return the sample standard deviation, or None if there are fewer than two values."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    # n - 1 in the denominator: the seeds are a sample of all seeds.
    return (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
