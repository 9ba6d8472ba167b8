"""Which items a person gets, and in which order the sides are shown."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.people.study.planning import OpenItem, Placed, at_random_places, planned
from burnish.types import Order


def fresh(count: int, free: int = 1, lean: int = 0, begin: int = 0) -> list[OpenItem]:
    return [OpenItem(item=begin + number, free=free, lean=lean) for number in range(count)]


def lean_of(placed: list[Placed]) -> int:
    return sum(1 if one.shown is Order.AB else -1 for one in placed)


def test_the_items_with_the_fewest_free_places_come_first():
    chosen = planned([*fresh(10, free=3), *fresh(4, free=1, begin=10)], 6, random.Random(0))
    assert {one.item for one in chosen} >= {10, 11, 12, 13}
    assert len(chosen) == 6


def test_equal_items_are_drawn_and_not_taken_from_the_front():
    drawn = Counter(one.item for seed in range(200) for one in planned(fresh(10), 2, random.Random(seed)))
    assert set(drawn) == set(range(10))
    assert max(drawn.values()) < 80


@pytest.mark.parametrize("lean", [1, -1])
def test_an_item_gets_the_order_that_it_had_less_often(lean: int):
    candidates = [*fresh(2, lean=lean), *fresh(4, begin=2)]
    shown = {one.item: one.shown for one in planned(candidates, 6, random.Random(1))}
    assert shown[0] is shown[1] is (Order.BA if lean > 0 else Order.AB)


def test_items_that_need_one_order_do_not_unbalance_a_sitting():
    # Ten items need ba. Only two of them fit into a balanced sitting of four, although they would come first.
    chosen = planned([*fresh(10, free=1, lean=1), *fresh(10, free=2, begin=10)], 4, random.Random(2))
    assert lean_of(chosen) == 0
    assert sum(one.item < 10 for one in chosen) == 2
    assert all(one.shown is Order.BA for one in chosen if one.item < 10)


def test_where_there_is_nothing_else_the_sitting_is_balanced_all_the_same():
    chosen = planned(fresh(6, lean=1), 6, random.Random(3))
    assert len(chosen) == 6
    assert lean_of(chosen) == 0


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(-2, 2)), max_size=30), st.integers(1, 12), st.integers(0, 2**32)
)
def test_every_sitting_and_every_beginning_of_it_is_balanced(given_items: list[tuple[int, int]], most: int, seed: int):
    candidates = [OpenItem(item=at, free=free, lean=lean) for at, (free, lean) in enumerate(given_items)]
    chosen = planned(candidates, most, random.Random(seed))
    assert len(chosen) == len({one.item for one in chosen}) == min(most, len(candidates))
    assert all(abs(lean_of(chosen[:end])) <= 1 for end in range(len(chosen) + 1))


def test_checks_stand_at_random_places_and_the_work_keeps_its_sequence():
    work = [Placed(item=number, shown=Order.AB) for number in range(5)]
    checks = [Placed(item=number, shown=Order.AB) for number in range(100, 103)]
    places: Counter[int] = Counter()
    for seed in range(300):
        mixed = at_random_places(work, checks, random.Random(seed))
        assert [one for one in mixed if one.item < 100] == work
        assert sorted(one.item for one in mixed if one.item >= 100) == [100, 101, 102]
        places.update(place for place, one in enumerate(mixed) if one.item >= 100)
    assert set(places) == set(range(8))
    assert max(places.values()) < 2 * min(places.values())
