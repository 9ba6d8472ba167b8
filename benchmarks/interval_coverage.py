"""How often 95 % intervals of a difference cover the truth.

    python benchmarks/interval_coverage.py --out docs/results/interval-coverage.json

Experiments are simulated: two methods answer the same prompts under several seeds and orders of rows. A prompt has a
difficulty, a training has its luck, and an answer is then right by chance. The interval of burnish is compared with a t
interval over seeds alone and with a crossed bootstrap over seeds and prompts.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.stats import mean_interval, over_seeds
from burnish.store.files import pretty, write_atomic

GAIN = 0.05
"""How much more often the first method is right, before chances are cut to [0, 1]."""
DIFFICULTY = 0.2
"""The standard deviation of the difficulty of prompts."""
RESAMPLED = 1000
"""The draws of a bootstrap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """An experiment. `luck` is the standard deviation of seeds, and also that of orders of rows."""

    seeds: int
    orders: int
    prompts: int
    luck: float


DESIGNS = (
    Design(seeds=1, orders=1, prompts=279, luck=0.0),
    Design(seeds=2, orders=1, prompts=500, luck=0.03),
    Design(seeds=3, orders=1, prompts=279, luck=0.03),
    Design(seeds=3, orders=3, prompts=279, luck=0.03),
    Design(seeds=5, orders=1, prompts=500, luck=0.0),
    Design(seeds=5, orders=1, prompts=500, luck=0.03),
    Design(seeds=6, orders=3, prompts=500, luck=0.03),
    Design(seeds=8, orders=1, prompts=500, luck=0.03),
)


def graded(generator: np.random.Generator, design: Design) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the share of orders in which each method is right, of the shape seeds x prompts."""
    difficulty_P = DIFFICULTY * generator.normal(size=design.prompts)
    sides: list[NDArray[Any]] = []
    for gain in (GAIN, 0.0):
        luck_S11 = design.luck * generator.normal(size=(design.seeds, 1, 1))
        luck_SO1 = design.luck * generator.normal(size=(design.seeds, design.orders, 1))
        chance_SOP: NDArray[Any] = np.clip(0.6 + difficulty_P + luck_S11 + luck_SO1 + gain, 0, 1)
        right_SOP: NDArray[Any] = np.asarray(generator.random(chance_SOP.shape) < chance_SOP)
        sides.append(right_SOP.mean(axis=1))
    return sides[0], sides[1]


def truth(luck: float) -> float:
    """Return the expected difference, from a simulation that is so large that its own noise does not matter."""
    a, b = graded(np.random.default_rng(99), Design(seeds=1000, orders=1, prompts=4000, luck=luck))
    return float((a - b).mean())


def bootstrap(difference_SP: NDArray[Any], generator: np.random.Generator) -> tuple[float, float]:
    """Return the percentile interval of a bootstrap that draws seeds and prompts independently of each other."""
    seeds, prompts = difference_SP.shape
    count_DS = generator.multinomial(seeds, [1 / seeds] * seeds, size=RESAMPLED)
    count_DP = generator.multinomial(prompts, [1 / prompts] * prompts, size=RESAMPLED)
    mean_D = ((count_DS / seeds @ difference_SP) * (count_DP / prompts)).sum(axis=1)
    low, high = np.quantile(mean_D, [0.025, 0.975])
    return float(low), float(high)


def coverage(design: Design, draws: int) -> dict[str, dict[str, float]]:
    """Return for each interval how often it covers the truth, and its mean width."""
    generator, right = np.random.default_rng(0), truth(design.luck)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(draws):
        a, b = graded(generator, design)
        found.setdefault("burnish", []).append(over_seeds(a, b).bounds())
        found.setdefault("crossed bootstrap", []).append(bootstrap(a - b, generator))
        alone = mean_interval([float(mean) for mean in (a - b).mean(axis=1)]).ci95
        if alone is not None:
            found.setdefault("t over seeds", []).append(alone)
    return {
        name: {
            "covers": round(sum(low <= right <= high for low, high in intervals) / draws, 4),
            "width": round(sum(high - low for low, high in intervals) / draws, 4),
        }
        for name, intervals in found.items()
    }


def main() -> None:
    """Simulate every design and print the results."""
    parser = argparse.ArgumentParser(description="How often intervals cover the truth.")
    parser.add_argument("--draws", type=int, default=1000, help="simulated experiments for each design")
    parser.add_argument("--out", type=Path, default=None, help="a JSON file for the results")
    given = parser.parse_args()
    rows = [asdict(design) | {"intervals": coverage(design, given.draws)} for design in DESIGNS]
    for row in rows:
        print(json.dumps(row), flush=True)
    if given.out is not None:
        write_atomic(given.out, pretty({"draws": given.draws, "designs": rows}))


if __name__ == "__main__":
    main()
