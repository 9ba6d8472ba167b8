"""The data behind figures, tables and sentences: methods in reading order, and one metric over the rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pydantic import JsonValue

from burnish.config import METHODS, TASKS, MethodRole, MethodSettings
from burnish.config.base import Settings
from burnish.config.kinds import Kinds
from burnish.errors import ConfigError
from burnish.results import REFERENCE_WIN_RATE, SUPERVISOR, Bounds, PairedRow, Results, Run
from burnish.types import Effect

S = TypeVar("S", bound=Settings)

ACCURACY = "test_accuracy"
_ORDER = tuple(MethodRole)  # the members stand in reading order
_LABELS = {"weak": "weak supervisor", "ceiling": "ceiling (gold labels)"}
"""The labels of names that stand for no settings class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method that has results. `label` is its name for people, and `last_round` is its highest round."""

    name: str
    role: MethodRole
    label: str
    last_round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The value of one metric after one round.

    `ci95` is Wilson's interval with one seed, otherwise the t-interval over seeds. `n` is the (lowest, highest) number
    of items in a seed.
    """

    round: int
    value: float
    ci95: Bounds | None
    seeds: int
    n: tuple[int, int]


class Relation(StrEnum):
    """How two numbers compare."""

    ABOVE = "above"
    BELOW = "below"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Method a compared with method b.

    `paired` has the paired interval. Without it, `relation` comes from the two methods' own intervals.
    """

    difference: float
    relation: Relation
    paired: PairedRow | None


def setting(results: Results, *keys: str) -> JsonValue:
    """Return a setting of the config by its path of keys. Return None if it is absent."""
    value: JsonValue = results.config
    for key in keys:
        # A config of another shape is no reason to fail: the page then leaves the fact out.
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def methods(results: Results) -> tuple[Method, ...]:
    """Return the methods in reading order: supervisor, SFT, refinement, other methods, no feedback, ceiling."""
    first: dict[str, Run] = {}
    last: dict[str, int] = {}
    for run in results.runs:
        # dict keeps the order of the first runs, so methods of one role stay in the order of the
        # results.
        first.setdefault(run.method, run)
        last[run.method] = max(run.round, last.get(run.method, 0))
    settings = _settings_by_name(results)
    with_results = [_method(run, last[name], settings.get(name, {})) for name, run in first.items()]
    # sorted is stable: methods of one role keep their order.
    return tuple(sorted(with_results, key=lambda method: _ORDER.index(method.role)))


def _settings_by_name(results: Results) -> dict[str, Mapping[str, JsonValue]]:
    """Return the settings of the methods, as the results record them, by the methods' names."""
    entries = setting(results, "methods")
    rows = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {str(row.get("name")): row for row in rows}


def _method(run: Run, last_round: int, settings: Mapping[str, JsonValue]) -> Method:
    """Return a method with its role and its label."""
    known = _class_of(run.kind)
    role = MethodRole.WEAK if run.kind == SUPERVISOR else (known or MethodSettings).role_with(settings)
    label = _LABELS.get(run.method) or _default_label(run.method, known)
    if label is None:
        label = f"{run.method} (gold labels)" if role is MethodRole.CEILING else run.method
    return Method(name=run.method, role=role, label=label, last_round=last_round)


def _class_of(kind: str) -> type[MethodSettings] | None:
    """Return the settings class of a kind, or None if there is none where the report is written."""
    # The supervisor is measured like a method, but it has no settings class.
    return None if kind == SUPERVISOR else _registered(METHODS, kind)


def _registered(kinds: Kinds[S], kind: JsonValue) -> type[S] | None:
    """Return the settings class of a kind, or None if there is none where the report is written."""
    try:
        return kinds.get(kind)
    # A plug-in that cannot be imported is no reason to fail: the results can be read without it.
    except ConfigError:
        return None


def _default_label(name: str, known: type[MethodSettings] | None) -> str | None:
    """Return the label of a method that has its class's default name, or None for any other name."""
    return known.label if known is not None and known.model_fields["name"].default == name else None


def with_role(results: Results, *roles: MethodRole) -> tuple[Method, ...]:
    """Return the methods that have one of `roles`, in reading order."""
    return tuple(method for method in methods(results) if method.role in roles)


