"""Tiles of heat maps, worked by hand."""

from __future__ import annotations

from burnish.results import Metric
from burnish.seam.heat_map import COLD, WARM, Tile, difference_tile, share_tile


def test_a_share_has_its_interval_and_a_shade_as_strong_as_itself() -> None:
    tile = share_tile(Metric(value=0.354, n=3, ci95=(0.3, 0.41)))
    assert tile == Tile(text="35.4 %", detail="30.0 to 41.0", shade=0.354, colour=WARM)


def test_the_interval_of_a_share_stays_between_0_and_1() -> None:
    assert share_tile(Metric(value=0.2, n=3, ci95=(-0.1, 1.2))).detail == "0.0 to 100.0"


def test_a_difference_has_a_sign_a_colour_for_it_and_a_strongest_shade() -> None:
    loss = difference_tile(Metric(value=-0.06, n=3, ci95=(-0.1, 0.02)), 0.12)
    assert loss == Tile(text="-6.0", detail="-10.0 to +2.0", shade=0.5, colour=COLD)
    gain = difference_tile(Metric(value=0.3, n=3, ci95=None), 0.12)
    assert gain == Tile(text="+30.0", detail="", shade=1.0, colour=WARM)


def test_what_was_not_measured_has_a_dash_and_no_colour() -> None:
    none = Metric(value=None, n=0, ci95=None)
    assert (share_tile(none).shade, difference_tile(none, 0.1).text) == (0.0, share_tile(none).text)
