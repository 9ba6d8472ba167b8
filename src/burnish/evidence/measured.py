"""What results folders say about one contrast: the difference in each world, and where its noise comes from.

The letters at the end of array names are their axes: W worlds, B sets of base models, S seeds, O row orders, P prompts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.evidence.registry import ClaimSide, RegisteredClaim
from burnish.results import RESULTS_FILE, PairedRow, PromptGrades, Results, read_prompt_grades, read_results
from burnish.stats import (
    NO_WIDTH,
    Z95,
    ByCounts,
    ByT,
    Component,
    NoisePart,
    Uncertain,
    over_seeds,
    variance_components,
)
from burnish.store.canonical import canonical

# numpy is imported inside the functions: it is slow to import.
if TYPE_CHECKING:
    from numpy.typing import NDArray

ACCURACY = "test_accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class InWorld:
    """The difference a - b in one world.

    `differences` has the shape seeds x row orders x prompts. If the grades of single prompts are not known, it is None
    and `prompts` is 0. `setup` tells worlds and sets of base models apart.
    """

    results: tuple[str, str]
    found: Uncertain
    seeds: int
    orders: int
    prompts: int
    basis: str
    setup: tuple[bytes, bytes]
    differences: NDArray[Any] | None = field(default=None, repr=False)


class Absent(Exception):  # noqa: N818 nothing is wrong: the claim stays open
    """A result that a claim needs does not exist. The message says which."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a contrast in one world, with what its folder holds."""

    at: ClaimSide
    results: Results
    grades: PromptGrades | None

    def by_seed(self) -> dict[int, float]:
        """Return {seed: value of the metric}."""
        return {
            run.seed: value
            for run in self.results.runs
            if (run.method, run.round) == (self.at.method, self.at.round)
            if (metric := run.metrics.get(self.at.metric)) is not None and (value := metric.value) is not None
        }

    def graded(self) -> dict[int, dict[str, list[int]]]:
        """Return {seed: {prompt: grades by order of rows}}, or nothing if the metric is not test accuracy."""
        if self.grades is None or self.at.metric != ACCURACY:
            return {}
        rows = self.grades.of((self.at.method, self.at.round))
        return {seed: dict(self.grades.by_prompt(row)) for seed, row in rows.items()}


@lru_cache(maxsize=64)
def _opened(folder: Path) -> tuple[Results, PromptGrades | None]:
    """Read a folder. Many claims ask for the same ones."""
    return read_results(folder), read_prompt_grades(folder)


def in_worlds(claim: RegisteredClaim, root: Path) -> list[InWorld]:
    """Return the difference in each world of a claim.

    Raises Absent if a folder, a method or a round does not exist, and DataError if a file is wrong.
    """
    return [_in_world(claim, root, places) for places in claim.places()]


def _in_world(claim: RegisteredClaim, root: Path, places: tuple[str, str]) -> InWorld:
    a, b = (_side(at, root, place) for at, place in zip((claim.a, claim.b), places, strict=True))
    setup = _setup(a.results)
    of_a, of_b = a.graded(), b.graded()
    seeds = sorted(of_a.keys() & of_b.keys())
    sides = [grades[seed] for seed in seeds for grades in (of_a, of_b)]
    ids = sorted(set[str].intersection(*map(set[str], sides))) if sides else []
    found = _graded(places, [of_a[seed] for seed in seeds], [of_b[seed] for seed in seeds], ids) if ids else None
    return dataclasses.replace(found or _recorded(places, a, b), setup=setup)


def _side(at: ClaimSide, root: Path, place: str) -> _Side:
    if not (root / place / RESULTS_FILE).is_file():
        raise Absent(f"There are no results in {place} yet.")
    side = _Side(at, *_opened(root / place))
    if not side.by_seed():
        raise Absent(f"{place} has no {at.metric} of {at.method} after round {at.round}.")
    return side


def _graded(
    places: tuple[str, str],
    of_a: Sequence[Mapping[str, list[int]]],
    of_b: Sequence[Mapping[str, list[int]]],
    ids: Sequence[str],
) -> InWorld:
    """Return the difference from the grades of single prompts."""
    import numpy as np  # noqa: PLC0415 slow to import

    orders = min(len(seed[id_]) for side in (of_a, of_b) for seed in side for id_ in ids)
    # Each side's mean is over all orders that it has. Only for the components must there be equally many.
    means = [[[sum(seed[id_]) / len(seed[id_]) for id_ in ids] for seed in side] for side in (of_a, of_b)]
    a_SOP, b_SOP = (
        np.array([[[seed[id_][order] for id_ in ids] for order in range(orders)] for seed in side], dtype=np.float64)
        for side in (of_a, of_b)
    )
    covered = [*(["seeds"] if len(of_a) > 1 else []), *(["row orders"] if orders > 1 else []), "prompts"]
    return InWorld(
        results=places,
        found=over_seeds(*means),
        seeds=len(of_a),
        orders=orders,
        prompts=len(ids),
        basis=f"single grades; covers {', '.join(covered)}",
        setup=(b"", b""),
        differences=a_SOP - b_SOP,
    )