def curve(results: Results, method: str, metric: str) -> tuple[Point, ...]:
    """Return one point for each round in which the metric was measured, rounds rising."""
    by_round: dict[int, list[tuple[float, int, Bounds | None]]] = {}
    for run in results.runs:
        measured = run.metrics.get(metric)
        if run.method == method and measured is not None and measured.value is not None:
            by_round.setdefault(run.round, []).append((measured.value, measured.n, measured.ci95))
    summary = {row.round: row for row in results.summary if row.method == method and row.metric == metric}
    points: list[Point] = []
    for number, cells in sorted(by_round.items()):
        ns = [n for _, n, _ in cells]
        # The summary is preferred. The mean is computed here only where a file lacks its row.
        row = summary.get(number)
        mean = sum(value for value, _, _ in cells) / len(cells) if row is None or row.mean is None else row.mean
        # One seed has no spread over seeds, so its own Wilson interval is shown.
        interval = cells[0][2] if len(cells) == 1 else row.ci95 if row is not None else None
        points.append(Point(round=number, value=mean, ci95=interval, seeds=len(cells), n=(min(ns), max(ns))))
    return tuple(points)


def effects_of(results: Results, method: Method) -> dict[int, dict[Effect, int]]:
    """Return {round: {effect: changes of labels, summed over seeds}} of a method, rounds rising.

    Rounds in which nothing is known of the changes are left out.
    """
    sums: dict[int, dict[Effect, int]] = {}
    for run in results.runs:
        # A file of an earlier version has none of these counts.
        if run.method == method.name and all(effect in run.counts for effect in Effect):
            counts = sums.setdefault(run.round, dict.fromkeys(Effect, 0))
            for effect in Effect:
                counts[effect] += run.counts[effect]
    return dict(sorted(sums.items()))


def by_wins(results: Results) -> bool:
    """Say whether the win rate against references is the main result: if it was measured and the task asks for it."""
    judged = any(run.metrics.get(REFERENCE_WIN_RATE) is not None for run in results.runs)
    task = _registered(TASKS, setting(results, "task", "kind"))
    return judged and task is not None and task.ranked_by_wins


def main_metric(results: Results) -> str:
    """Return the metric that says how good a method is."""
    return REFERENCE_WIN_RATE if by_wins(results) else ACCURACY


def point(results: Results, method: Method, metric: str = "test_accuracy") -> Point | None:
    """Return the last point of a method's curve, or None if the metric was not measured."""
    points = curve(results, method.name, metric)
    return points[-1] if points else None


def contrast(results: Results, a: Method, b: Method, metric: str = "test_accuracy") -> Contrast | None:
    """Compare the last points of two methods. Return None if one of them was not measured.

    The paired interval decides if the results have one, otherwise the methods' own intervals.
    """
    at_a, at_b = point(results, a, metric), point(results, b, metric)
    if at_a is None or at_b is None:
        return None
    row = results.paired_row(metric, (a.name, at_a.round), (b.name, at_b.round))
    # The two intervals alone decide: a difference without an interval says nothing about noise.
    if row is None or row.ci95 is None:
        return Contrast(difference=at_a.value - at_b.value, relation=_by_overlap(at_a, at_b), paired=None)
    return Contrast(difference=row.difference, relation=relation_to_zero(row.ci95), paired=row)


def relation_to_zero(interval: Bounds | None) -> Relation:
    """Say whether a difference is clearly above or below zero: whether its whole interval is.

    An interval without width, as in files of earlier versions, comes from equal seeds and shows nothing.
    """
    if interval is None or interval[0] == interval[1]:
        return Relation.UNCLEAR
    if interval[0] > 0:
        return Relation.ABOVE
    return Relation.BELOW if interval[1] < 0 else Relation.UNCLEAR


def _by_overlap(a: Point, b: Point) -> Relation:
    """Compare two points by whether their intervals overlap.

    This is stricter than a paired test: it makes no claim that such a test would refuse.
    """
    if a.ci95 is None or b.ci95 is None:
        return Relation.UNCLEAR
    if a.ci95[0] > b.ci95[1]:
        return Relation.ABOVE
    return Relation.BELOW if a.ci95[1] < b.ci95[0] else Relation.UNCLEAR
