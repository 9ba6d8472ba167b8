"""The table that shows where the noise of test accuracy comes from."""

from __future__ import annotations

import math

from burnish.report.series import methods
from burnish.report.tables import Cell, Table
from burnish.report.text import NONE
from burnish.results import Results

SOURCES = {"seed": "seed", "order": "order of rows", "prompt": "prompt"}
"""The sources of noise that the table shows, with their names for people. Two of them together are left out."""


def noise_table(results: Results) -> Table:
    """Return the standard deviation between single seeds, orders of rows and prompts, for each method and round.

    It is in percentage points, and 0 where the data show no such noise. A file of an earlier version has no rows.
    """
    known = {(row.method, row.round, row.source): row.variance for row in results.noise}
    places = dict.fromkeys((row.method, row.round) for row in results.noise)
    labels = {method.name: method.label for method in methods(results)}
    rows = [
        (
            Cell(labels.get(method, method)),
            Cell(str(number)),
            *(_deviation(known.get((method, number, source))) for source in SOURCES),
        )
        for method, number in places
    ]
    header = ("method", "round", *SOURCES.values())
    return Table(title="Where the noise of test accuracy comes from", header=header, rows=tuple(rows), names=1)


def _deviation(variance: float | None) -> Cell:
    return Cell(NONE) if variance is None else Cell(f"{100 * math.sqrt(max(variance, 0.0)):.1f}")
