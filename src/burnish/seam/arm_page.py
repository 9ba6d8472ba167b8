"""What a page shows of an experiment with reinforcement learning (RL): a grid or a table of arms, and its curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from markupsafe import Markup

from burnish.report.drawing import Axis, Curve, Drawing, Mark, curves
from burnish.report.facts import Fact
from burnish.report.tables import Cell, Table
from burnish.report.text import NONE
from burnish.results import Metric
from burnish.seam.arm_results import ArmResult, ArmResults, Quantity, StepPoint, quantity
from burnish.seam.heat_map import HeatMap, Tile, difference_tile, share_tile
from burnish.seam.study_claims import JudgedClaim
from burnish.stats import mean_interval

STRONGEST = 0.15
"""A difference of so much has the full colour."""
SHOWN: dict[Quantity, str] = {
    Quantity.SAMPLED: "Samples right after RL",
    Quantity.GAIN: "Samples right after RL, minus before",
    Quantity.GREEDY: "Greedy answers right after RL",
    Quantity.MISMATCH: "Mismatch before RL",
    Quantity.MISMATCH_RISE: "Mismatch after RL, minus before",
    Quantity.OFF_POLICY: "Accuracy of the reward model on held-out pairs",
}
"""What is shown of each arm, and what it is called."""
DIFFERENCES = frozenset({Quantity.GAIN, Quantity.MISMATCH_RISE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmsPart:
    """The part of a page about an experiment with RL: a grid of policies and rewards, or a table of arms. `against` has
    the differences from the first arm. `figures` are titles and drawings."""

    template: ClassVar[str] = "seam_arms_part.html.j2"

    name: str
    verdicts: Sequence[JudgedClaim]
    facts: Sequence[Fact]
    grids: Sequence[HeatMap]
    arms: Table | None
    against: Table | None
    figures: Sequence[tuple[str, Markup]]


def arms_part(results: ArmResults, verdicts: Sequence[JudgedClaim]) -> ArmsPart:
    """Return what a page shows of an experiment."""
    named = any(one.arm for one in results.arms)
    seeds = sorted({one.seed for one in results.arms})
    return ArmsPart(
        name=results.name,
        verdicts=verdicts,
        facts=[
            Fact("Policies", ", ".join(f"{rows:,} gold rows" for rows in sorted({a.policy for a in results.arms}))),
            Fact("Reward models", ", ".join(_rewards(results.arms))),
            Fact("Seeds", ", ".join(map(str, seeds))),
        ],
        grids=[] if named else _grids(results.arms),
        arms=_table(results.arms) if named else None,
        against=_against(results.arms) if named and len(seeds) > 1 else None,
        figures=[_shown(one) for one in _figures(results, named)],
    )


def over_seeds(arms: Sequence[ArmResult], wanted: Quantity) -> Metric:
    """Return the mean of a number over seeds with a t interval. Several arms of a seed count as their mean."""
    by_seed: dict[int, list[float]] = {}
    for arm in arms:
        if (value := quantity(arm, wanted)) is not None:
            by_seed.setdefault(arm.seed, []).append(value)
    return Metric.of(mean_interval([fmean(values) for values in by_seed.values()]) if by_seed else None)


def _rewards(arms: Sequence[ArmResult]) -> list[str]:
    """Return the names of what rewards, in the order of the results."""
    return list(dict.fromkeys(one.reward for one in arms))


def _grids(arms: Sequence[ArmResult]) -> list[HeatMap]:
    policies = sorted({one.policy for one in arms})
    maps: list[HeatMap] = []
    for wanted, title in SHOWN.items():
        # The true reward has no mismatch and no held-out pairs, so there it has no column.
        header = [name for name in _rewards(arms) if any(_known(one, wanted) for one in arms if one.reward == name)]
        if not header:
            continue
        rows = [(f"policy on {policy:,} rows", _row(arms, policy, header, wanted)) for policy in policies]
        maps.append(HeatMap(title=title, header=tuple(header), rows=tuple(rows)))
    return maps


def _known(arm: ArmResult, wanted: Quantity) -> bool:
    return quantity(arm, wanted) is not None


def _row(arms: Sequence[ArmResult], policy: int, header: Sequence[str], wanted: Quantity) -> tuple[Tile, ...]:
    cells = [[one for one in arms if (one.policy, one.reward) == (policy, name)] for name in header]
    return tuple(_tile(some, wanted) for some in cells)


def _tile(arms: Sequence[ArmResult], wanted: Quantity) -> Tile:
    metric = over_seeds(arms, wanted)
    return difference_tile(metric, STRONGEST) if wanted in DIFFERENCES else share_tile(metric)


def _table(arms: Sequence[ArmResult]) -> Table:
    rows = tuple(
        (Cell(name), *(_cell(over_seeds(some, wanted), wanted in DIFFERENCES) for wanted in SHOWN))
        for name, some in _by_arm(arms).items()
    )
    return Table(title="Arms", header=("arm", *SHOWN.values()), rows=rows)


def _by_arm(arms: Sequence[ArmResult]) -> dict[str, list[ArmResult]]:
    found: dict[str, list[ArmResult]] = {}
    for one in arms:
        found.setdefault(one.arm, []).append(one)
    return found


def _against(arms: Sequence[ArmResult]) -> Table:
    """Return the differences from the first arm, paired by seed."""
    by_arm = _by_arm(arms)
    first, *others = by_arm
    # What all arms share, such as their reward model, has no difference.
    shown = [wanted for wanted in SHOWN if wanted not in DIFFERENCES and not _shared(by_arm.values(), wanted)]
    rows = tuple(
        (Cell(name), *(_cell(paired(by_arm[name], by_arm[first], wanted), signed=True) for wanted in shown))
        for name in others
    )
    header = (f"minus {first}", *(SHOWN[wanted] for wanted in shown))
    return Table(title="Differences", header=header, rows=rows)


def _shared(groups: Iterable[Sequence[ArmResult]], wanted: Quantity) -> bool:
    """Say whether a number is the same in all arms of each seed."""
    known: list[dict[int, float | None]] = [{one.seed: quantity(one, wanted) for one in group} for group in groups]
    return all(one == known[0] for one in known)


def paired(arms: Sequence[ArmResult], others: Sequence[ArmResult], wanted: Quantity) -> Metric:
    """Return the mean over seeds of the difference between two arms, with a t interval."""
    a, b = ({one.seed: quantity(one, wanted) for one in side} for side in (arms, others))
    found = [one - b_value for seed, one in a.items() if one is not None and (b_value := b.get(seed)) is not None]
    return Metric.of(mean_interval(found) if found else None)


def _cell(metric: Metric, signed: bool) -> Cell:
    if metric.value is None:
        return Cell(NONE)
    sign = "+" if signed else ""
    text = f"{100 * metric.value:{sign}.1f}"
    if metric.ci95 is None:
        return Cell(text)
    return Cell(text, f"{100 * metric.ci95[0]:{sign}.1f} to {100 * metric.ci95[1]:{sign}.1f}")


def _figures(results: ArmResults, named: bool) -> list[tuple[str, Drawing]]:
    """Draw the training curves: of every reward for each policy, or of every arm."""
    arms = results.arms
    groups = (
        {"": _by_arm(arms)}
        if named
        else {
            f"policy on {policy:,} rows": {
                name: [one for one in arms if (one.policy, one.reward) == (policy, name)] for name in _rewards(arms)
            }
            for policy in sorted({one.policy for one in arms})
        }
    )
    return [
        (f"{title}{where and f', {where}'}", _drawn(f"{results.name}-{key}-{number}", title, some, value))
        for number, (where, some) in enumerate(groups.items())
        for key, title, value in (
            ("accuracy", "Right answers while training", _accuracy),
            ("reward", "Reward while training", _reward),
        )
    ]


def _accuracy(point: StepPoint) -> float | None:
    return None if point.accuracy is None else 100 * point.accuracy


def _reward(point: StepPoint) -> float | None:
    return point.reward


def _drawn(
    key: str, title: str, groups: dict[str, list[ArmResult]], value: Callable[[StepPoint], float | None]
) -> Drawing:
    lines = [
        Curve(label=name, marks=marks, joined=True) for name, some in groups.items() if (marks := _marks(some, value))
    ]
    unit = "right answers (%)" if value is _accuracy else "reward (standard deviations)"
    return curves(key, title, Axis(label="step", whole=True), Axis(label=unit), lines)


def _marks(arms: Sequence[ArmResult], value: Callable[[StepPoint], float | None]) -> tuple[Mark, ...]:
    """Return the mean over seeds of each step that all seeds reached."""
    steps: dict[int, list[float]] = {}
    for arm in arms:
        for point in arm.curve:
            if (found := value(point)) is not None:
                steps.setdefault(point.step, []).append(found)
    return tuple(Mark(x=step, y=fmean(found)) for step, found in sorted(steps.items()) if len(found) == len(arms))


def _shown(figure: tuple[str, Drawing]) -> tuple[str, Markup]:
    # Markup is safe here: the drawing is our own, and matplotlib escapes the names that it writes.
    title, drawing = figure
    return title, Markup(drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1))  # noqa: S704
