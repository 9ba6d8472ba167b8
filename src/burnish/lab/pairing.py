"""Grades of held-out prompts side by side: differences between methods, where their noise comes from, and the grades
themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeAlias

from burnish.lab.experiment import Outcome
from burnish.lab.win_rates import contests_of
from burnish.results import REFERENCE_WIN_RATE, Answered, MethodRound, NoiseRow, PairedRow, PromptGrades
from burnish.stats import paired_interval, variance_components
from burnish.steps.artifacts import read_grades

SFT = "sft"
"""The method that every round is compared with, if a config has a method of that name."""
ACCURACY = "test_accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """What the held-out answers of one method, seed and round are worth.

    `orders` has {example id: 1 if the answer is right, else 0} for each order of rows. `wins` is {example id: P(the
    answer beats the reference)} for the prompts that a judge decided.
    """

    at: MethodRound
    seed: int
    orders: Sequence[Mapping[str, int]]
    wins: Mapping[str, float] = field(default_factory=dict[str, float])

    def right(self) -> Mapping[str, float]:
        """Return {example id: the share of orders of rows in which the answer is right}."""
        return {id_: sum(order[id_] for order in self.orders) / len(self.orders) for id_ in self.orders[0]}


BySeed: TypeAlias = Mapping[int, Graded]
"""{seed: grades} of one method after one round."""


def _orders(outcome: Outcome) -> list[dict[str, int]]:
    """Return {example id: 1 if the test answer is right, else 0} for each order of rows."""
    grades = map(read_grades, (outcome.test, *outcome.reordered))
    return [{id_: int(row.correct) for id_, row in order.items()} for order in grades]


def graded_of(outcomes: Iterable[Outcome]) -> list[Graded]:
    """Return the grades of outcomes. They are on disk, and many differences need them, so they are read once."""
    return [
        Graded(
            at=(outcome.method, outcome.round.number),
            seed=outcome.seed,
            orders=_orders(outcome),
            wins=_wins(outcome),
        )
        for outcome in outcomes
    ]


def graded_again(grades: PromptGrades) -> list[Graded]:
    """Return the grades that a results folder holds."""
    return [
        Graded(
            at=(row.method, row.round),
            seed=row.seed,
            orders=[dict(zip(grades.prompts[row.prompts], map(int, text), strict=True)) for text in row.right],
        )
        for row in grades.answered
    ]


def by_round(graded: Iterable[Graded]) -> dict[MethodRound, dict[int, Graded]]:
    """Return {(method, round): {seed: grades}}, in the order of the grades."""
    found: dict[MethodRound, dict[int, Graded]] = {}
    for one in graded:
        found.setdefault(one.at, {})[one.seed] = one
    return found


def paired(graded: Sequence[Graded]) -> Iterable[PairedRow]:
    """Yield differences that are paired by seed and prompt.

    First come the last rounds of every two methods. Then each earlier round is compared with `sft`. The metrics are
    test accuracy and, if a judge compared answers with references, the win rate against references.
    """
    rounds = by_round(graded)
    # Rounds come in order, so a later one replaces an earlier one.
    last = {method: (method, number) for method, number in rounds}
    # The later method of a config comes first in its pair. Where a config lists its baseline first, gains are positive.
    pairs = [(a, b) for b, a in combinations(last.values(), 2)]
    if SFT in last:
        pairs += [(at, last[SFT]) for at in rounds if at[1] > 0 and at not in last.values()]
    right = {at: {seed: one.right() for seed, one in seeds.items()} for at, seeds in rounds.items()}
    wins = {at: {seed: one.wins for seed, one in seeds.items()} for at, seeds in rounds.items()}
    for metric, values in ((ACCURACY, right), (REFERENCE_WIN_RATE, wins)):
        for a, b in pairs:
            row = _difference(metric, a, b, values)
            if row is not None:
                yield row


def _wins(outcome: Outcome) -> Mapping[str, float]:
    """Return {example id: P(the answer beats the reference)} for the prompts that the judge decided."""
    if outcome.referenced is None:
        return {}
    judged_contests = contests_of(outcome, outcome.referenced)
    return {id_: contest.p_wins for id_, contest in judged_contests.by_id.items() if contest.p_wins is not None}


def _difference(
    metric: str, a: MethodRound, b: MethodRound, values: Mapping[MethodRound, Mapping[int, Mapping[str, float]]]
) -> PairedRow | None:
    """Return the mean difference over the prompts that have a value on both sides in every seed. Returns None if there
    is no such prompt."""
    seeds = sorted(values[a].keys() & values[b].keys())
    sides = [(values[a][seed], values[b][seed]) for seed in seeds]
    ids = sorted(set[str].intersection(*(set(of_a) & set(of_b) for of_a, of_b in sides))) if sides else []
    if not ids:
        return None
    # One list per seed, so that seeds and prompts can be told apart.
    interval = paired_interval(*([[side[id_] for id_ in ids] for side in of] for of in zip(*sides, strict=True)))
    return PairedRow(
        metric=metric,
        a=a[0],
        a_round=a[1],
        b=b[0],
        b_round=b[1],
        difference=interval.value,
        ci95=interval.ci95,
        seeds=len(seeds),
        prompts=len(ids),
    )


def noise(graded: Sequence[Graded]) -> Iterable[NoiseRow]:
    """Yield where the noise of each round's test accuracy comes from: seeds, orders of rows and prompts.

    A round is left out if its seeds did not answer the same prompts, or if there is only one of everything.
    """
    for (method, number), seeds in by_round(graded).items():
        orders = [one.orders for _, one in sorted(seeds.items())]
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


def prompt_grades(graded: Iterable[Graded]) -> PromptGrades:
    """Return the grades of all answers to held-out prompts."""
    lists: dict[tuple[str, ...], int] = {}
    answered: list[Answered] = []
    for one in graded:
        ids = tuple(sorted(one.orders[0]))
        answered.append(
            Answered(
                method=one.at[0],
                seed=one.seed,
                round=one.at[1],
                prompts=lists.setdefault(ids, len(lists)),
                right=tuple("".join(str(order[id_]) for id_ in ids) for order in one.orders),
            )
        )
    return PromptGrades(prompts=tuple(lists), answered=tuple(answered))
