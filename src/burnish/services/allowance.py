"""A budget for calls that several hosts share through a bucket.

One object in the bucket says what each process has taken: `{"ID": {"calls": 16, "cost": 0.2, "by": "process 7 on a"}}`.
A process takes a few calls at a time, before it sends them, and gives back at the end what it did not use. It only
ever changes its own entry, and the bucket refuses a change that rests on an old state of the object. So all hosts
together stay within the limit. What a killed process had taken stays taken.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from burnish.errors import StageError
from burnish.store.attempts import this_process
from burnish.store.stages import Alter

BLOCK = 8
"""The fewest calls that are taken at a time, unless the limit is near. Each taking is two requests to the bucket."""
SHARE = 4
"""At most this part of what is left is taken in advance, so that one host does not hold what another one needs."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of calls, and money in the currency of the prices."""

    calls: int = 0
    cost: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        """Return both together."""
        return Amount(self.calls + other.calls, self.cost + other.cost)

    def within(self, limit: Amount) -> bool:
        """Say whether neither number is above that of `limit`."""
        return self.calls <= limit.calls and self.cost <= limit.cost


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """The most that all hosts may spend together. None means no limit."""

    calls: int | None
    cost: float | None


class Allowance:
    """What this process has taken of a shared budget. Threads may share it.

    `alter` changes the object in the bucket. All methods raise StageError if the bucket cannot be used.
    """

    def __init__(self, alter: Alter) -> None:
        self._alter, self._id, self._lock = alter, secrets.token_hex(8), threading.Lock()
        self._taken, self._used = Amount(), Amount()
        self._under_way: dict[str, Amount] = {}

    def reserve(self, key: str, need: Amount, limits: CallLimits, block: int) -> Amount | None:
        """Reserve what a call may cost, before it is sent. `block` calls are taken at a time.

        Return None if the call may be sent. Otherwise return what all processes have taken, apart from what this one
        can still use.
        """
        with self._lock:
            wanted = self._bound() + need
            if not wanted.within(self._taken):
                others = self._take(wanted, need, limits, block)
                if not wanted.within(self._taken):
                    return others + self._bound()
            self._under_way[key] = need
            return None

    def pay(self, key: str, amount: Amount) -> None:
        """Say what a call has cost that was reserved under this key: nothing, if it was not answered."""
        with self._lock:
            # After `give_back`, a call that was interrupted counts with all that was reserved for it.
            if self._under_way.pop(key, None) is not None:
                self._used += amount

    def give_back(self) -> None:
        """Give back what is not used. Calls under way, whose answers nobody waits for, count as paid."""
        with self._lock:
            self._used, unused = self._bound(), self._taken
            self._under_way.clear()
            if self._used == unused:
                return
            self._taken = self._used
            self._alter(lambda data: _written(data, self._id, self._taken))

    def _bound(self) -> Amount:
        """Return what is used or reserved."""
        return _sum((self._used, *self._under_way.values()))

    def _take(self, wanted: Amount, need: Amount, limits: CallLimits, block: int) -> Amount:
        """Take more, if the limits allow it. Return what the other processes have taken."""
        others, taken = Amount(), self._taken

        def change(data: bytes | None) -> bytes | None:
            nonlocal others, taken
            others = _sum(amount for id_, (amount, _) in _entries(data).items() if id_ != self._id)
            calls = _more(limits.calls, others.calls + wanted.calls, block - 1)
            cost = _more(limits.cost, others.cost + wanted.cost, (block - 1) * need.cost)
            if calls is None or cost is None:
                taken = self._taken
                return None
            taken = wanted + Amount(int(calls), cost)
            return _written(data, self._id, taken)

        self._alter(change)
        self._taken = taken
        return others


def _more(limit: float | None, bound: float, most: float) -> float | None:
    """Return how much more than `bound` is taken in advance, or None if `bound` is above the limit."""
    if limit is None:
        return most
    return None if bound > limit else min(most, (limit - bound) / SHARE)


def _sum(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, Amount())


def _entries(data: bytes | None) -> dict[str, tuple[Amount, str]]:
    try:
        found = orjson.loads(data or b"{}")
        return {id_: (Amount(int(one["calls"]), float(one["cost"])), str(one["by"])) for id_, one in found.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StageError(
            "the object in the bucket that says how many calls were made is damaged, so no call is made; look below "
            "spending/ in the bucket, and remove it if it may be forgotten what was spent"
        ) from None


def _written(data: bytes | None, id_: str, taken: Amount) -> bytes:
    entries = _entries(data) | {id_: (taken, this_process())}
    return orjson.dumps(
        {name: {"calls": amount.calls, "cost": amount.cost, "by": by} for name, (amount, by) in entries.items()},
        option=orjson.OPT_INDENT_2,
    )
