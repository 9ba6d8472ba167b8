"""Which items a person gets, in which order, and which answer of a pair comes first. Values in, values out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.types import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    """An item that somebody may still answer.

    `free` is how many people it still needs. `lean` counts how often it is shown as ab, minus how often as ba, in
    answers and in sittings that go on.
    """

    item: int
    free: int
    lean: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An item of a sitting with the order of its sides."""

    item: int
    shown: Order


def planned(candidates: Sequence[OpenItem], most: int, generator: random.Random) -> list[Placed]:
    """Return the items of a sitting in the order in which they are shown, at most `most`.

    Items with the fewest free places come first, so that items are completed one after the other. In the sitting, the
    two orders differ by at most 1, in every beginning of it, too: then a person who stops early is balanced as well.
    Each item gets the order that it had less often, as far as the balance of the sitting allows it.
    """
    # Drawn before sorting, so that equal items come in a random sequence.
    drawn = sorted(generator.sample(list(candidates), len(candidates)), key=lambda one: one.free)
    chosen = _chosen(drawn, most)
    first, second = _divided(chosen, generator)
    return _alternating(first, second, generator)


def _chosen(drawn: Sequence[OpenItem], most: int) -> list[OpenItem]:
    """Return the items of the sitting. Items that need one order are passed over where they would be more than half."""
    half = (min(most, len(drawn)) + 1) // 2
    needing = {Order.AB: 0, Order.BA: 0}
    chosen: list[OpenItem] = []
    passed: list[OpenItem] = []
    for one in drawn:
        if len(chosen) == most:
            break
        need = _need(one)
        if need is not None and needing[need] == half:
            passed.append(one)
            continue
        if need is not None:
            needing[need] += 1
        chosen.append(one)
    # A small study may have no other items. Then they are taken all the same: every item must be answered.
    return chosen + passed[: most - len(chosen)]


def _need(one: OpenItem) -> Order | None:
    """Return the order that an item had less often."""
    if one.lean == 0:
        return None
    return Order.BA if one.lean > 0 else Order.AB


def _divided(chosen: Sequence[OpenItem], generator: random.Random) -> tuple[list[Placed], list[Placed]]:
    """Return the items that are shown as ab and those shown as ba. The two lists differ in length by at most 1."""
    needs = [_need(one) for one in chosen]
    more = Order.AB if needs.count(Order.AB) > needs.count(Order.BA) else Order.BA
    if needs.count(Order.AB) == needs.count(Order.BA):
        more = generator.choice(list(Order))
    room = {order: len(chosen) // 2 for order in Order}
    room[more] += len(chosen) % 2
    sides: dict[Order, list[Placed]] = {Order.AB: [], Order.BA: []}
    # Items with a need choose first, and those that lean most before the others.
    for one in sorted(chosen, key=lambda one: -abs(one.lean)):
        order = _need(one) or max(Order, key=lambda order: room[order] - len(sides[order]))
        if len(sides[order]) == room[order]:
            order = order.other
        sides[order].append(Placed(item=one.item, shown=order))
    return sides[Order.AB], sides[Order.BA]


def _alternating(first: list[Placed], second: list[Placed], generator: random.Random) -> list[Placed]:
    """Return both lists as one sequence: pairs with one of each, in random order, and last the one that is over."""
    generator.shuffle(first)
    generator.shuffle(second)
    sequence: list[Placed] = []
    for pair in zip(first, second, strict=False):
        sequence += generator.sample(pair, 2)
    common = min(len(first), len(second))
    return [*sequence, *first[common:], *second[common:]]


def at_random_places(work: Sequence[Placed], checks: Sequence[Placed], generator: random.Random) -> list[Placed]:
    """Return the work with the checks at random places in it. The work keeps its sequence."""
    places = set(generator.sample(range(len(work) + len(checks)), len(checks)))
    rest, hidden = iter(work), iter(generator.sample(list(checks), len(checks)))
    return [next(hidden) if place in places else next(rest) for place in range(len(work) + len(checks))]
