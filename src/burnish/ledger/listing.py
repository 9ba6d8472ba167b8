"""The rows of a refinement by id, for `burnish show` without an id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from burnish.ledger.folder import Folder
from burnish.ledger.history import WHY, where_of
from burnish.ledger.replay import ChangedRow, replayed
from burnish.report.text import terminal
from burnish.types import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRow:
    """A row that has a history. `round` and `reason` are those of its last line in the ledger.

    `state` is `changed`, `taken back` or `as it came`.
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
        # Every usable row has a line in each round, so a ledger without a line has no row.
        return self._folder.summary.data.usable if self._has_history() else 0

    def first(self, limit: int | None) -> list[ListedRow]:
        """Return the first `limit` rows, or all if `limit` is None."""
        if not self._has_history():
            return []
        shown = list(islice(self._ordered(), limit))
        # Only the last lines of the shown rows are kept, since a ledger has a line for each row and round.
        wanted = {id_ for id_, _ in shown}
        last = {line.example_id: line for line in self._folder.ledger() if line.example_id in wanted}
        return [
            ListedRow(
                id=id_,
                where=where,
                state=_state(self._changed.get(id_)),
                round=last[id_].round,
                reason=last[id_].reason,
            )
            for id_, where in shown
            if id_ in last
        ]

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
