"""Grades of held-out prompts side by side: differences between methods, where their noise comes from, and the grades
themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

from burnish.lab.experiment import Outcome
from burnish.lab.win_rates import contests_of
from burnish.results import REFERENCE_WIN_RATE, Answered, NoiseRow, PairedRow, PromptGrades
from burnish.stats import paired_interval, variance_components
from burnish.steps.artifacts import read_grades

SFT = "sft"
"""The method that every round is compared with, if a config has a method of that name."""
ACCURACY = "test_accuracy"

BySeed: TypeAlias = Mapping[int, Outcome]
"""{seed: outcome} of one method after one round."""


def by_round(outcomes: Iterable[Outcome]) -> dict[tuple[str, int], dict[int, Outcome]]:
    """Return {(method, round): {seed: outcome}}, in the order of the outcomes."""
    found: dict[tuple[str, int], dict[int, Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.method, outcome.round.number), {})[outcome.seed] = outcome
    return found


def graded_orders(outcome: Outcome) -> list[dict[str, int]]:
    """Return {example id: 1 if the test answer is right, else 0} for each order of rows."""
    grades = map(read_grades, (outcome.test, *outcome.reordered))
    return [{id_: int(row.correct) for id_, row in order.items()} for order in grades]


def paired(outcomes: Sequence[Outcome]) -> Iterable[PairedRow]:
    """Yield differences that are paired by seed and prompt.

    First come the last rounds of every two methods. Then each earlier round is compared with `sft`. The metrics are
    test accuracy and, if a judge compared answers with references, the win rate against references.
    """
    rounds = by_round(outcomes)
    # Rounds come in order, so a later one replaces an earlier one.
    last = {method: (method, number) for method, number in rounds}
    # The later method of a config comes first in its pair. Where a config lists its baseline first, gains are positive.
    pairs = [(rounds[a], rounds[b]) for b, a in combinations(last.values(), 2)]
    if SFT in last:
        pairs += [
            (outcomes_of, rounds[last[SFT]])
            for (method, number), outcomes_of in rounds.items()
            if number > 0 and (method, number) not in last.values()
        ]
    for metric, values in ((ACCURACY, _right), (REFERENCE_WIN_RATE, _wins)):
        # Each outcome takes part in many pairs, and its grades are on disk: read them once.
        read = functools.cache(values)
        for a, b in pairs:
            row = _difference(metric, a, b, read)
            if row is not None:
                yield row


def _right(outcome: Outcome) -> Mapping[str, float]:
    """Return {example id: the share of orders of rows in which the test answer is right}."""
    orders = graded_orders(outcome)
    return {id_: sum(order[id_] for order in orders) / len(orders) for id_ in orders[0]}


def _wins(outcome: Outcome) -> Mapping[str, float]:
    """Return {example id: P(the answer beats the reference)} for the prompts that the judge decided."""
    if outcome.referenced is None:
        return {}
    judged_contests = contests_of(outcome, outcome.referenced)
    return {id_: contest.p_wins for id_, contest in judged_contests.by_id.items() if contest.p_wins is not None}


def _difference(
    metric: str, a: BySeed, b: BySeed, values: Callable[[Outcome], Mapping[str, float]]
) -> PairedRow | None:
    """Return the mean difference over the prompts that have a value on both sides in every seed. Returns None if there
    is no such prompt."""
    seeds = sorted(a.keys() & b.keys())
    sides = [(values(a[seed]), values(b[seed])) for seed in seeds]
    ids = sorted(set[str].intersection(*(set(of_a) & set(of_b) for of_a, of_b in sides))) if sides else []
    if not ids:
        return None
    # One list per seed, so that seeds and prompts can be told apart.
    interval = paired_interval(*([[side[id_] for id_ in ids] for side in of] for of in zip(*sides, strict=True)))
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


def noise(outcomes: Sequence[Outcome]) -> Iterable[NoiseRow]:
    """Yield where the noise of each round's test accuracy comes from: seeds, orders of rows and prompts.

    A round is left out if its seeds did not answer the same prompts, or if there is only one of everything.
    """
    for (method, number), seeds in by_round(outcomes).items():
        orders = [graded_orders(outcome) for _, outcome in sorted(seeds.items())]
        ids = sorted(orders[0][0])
        complete = all(sorted(order) == ids for found in orders for order in found)
        if not ids or not complete or len({len(found) for found in orders}) > 1:
            continue
        right_SOP = [[[order[id_] for id_ in ids] for order in found] for found in orders]
        for component in variance_components([[right_SOP]]):
            if component.variance is not None and component.of_mean is not None:
                yield NoiseRow(
                    metric=ACCURACY,
                    method=method,
                    round=number,
                    source=component.name,
                    variance=component.variance,
                    of_mean=component.of_mean,
                    df=component.df,
                )


def prompt_grades(outcomes: Sequence[Outcome]) -> PromptGrades:
    """Return the grades of all answers to held-out prompts."""
    lists: dict[tuple[str, ...], int] = {}
    answered: list[Answered] = []
    for outcome in outcomes:
        orders = graded_orders(outcome)
        ids = tuple(sorted(orders[0]))
        answered.append(
            Answered(
                method=outcome.method,
                seed=outcome.seed,
                round=outcome.round.number,
                prompts=lists.setdefault(ids, len(lists)),
                right=tuple("".join(str(order[id_]) for id_ in ids) for order in orders),
            )
        )
    return PromptGrades(prompts=tuple(lists), answered=tuple(answered))
