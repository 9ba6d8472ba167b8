"""Heat maps of the experiments on SEAM: tiles with numbers, and a colour for each of them."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.report.text import NONE
from burnish.results import Metric

WARM, COLD = "214, 96, 48", "48, 96, 214"
"""The colours of tiles, as red, green and blue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile of a heat map. `shade` is its colour's strength from 0 to 1."""

    text: str
    detail: str
    shade: float
    colour: str = WARM


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """A grid of tiles: a row for each policy, a column for each reward model."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]


def share_tile(metric: Metric) -> Tile:
    """Return the tile of a share, with its interval."""
    return _tile(metric, 1.0, signed=False)


def difference_tile(metric: Metric, strongest: float) -> Tile:
    """Return the tile of a difference of shares in points. One of `strongest` has the full colour of its sign."""
    return _tile(metric, strongest, signed=True)


def _tile(metric: Metric, strongest: float, signed: bool) -> Tile:
    if metric.value is None:
        return Tile(text=NONE, detail="", shade=0.0)
    sign, unit = ("+" if signed else ""), ("" if signed else " %")
    bounds = ""
    if metric.ci95 is not None:
        # The t interval of a share over seeds can reach beyond what a share can be.
        low, high = metric.ci95 if signed else (max(metric.ci95[0], 0.0), min(metric.ci95[1], 1.0))
        bounds = f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"
    return Tile(
        text=f"{100 * metric.value:{sign}.1f}{unit}",
        detail=bounds,
        shade=round(min(abs(metric.value) / strongest, 1.0), 3),
        colour=COLD if metric.value < 0 else WARM,
    )