def _recorded(places: tuple[str, str], a: _Side, b: _Side) -> InWorld:
    """Return the difference from the values of seeds, and from the recorded interval where there is one.

    The spread of seeds does not cover prompts, since all seeds answer the same ones. A recorded interval does: in
    folders without grades it is a bootstrap over seeds and prompts. What its variance has above that of seeds is taken
    as the part of prompts. Raises Absent if neither has a width.
    """
    of_a, of_b = a.by_seed(), b.by_seed()
    seeds = sorted(of_a.keys() & of_b.keys())
    if not seeds:
        raise Absent(f"The two sides have no seed in common in {places[0]}.")
    differences = [of_a[seed] - of_b[seed] for seed in seeds]
    value, several = math.fsum(differences) / len(seeds), len(seeds) > 1
    over = sum((one - value) ** 2 for one in differences) / (len(seeds) - 1) / len(seeds) if several else 0.0
    row = _row(a, b) if places[0] == places[1] and a.at.metric == ACCURACY else None
    booted = ((row.ci95[1] - row.ci95[0]) / 2 / Z95) ** 2 if row is not None and row.ci95 is not None else 0.0
    # A bootstrap divides by S and not by S - 1.
    prompts = max(booted - over * (len(seeds) - 1) / len(seeds), 0.0)
    covered = [*(["seeds"] if several else []), *(["prompts, by the recorded interval"] if booted else [])]
    found: Uncertain = ByT(
        value=value,
        parts=(NoisePart(math.sqrt(over), max(len(seeds) - 1, 1)), NoisePart(math.sqrt(prompts), math.inf)),
    )
    if found.error < NO_WIDTH:
        found, covered = _equal(a, b, seeds), ["other prompts, as if no answer differed"]
    return InWorld(
        results=places,
        found=found,
        seeds=len(seeds),
        orders=1,
        prompts=0,
        basis=f"no single grades; covers {' and '.join(covered)}",
        setup=(b"", b""),
    )


def _row(a: _Side, b: _Side) -> PairedRow | None:
    return a.results.paired_row(ACCURACY, (a.at.method, a.at.round), (b.at.method, b.at.round))


def _equal(a: _Side, b: _Side, seeds: Sequence[int]) -> ByCounts:
    """Return Newcombe's interval for two methods that are equally often right in every seed.

    How often they differ on single prompts is not known. The interval is that of two methods that never do. One seed
    alone may be equal by chance. Raises Absent in this case, and if the metric is no test accuracy or the two differ.
    """
    of_a, of_b = a.by_seed(), b.by_seed()
    ns = {run.metrics[ACCURACY].n for run in a.results.runs if (run.method, run.round) == (a.at.method, a.at.round)}
    equal = all(of_a[seed] == of_b[seed] for seed in seeds)
    if len(seeds) < 2 or len(ns) != 1 or not equal or a.at.metric != ACCURACY:
        raise Absent("There are no grades of single prompts, and the seeds do not tell how large the noise is.")
    (n,) = ns
    both = round(n * math.fsum(of_a[seed] for seed in seeds) / len(seeds))
    return ByCounts(both=both, first_only=0, second_only=0, neither=n - both)


def _setup(results: Results) -> tuple[bytes, bytes]:
    """Return what tells worlds apart, and what tells sets of base models apart."""
    config: Mapping[str, Any] = results.config
    return canonical(config.get("task")), canonical(config.get("models"))


def apart(worlds: Sequence[InWorld]) -> bool:
    """Say whether no two folders share a world or base models, so that they are independent samples."""
    tasks, models = zip(*(world.setup for world in worlds), strict=True)
    return len(set(tasks)) == len(worlds) and len(set(models)) == len(worlds)


def components_of(worlds: Sequence[InWorld]) -> tuple[Component, ...]:
    """Return the variance components of a difference, or nothing if some world has no grades of single prompts.

    All worlds are cut to as many seeds, orders and prompts as the smallest has: the first ones by number and by id. If
    the folders do not cross worlds and base models, these cannot be told apart, and `world` stands for both.
    """
    import numpy as np  # noqa: PLC0415 slow to import

    arrays = [world.differences for world in worlds]
    known = [array for array in arrays if array is not None]
    if len(known) < len(worlds):
        return ()
    sizes = [min(array.shape[axis] for array in known) for axis in range(3)]
    cut = [array[: sizes[0], : sizes[1], : sizes[2]] for array in known]
    tasks = sorted({world.setup[0] for world in worlds})
    models = sorted({world.setup[1] for world in worlds})
    crossed = len(tasks) * len(models) == len(worlds) == len({world.setup for world in worlds})
    place: Callable[[InWorld], tuple[int, int]] = lambda world: (  # noqa: E731
        tasks.index(world.setup[0]),
        models.index(world.setup[1]),
    )
    if not crossed:
        return variance_components(np.stack(cut)[:, None])
    by_place = {place(world): array for world, array in zip(worlds, cut, strict=True)}
    return variance_components(
        np.stack([np.stack([by_place[w, b] for b in range(len(models))]) for w in range(len(tasks))])
    )
