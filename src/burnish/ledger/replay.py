"""What the ledger amounts to: which accepted changes of a row stand, and what the user took back. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from burnish.types import Reason, Refinement


@dataclass(slots=True, kw_only=True)
class ChangedRow:
    """A row that was changed at some time. `given` is the answer that the dataset came with."""

    given: str
    standing: list[Refinement] = field(default_factory=list[Refinement])
    """Accepted lines that nobody took back, the oldest first."""
    taken_back: list[Refinement] = field(default_factory=list[Refinement])
    """Accepted lines that the user undid."""
    reverted: bool = False
    """The last that happened to the row is a revert."""

    @property
    def answer(self) -> str:
        """The answer that stands."""
        return self.standing[-1].chosen if self.standing else self.given

    def before(self, round_: int) -> str:
        """Return the answer that stood before a round."""
        earlier = [line for line in self.standing if line.round < round_]
        return earlier[-1].chosen if earlier else self.given

    def add(self, line: Refinement) -> None:
        """Apply a line: a change stands on those before it, a revert undoes all down to the answer that it names."""
        self.reverted = line.reason is Reason.REVERTED
        if not self.reverted:
            self.standing.append(line)
            return
        while self.standing and self.standing[-1].chosen != line.chosen:
            self.taken_back.append(self.standing.pop())


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The changed rows by id, in the order of their first change, and the rounds that the ledger has."""

    rows: dict[str, ChangedRow]
    rounds: tuple[int, ...]

    @property
    def reverted(self) -> int:
        """Rows that stand reverted."""
        return sum(row.reverted for row in self.rows.values())


def replayed(ledger: Iterable[Refinement]) -> Replayed:
    """Go through a ledger from its first line; only rows that were changed are held."""
    rows: dict[str, ChangedRow] = {}
    rounds: set[int] = set()
    for line in ledger:
        rounds.add(line.round)
        if line.reason in {Reason.ACCEPTED, Reason.REVERTED}:
            rows.setdefault(line.example_id, ChangedRow(given=line.kept)).add(line)
    return Replayed(rows=rows, rounds=tuple(sorted(rounds)))
