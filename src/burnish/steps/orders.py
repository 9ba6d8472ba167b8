"""Orders of rows: a training can be repeated with the same rows in another order, to see the noise of training."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from burnish.types import short_hash


@dataclass(frozen=True, slots=True)
class RowOrder:
    """The order in which trainings under a seed take their rows. Number 0 is the usual one."""

    seed: int
    number: int = 0

    @property
    def training_seed(self) -> int:
        """The seed of a training: of its order of rows, of dropout and of an adapter's first weights."""
        # 31 bits, because numpy takes no seed of more than 32. The usual order has the run's seed, as it always had.
        hashed = int(short_hash("order", str(self.seed), str(self.number)), 16) % 2**31
        return hashed if self.number else self.seed

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What the identity of a training says about the order.

        The usual one is not named, so that trainings from before there were others keep their identity.
        """
        return {"order": self.number} if self.number else {}
