"""Figure 6 of the paper: lengths of demonstrations, choices by round, and win rates, drawn from values alone."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the **kwargs of its drawing functions without a type.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from burnish.algorithms.choices import ChoiceCounts, LabelWriter, Strength
from burnish.algorithms.lengths import AnswerLengths
from burnish.config import MethodRole
from burnish.report.drawing import ALL_LOOKS, INK, Axis, Curve, Drawing, Mark, curves, cut, scaled, svg_of
from burnish.report.series import Method, Point, curve, setting, with_role
from burnish.results import REFERENCE_WIN_RATE, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LENGTHS, CHOICES, WIN_RATES = "figure-6a", "figure-6b", "figure-6c"
_BINS = 24
_STRENGTHS = {
    Strength.LABEL_SURE: ("label, sure", "#0b4f8a", ""),
    Strength.LABEL_MODERATE: ("label, moderately", "#4f93cd", "//"),
    Strength.LABEL_SLIGHT: ("label, slightly", "#b9d6ee", ".."),
    Strength.ALIKE: ("alike", "#d8dde3", ""),
    Strength.PROPOSAL_SLIGHT: ("proposal, slightly", "#f8d9b5", ".."),
    Strength.PROPOSAL_MODERATE: ("proposal, moderately", "#e8963d", "\\\\"),
    Strength.PROPOSAL_SURE: ("proposal, sure", "#a8500a", ""),
}
"""The label, the colour and the pattern of each strength, so that a print without colour can be read."""
_WRITERS = {None: "all", LabelWriter.ORIGINAL: "original", LabelWriter.PROPOSAL: "proposal"}


def lengths_drawing(title: str, drawn: Sequence[AnswerLengths]) -> Drawing:
    """Draw how many answers have which length, with a line at each median. The last bin has all longer answers."""
    pooled = sorted(count for one in drawn for count in one.words.values())
    # Without the longest of a hundred answers, so that one very long answer does not squeeze all others.
    width = max(1, math.ceil(pooled[int(0.99 * (len(pooled) - 1))] / _BINS))
    edges = [width * place for place in range(_BINS + 1)]

    def paint(axes: Axes) -> None:
        for place, (one, look) in enumerate(zip(drawn, ALL_LOOKS, strict=False)):
            inside = [min(count, edges[-1] - 1) for count in one.words.values()]
            share = [100 / len(inside)] * len(inside)
            median = one.median.value
            label = f"{cut(one.name, 24)}: n {len(inside):,}, median {median:g} words"
            kind = "stepfilled" if place == 0 else "step"
            axes.hist(
                inside,
                edges,
                weights=share,
                histtype=kind,
                color=look.colour,
                alpha=0.45 if place == 0 else 1.0,
                linewidth=2,
                label=label,
            )
            axes.axvline(median, color=look.colour, linestyle="solid" if place == 0 else (0, (4, 2)), linewidth=1.5)
        axes.set_xlim(0, 1.02 * edges[-1])
        axes.set_xlabel("words in an answer (the last bar: and longer)")
        axes.set_ylabel("answers (%)")

    return Drawing(name=LENGTHS, title=title, svg=svg_of(LENGTHS, title, paint, legend=True), points=())


def choices_drawing(title: str, rows: Sequence[ChoiceCounts]) -> Drawing:
    """Draw the choices of each round as a bar, from sure of the label to sure of the proposal.

    `original` and `proposal` say who wrote the label. Right of a bar is the share of pairs whose proposal is at least
    moderately preferred. It is over 20 % where the two last colours begin left of the line.
    """

    def paint(axes: Axes) -> None:
        starts = [0.0] * len(rows)
        for strength, (label, colour, pattern) in _STRENGTHS.items():
            shares = [100 * row.counts[strength] / row.n for row in rows]
            axes.barh(
                range(len(rows)),
                shares,
                left=starts,
                height=0.66,
                label=label,
                color=colour,
                hatch=pattern,
                edgecolor="white",
                linewidth=0.5,
                zorder=2,
            )
            starts = [start + share for start, share in zip(starts, shares, strict=True)]
        axes.axvline(80, color=INK, linewidth=1.4, linestyle=(0, (4, 2)), zorder=3)
        for place, row in enumerate(rows):
            axes.text(102, place, f"{100 * row.preferred.value:.1f}", va="center", color=INK, fontsize=11)
        axes.text(102, -0.8, "moderate\nor more", va="center", color=INK, fontsize=8)
        axes.set_yticks(range(len(rows)), [_bar(row) for row in rows], fontsize=10)
        axes.set_ylim(len(rows) - 0.4, -1.1)
        axes.set_xlim(0, 100)
        axes.set_xlabel("pairs (%)")

    return Drawing(name=CHOICES, title=title, svg=svg_of(CHOICES, title, paint, legend=True), points=())


def _bar(row: ChoiceCounts) -> str:
    return f"round {row.round}, {_WRITERS[row.writer]}\nn {row.n:,}"


def win_rate_lines(results: Results) -> list[tuple[str, tuple[Point, ...]]]:
    """Return the win rates against references of ILR and DPO over the rounds, with a label for each method.

    The list is empty if none was measured.
    """
    found = [
        (_with_beta(results, method), curve(results, method.name, REFERENCE_WIN_RATE))
        for method in with_role(results, MethodRole.ILR, MethodRole.DPO)
    ]
    return [(label, points) for label, points in found if points]


def _with_beta(results: Results, method: Method) -> str:
    """Return the label of a method. DPO has its beta in it."""
    entries = setting(results, "methods")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == method.name and "beta" in entry:
            return f"DPO, beta {entry['beta']}"
    return method.label


def win_rates_drawing(title: str, lines: Sequence[tuple[str, Sequence[Point]]]) -> Drawing:
    """Draw win rates over the rounds."""
    drawn = [
        Curve(
            label=label,
            # Shifted by 4 % of a round each, so that intervals do not hide each other.
            marks=tuple(
                Mark(x=one.round + 0.04 * place, y=100 * one.value, y_ci=scaled(one.ci95, 100)) for one in points
            ),
        )
        for place, (label, points) in enumerate(lines)
    ]
    x, y = Axis(label="round (0 = before refinement)", whole=True), Axis(label="win rate against references (%)")
    return curves(WIN_RATES, title, x, y, drawn)
