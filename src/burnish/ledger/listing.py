"""The rows of a refinement by id, for `burnish show` without an id."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, islice

from burnish.ledger.folder import Folder
from burnish.ledger.history import WHY, where_of
from burnish.ledger.replay import ChangedRow, replayed
from burnish.report.text import terminal
from burnish.types import Reason, Refinement


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRow:
    """A row that has a history. `state` is `changed`, `taken back` or `as it came`.

    `round` and `reason` are those of the line that changed the row or took it back, or else of its last line in the
    ledger.
    """

    id: str
    where: str
    state: str
    round: int
    reason: Reason


class ListedRows:
    """The rows that have a history: those that are changed first, then those that were taken back, then the others.
    Each of the three groups has the order of the dataset."""

    def __init__(self, folder: Folder) -> None:
        self._folder, self._changed = folder, replayed(folder.ledger()).rows

    def __len__(self) -> int:
        # Every row that is refined has a line in each round, so a ledger without a line has no row.
        return self._folder.summary.data.usable if self._has_history() else 0

    def first(self, limit: int | None) -> list[ListedRow]:
        """Return the first `limit` rows, or all if `limit` is None."""
        if not self._has_history():
            return []
        # Rows that were held out have no line, so some rows more are looked at.
        held = self._folder.summary.data.held_out
        shown = list(islice(self._ordered(), None if limit is None else limit + held))
        lines = self._lines({id_ for id_, _ in shown})
        return [
            ListedRow(
                id=id_,
                where=where,
                state=_state(self._changed.get(id_)),
                round=lines[id_].round,
                reason=lines[id_].reason,
            )
            for id_, where in shown
            if id_ in lines
        ][:limit]

    def _lines(self, wanted: AbstractSet[str]) -> dict[str, Refinement]:
        """Return the line of each of these rows that explains its state."""
        explaining: dict[str, Refinement] = {}
        # Only one line of each row is kept, since a ledger has a line for each row and round.
        for line in self._folder.ledger():
            id_ = line.example_id
            # A later round that left the row as it was does not explain why it is changed or taken back.
            if id_ in wanted and (id_ not in self._changed or line.reason is Reason.REVERTED):
                explaining[id_] = line
        for id_ in wanted & self._changed.keys():
            if standing := self._changed[id_].standing:
                explaining[id_] = standing[-1]
        return explaining

    def _has_history(self) -> bool:
        return next(self._folder.ledger(), None) is not None

    def _ordered(self) -> Iterator[tuple[str, str]]:
        """Yield the id of every row and its place in the user's file."""
        groups = ("changed", "taken back", "as it came")
        return chain.from_iterable(self._group(state) for state in groups)

    def _group(self, state: str) -> Iterator[tuple[str, str]]:
        # The examples are read once for each group, and not sorted in memory: the dataset may be larger.
        for example in self._folder.examples():
            if _state(self._changed.get(example.id)) == state:
                yield example.id, where_of(example)


def _state(row: ChangedRow | None) -> str:
    """Say whether a row is changed now."""
    if row is not None and row.standing:
        return "changed"
    return "taken back" if row is not None and row.reverted else "as it came"


def words(row: ListedRow) -> str:
    """Return a row as a line for a terminal. The id comes first."""
    return f"{terminal(row.id)}  {row.state} · round {row.round}: {WHY[row.reason]} · {terminal(row.where)}"
