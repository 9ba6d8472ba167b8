"""The reliability diagram: pooled counts, its error by hand, and what the figure and the page show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from burnish.report.page import render
from burnish.report.reliability import by_method, reliability_drawing, reliability_table, view_of
from burnish.results import Confidence, Reliability, read_results, read_timings

FIXTURE = Path(__file__).parents[1] / "fixtures" / "results-v1"
EMPTY: tuple[int, int, float | None] = (0, 0, None)


def reliability(low: tuple[int, int, float | None], high: tuple[int, int, float | None]) -> Reliability:
    """Ten bins with judgements in the first and the last one."""
    return Reliability.of([low, *[EMPTY] * 8, high])


SURE = reliability((10, 5, 0.52), (30, 21, 0.99))


def line(method: str, seed: int, found: Reliability | None) -> Confidence:
    return Confidence(method=method, seed=seed, round=1, judged=[0] * 10, accepted=[0] * 10, reliability=found)


def test_the_calibration_error_is_the_mean_distance_over_judgements() -> None:
    assert SURE.n == 40
    assert SURE.error == pytest.approx((10 * abs(0.5 - 0.52) + 30 * abs(0.7 - 0.99)) / 40)
    assert reliability(EMPTY, EMPTY).error is None


def test_seeds_and_rounds_are_pooled_by_their_counts() -> None:
    pooled = Reliability.pooled([SURE, reliability(EMPTY, (10, 9, 0.95))])
    assert pooled is not None
    assert (pooled.bins[0].n, pooled.bins[9].n, pooled.bins[9].right) == (10, 40, 30)
    assert pooled.bins[9].mean_p == pytest.approx((30 * 0.99 + 10 * 0.95) / 40)
    assert Reliability.pooled([]) is None


def test_methods_that_compared_something_have_a_curve() -> None:
    rows = [
        line("ilr", 0, SURE),
        line("ilr", 1, SURE),
        line("naive", 0, reliability(EMPTY, EMPTY)),
        line("sft", 0, None),
    ]
    found = by_method(read_results(FIXTURE), rows)
    assert {label: one.n for label, one in found.items()} == {"ILR": 80}


def test_the_figure_has_every_curve_and_the_counts() -> None:
    drawing = reliability_drawing("title", {"a judge": SURE, "nobody": reliability(EMPTY, EMPTY)})
    assert drawing is not None
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawing.svg)
    assert {"a judge", "perfectly calibrated", "10", "30", "title"} <= set(texts)
    assert "nobody" not in texts
    assert reliability_drawing("title", {"nobody": reliability(EMPTY, EMPTY)}) is None
    assert view_of("title", {}) is None


def test_the_table_has_counts_and_wilsons_intervals() -> None:
    table = reliability_table({"a judge": SURE})
    cells = [[f"{cell.text} {cell.detail}".replace("\u00a0", " ").strip() for cell in row] for row in table.rows]
    assert cells == [
        ["0.50 to 0.55", "50.0 % 5 of 10; 23.7 to 76.3"],
        ["0.95 to 1.00", "70.0 % 21 of 30; 52.1 to 83.3"],
        ["expected calibration error", "22.2 points n 40"],
    ]


def test_the_page_shows_it_where_it_was_measured() -> None:
    results, timings = read_results(FIXTURE), read_timings(FIXTURE)
    heading = "Whether it was right to be so sure"
    with_it = render(results, timings, [], "", confidence=[line("ilr", 0, SURE)], drawings=[])
    assert heading in with_it
    assert "21 of 30" in with_it
    assert heading not in render(results, timings, [], "", confidence=[line("ilr", 0, None)], drawings=[])
