"""Variance components: by hand, against another way to compute them, and on simulated data."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.stats import SETUP, variance_components

Sizes = tuple[int, int, int, int, int]


def found_in(values: object) -> dict[str, float | None]:
    return {component.name: component.variance for component in variance_components(values)}  # pyright: ignore[reportArgumentType]


def simulated(generator: np.random.Generator, sizes: Sizes, sds: dict[str, float]) -> np.ndarray:
    """Values of shape worlds x bases x seeds x orders x prompts with these standard deviations of the sources."""
    w, b, s, o, p = sizes
    shapes = {
        "world": (w, 1, 1, 1, 1),
        "base": (1, b, 1, 1, 1),
        "seed": (w, b, s, 1, 1),
        "order": (w, b, s, o, 1),
        "prompt": (w, 1, 1, 1, p),
        "seed x prompt": (w, b, s, 1, p),
        "order x prompt": (w, b, s, o, p),
    }
    return sum((sd * generator.normal(size=shapes[name]) for name, sd in sds.items()), np.zeros(sizes))


def test_seeds_and_prompts_by_hand() -> None:
    # Rows 0 2 and 4 10: means 1 and 7, prompt means 2 and 6, mean 4.
    # MS seeds = 2 * (9 + 9) = 36, MS prompts = 2 * (4 + 4) = 16, MS rest = 4 * 1 = 4 (rest: 1 -1 -1 1).
    components = {c.name: c for c in variance_components([[[[[0, 2]], [[4, 10]]]]])}
    assert {name: c.variance for name, c in components.items()} == {
        "world": None,
        "base": None,
        "seed": pytest.approx((36 - 4) / 2),
        "order": None,
        "prompt": pytest.approx((16 - 4) / 2),
        "seed x prompt": pytest.approx(4),
    }
    assert (components["seed"].of_mean, components["seed"].df) == (pytest.approx(8), 1)
    assert components["seed x prompt"].of_mean == pytest.approx(1)
    assert components["order"].of_mean is None


def test_one_kind_of_unit_gives_the_usual_variance() -> None:
    values = np.array([0.2, 0.9, 0.4, 0.1])
    assert found_in(values.reshape(1, 1, 4, 1, 1))["seed"] == pytest.approx(values.var(ddof=1))
    assert found_in(values.reshape(1, 1, 1, 1, 4))["prompt"] == pytest.approx(values.var(ddof=1))
    assert found_in(values.reshape(4, 1, 1, 1, 1))["world"] == pytest.approx(values.var(ddof=1))


def test_nested_orders_are_the_one_way_analysis_within_seeds() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(1, 1, 5, 3, 1))
    rows = values[0, 0, :, :, 0]
    within = rows.var(axis=1, ddof=1).mean()
    assert found_in(values)["order"] == pytest.approx(within)
    assert found_in(values)["seed"] == pytest.approx(rows.mean(axis=1).var(ddof=1) - within / 3)


def test_all_parts_of_the_mean_add_up_to_the_spread_of_the_worlds() -> None:
    # The variance of the mean over worlds is estimated without bias by the spread of their means, if nothing crosses
    # them. So the parts must add up to it exactly.
    values = simulated(
        np.random.default_rng(1), (3, 1, 4, 2, 5), dict.fromkeys(("world", "seed", "order", "prompt"), 1)
    )
    spread = values.mean(axis=(1, 2, 3, 4)).var(ddof=1) / 3
    assert sum(c.of_mean or 0.0 for c in variance_components(values)) == pytest.approx(spread)


@pytest.mark.slow
def test_simulated_components_are_found() -> None:
    sds = {
        "world": 0.5,
        "base": 0.4,
        "seed": 0.3,
        "order": 0.2,
        "prompt": 0.6,
        "seed x prompt": 0.3,
        "order x prompt": 0.5,
    }
    generator = np.random.default_rng(2)
    draws = [found_in(simulated(generator, (4, 3, 3, 3, 10), sds)) for _ in range(400)]
    for name in {*draws[0]}:
        estimates = np.array([draw[name] for draw in draws], dtype=float)
        error = estimates.std(ddof=1) / np.sqrt(len(estimates))
        # Estimates are unbiased: their mean over 400 draws is within four standard errors of the truth.
        assert abs(estimates.mean() - sds.get(name, 0.0) ** 2) < 4 * error, name
    assert {"world x base", "base x prompt"} < {*draws[0]}


def test_interactions_with_one_unit_are_left_out() -> None:
    assert [*found_in(np.zeros((2, 1, 3, 1, 4)))] == [*SETUP, "seed x prompt"]
    assert [*found_in(np.zeros((1, 1, 3, 2, 4)))] == [*SETUP, "seed x prompt", "order x prompt"]
    assert found_in(np.zeros((2, 1, 3, 1, 4)))["base"] is None


@pytest.mark.parametrize(
    "values", [[], [1.0, 2.0], np.zeros((1, 1, 0, 1, 1)), np.full((1, 1, 2, 1, 2), np.nan)], ids=str
)
def test_what_is_not_balanced_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="worlds x bases x seeds x orders x prompts"):
        found_in(values)
