"""What a page shows of an experiment on the mismatch: the grid as a heat map, a histogram, a scatter, and examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from markupsafe import Markup

from burnish.algorithms.seam import SHOWN, Variant
from burnish.report.drawing import Axis, Curve, Drawing, Mark, curves
from burnish.report.facts import Fact
from burnish.report.histogram import histogram
from burnish.report.tables import Cell, Table
from burnish.report.text import NONE
from burnish.seam.heat_map import HeatMap, Tile, share_tile
from burnish.seam.page import PromptView, prompt_view
from burnish.seam.results import TABLE_FILE, riskiest
from burnish.seam.study_claims import JudgedClaim
from burnish.seam.study_results import StudyCell, StudyResults, over_seeds
from burnish.seam.table import TableRow, read_table
from burnish.stats import mean_interval

TABLES = "tables"
"""The folder with the SEAM tables of an experiment."""
MOST_EXAMPLES = 8
"""How many prompts the page shows as examples."""


def table_name(seed: int, rows: int, pairs: int, source: str) -> str:
    """Return the name of the folder with the SEAM table of a cell."""
    return f"seed-{seed}-{rows}-{pairs}-{source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MismatchPart:
    """The part of a page about an experiment on the mismatch. `shown` says which cell the histogram and the examples
    show."""

    template: ClassVar[str] = "seam_mismatch_part.html.j2"

    name: str
    verdicts: Sequence[JudgedClaim]
    facts: Sequence[Fact]
    grids: Sequence[HeatMap]
    correlations: Table
    scatter: Markup | None
    figure: Markup | None
    shown: str
    prompts: Sequence[PromptView]


def mismatch_part(results: StudyResults, folder: Path, verdicts: Sequence[JudgedClaim]) -> MismatchPart:
    """Return what a page shows of an experiment. `folder` has the SEAM tables."""
    source = "own" if "own" in results.sources else results.sources[0]
    last = results.cells[-1]
    table = read_table(folder / TABLES / table_name(last.seed, last.rows, last.pairs, source) / TABLE_FILE)
    return MismatchPart(
        name=results.name,
        verdicts=verdicts,
        facts=[
            Fact("Policies", ", ".join(f"{rows:,} gold rows" for rows in results.rows)),
            Fact("Reward models", ", ".join(f"{pairs:,} pairs" for pairs in results.pairs)),
            Fact("Seeds", ", ".join(str(seed) for seed in sorted({cell.seed for cell in results.cells}))),
        ],
        grids=_grids(results),
        correlations=_correlations(results),
        scatter=_shown(_scatter(results)),
        figure=_shown(_histogram(results.name, table)),
        shown=f"Policy on {last.rows:,} rows, reward model on {last.pairs:,} pairs, seed {last.seed}, {source}.",
        prompts=[prompt_view(row) for row in riskiest(table, MOST_EXAMPLES)],
    )


def _grids(results: StudyResults) -> list[HeatMap]:
    """Return the heat maps: the mismatch, and the mean SEAM by each source."""
    maps = [
        _grid(results, "Mismatch on the policy's own answers", lambda cell: cell.mismatch.value),
        _grid(results, "Accuracy on pairs as it learned from", lambda cell: cell.off_policy.value),
    ]
    for name in results.sources:

        def mean(cell: StudyCell, name: str = name) -> float | None:
            return cell.sources[name].mean

        maps.append(_grid(results, f"Mean SEAM, source {name}", mean))
    return maps


def _grid(results: StudyResults, title: str, value: Callable[[StudyCell], float | None]) -> HeatMap:
    rows: list[tuple[str, tuple[Tile, ...]]] = []
    for count in results.rows:
        cells = [[one for one in results.cells if (one.rows, one.pairs) == (count, pairs)] for pairs in results.pairs]
        rows.append((f"policy on {count:,} rows", tuple(share_tile(over_seeds(some, value)) for some in cells)))
    return HeatMap(title=title, header=tuple(f"{pairs:,} pairs" for pairs in results.pairs), rows=tuple(rows))


def _correlations(results: StudyResults) -> Table:
    """Return the rank correlation of each source and variant with the mismatch, over seeds."""
    rows = tuple((Cell(source), *(_correlation(results, source, name) for name in SHOWN)) for source in results.sources)
    return Table(title="Correlations", header=("source", *SHOWN), rows=rows)


def _correlation(results: StudyResults, source: str, variant: Variant) -> Cell:
    # The cells of one seed share their prompts. So a seed's mean over its cells is one value.
    by_seed: dict[int, list[float]] = {}
    for cell in results.cells:
        if (value := cell.sources[source].correlation[variant].value) is not None:
            by_seed.setdefault(cell.seed, []).append(value)
    if not by_seed:
        return Cell(NONE)
    found = mean_interval([fmean(values) for values in by_seed.values()])
    if found.ci95 is None:
        return Cell(f"{found.value:.2f}")
    return Cell(f"{found.value:.2f}", f"{found.ci95[0]:.2f} to {found.ci95[1]:.2f}")


def _scatter(results: StudyResults) -> Drawing | None:
    """Draw the mismatch of each cell over its mean SEAM, with a colour for each source."""
    drawn: list[Curve] = []
    for name in results.sources:
        marks = tuple(
            Mark(x=mean, y=100 * cell.mismatch.value)
            for cell in results.cells
            if (mean := cell.sources[name].mean) is not None and cell.mismatch.value is not None
        )
        if marks:
            drawn.append(Curve(label=name, marks=marks, joined=False))
    if not drawn:
        return None
    name, x, y = f"{results.name}-mismatch", Axis(label="mean SEAM"), Axis(label="mismatch (%)")
    return curves(name, "Mismatch over SEAM", x, y, drawn)


def _histogram(name: str, table: list[TableRow]) -> Drawing | None:
    values = [value for row in table if (value := row.score.values[Variant.SEAM]) is not None]
    return histogram(f"{name}-seam", "SEAM of the prompts", "SEAM", "prompts", values) if values else None


def _shown(drawing: Drawing | None) -> Markup | None:
    # Markup is safe here: the drawing is our own, and matplotlib escapes the names that it writes.
    return None if drawing is None else Markup(drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1))  # noqa: S704
