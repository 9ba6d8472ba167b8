"""What the lines of the ledger add up to: which accepted changes of a row stand, and which the user took back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from burnish.types import Reason, Refinement


@dataclass(slots=True, kw_only=True)
class ChangedRow:
    """A row that was changed at some time. `given` is the id of the answer that the dataset came with."""

    given: str
    standing: list[Refinement] = field(default_factory=list[Refinement])
    """Accepted lines that nobody took back, the oldest first."""
    taken_back: list[Refinement] = field(default_factory=list[Refinement])
    """Accepted lines that the user took back."""
    reverted: bool = False
    """True if the last thing that happened to the row is a revert."""

    @property
    def answer(self) -> str:
        """The id of the answer that the row has now."""
        return self.standing[-1].chosen if self.standing else self.given

    def before(self, round_: int) -> str:
        """Return the id of the answer that the row had before a round."""
        earlier = [line for line in self.standing if line.round < round_]
        return earlier[-1].chosen if earlier else self.given

    def add(self, line: Refinement) -> None:
        """Apply a line. A change is put on top of the earlier ones. A revert removes changes down to the answer that it
        names."""
        # A later round may change a reverted row again. Then it no longer counts as reverted.
        self.reverted = line.reason is Reason.REVERTED
        if not self.reverted:
            self.standing.append(line)
            return
        # If no standing change has that answer, it is the one that the dataset came with, and all changes go.
        while self.standing and self.standing[-1].chosen != line.chosen:
            self.taken_back.append(self.standing.pop())


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The changed rows by id, in the order of their first change, and the rounds that the ledger has."""

    rows: dict[str, ChangedRow]
    rounds: tuple[int, ...]

    @property
    def reverted(self) -> int:
        """The number of rows whose last line is a revert."""
        return sum(row.reverted for row in self.rows.values())


def replayed(ledger: Iterable[Refinement]) -> Replayed:
    """Read a ledger from its first line on. Only rows that were changed are kept in memory."""
    rows: dict[str, ChangedRow] = {}
    rounds: set[int] = set()
    for line in ledger:
        rounds.add(line.round)
        # All other reasons leave the label as it was.
        if line.reason in {Reason.ACCEPTED, Reason.REVERTED}:
            # `kept` of the first accepted line is the answer that the dataset came with.
            rows.setdefault(line.example_id, ChangedRow(given=line.kept)).add(line)
    return Replayed(rows=rows, rounds=tuple(sorted(rounds)))
