"""Tables of labels whose figures are published, and tables that are drawn."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from burnish.algorithms.label_table import GivenLabel, LabelTable, label_table

KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Krippendorff (2011): a row for each observer, a column for each unit, a dot where a value is missing."""
FLEISS = """
0 0 0 0 14
0 2 6 4 2
0 0 3 5 6
0 3 9 2 0
2 2 8 1 1
7 7 0 0 0
3 2 6 3 0
2 5 3 2 2
6 5 2 1 0
0 2 2 3 7
"""
"""Fleiss (1971), as it is usually shown: how many of 14 raters gave each of 10 subjects each of 5 labels."""


def of_observers(text: str) -> list[GivenLabel]:
    """Return the labels of a table with a row for each worker."""
    return [
        GivenLabel(item=f"i{item:02}", worker=f"w{worker}", label=label)
        for worker, row in enumerate(text.split("\n")[1:-1])
        for item, label in enumerate(row.split())
        if label != "."
    ]


def of_counts(text: str) -> list[GivenLabel]:
    """Return the labels of a table with a row for each item and a column for each label. Workers are made up."""
    rows: list[GivenLabel] = []
    for item, row in enumerate(text.split("\n")[1:-1]):
        labels = [str(label) for label, count in enumerate(row.split()) for _ in range(int(count))]
        rows += [GivenLabel(item=f"i{item}", worker=f"w{n:02}", label=label) for n, label in enumerate(labels)]
    return rows


def drawn(seed: int, items: int = 60, accuracies: Sequence[float] = (0.9, 0.8, 0.8, 0.6)) -> list[GivenLabel]:
    """Return labels A, B or C of workers that are right with these probabilities. Some labels are missing."""
    draw = random.Random(seed)
    rows: list[GivenLabel] = []
    for item in range(items):
        right = draw.choice("ABC")
        for worker, accuracy in enumerate(accuracies):
            label = right if draw.random() < accuracy else draw.choice([one for one in "ABC" if one != right])
            if draw.random() < 0.9:
                rows.append(GivenLabel(item=f"i{item:03}", worker=f"w{worker}", label=label))
    return rows


def table_of(rows: Iterable[GivenLabel], order: Sequence[str] = ()) -> LabelTable:
    return label_table(rows, order)
