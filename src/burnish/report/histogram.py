"""Histograms of shares: how many items lie in each bin from 0 to 1."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the **kwargs of its drawing functions without a type.

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from burnish.report.drawing import ALL_LOOKS, INK, Drawing, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 10
"""Bins of equal width from 0 to 1."""


def counts(values: Sequence[float]) -> list[int]:
    """Count shares by bin. A bin holds its lower end and not its upper end; the last bin holds both."""
    found = [0] * BINS
    for value in values:
        # 0.3 * 10 is 2.999... in floats: what is meant is the bin that begins at 0.3.
        found[min(max(int(value * BINS + 1e-9), 0), BINS - 1)] += 1
    return found


def histogram(name: str, title: str, x_label: str, noun: str, values: Sequence[float]) -> Drawing:
    """Draw how many values lie in each bin, with the number above each bar and a line at the mean.

    `noun` says what is counted, in the plural. There must be at least one value.
    """

    def paint(axes: Axes) -> None:
        found = counts(values)
        middles = [(bin_ + 0.5) / BINS for bin_ in range(BINS)]
        axes.bar(middles, found, width=0.9 / BINS, color=ALL_LOOKS[0].colour, alpha=0.85, zorder=2)
        for middle, count in zip(middles, found, strict=True):
            if count:
                axes.text(middle, count, f"{count:,}", ha="center", va="bottom", color=INK, fontsize=9)
        mean = sum(values) / len(values)
        axes.axvline(mean, color=INK, linestyle=(0, (4, 2)), linewidth=1.2, label=f"mean {mean:.3f}")
        axes.set_xlim(0, 1)
        # Room for the numbers above the bars.
        axes.set_ylim(0, 1.1 * max(found))
        axes.set_xlabel(x_label)
        axes.set_ylabel(noun)

    return Drawing(name=name, title=title, svg=svg_of(name, title, paint, legend=True), points=())
