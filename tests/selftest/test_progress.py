"""While pairs are judged, how many are done is told."""

from __future__ import annotations

from test_selftest import PERFECT, PLANTED, Fake

from burnish.selftest.asking import on_pairs, selftest
from burnish.selftest.labelled import LabelledPair
from burnish.types import Example


def test_how_many_pairs_are_judged_is_told():
    """All pairs are asked twice; labelled pairs once."""
    told: list[tuple[int, int]] = []
    selftest(Fake(PERFECT), PLANTED, tell=lambda done, total: told.append((done, total)))
    assert told == [(done, 120) for done in range(1, 121)]
    labelled: list[tuple[int, int]] = []
    example = Example(id="e", group="", prompt=())
    pairs = [
        LabelledPair(comparison=one.comparison, example=example, first_better=True, subset="") for one in PLANTED[:3]
    ]
    on_pairs(Fake(PERFECT), pairs, lambda done, total: labelled.append((done, total)))
    assert labelled == [(1, 3), (2, 3), (3, 3)]
