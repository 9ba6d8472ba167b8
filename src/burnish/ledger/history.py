"""The data behind `diff` and `show`: changes with their texts, and everything that happened to one row."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from burnish.algorithms.comparisons import request_text
from burnish.errors import DataError
from burnish.ledger.folder import Folder
from burnish.ledger.replay import ChangedRow, replayed
from burnish.types import Example, Reason, Refinement

_AT_ONCE = 20_000
"""How many changes have their texts in memory at once: about 40 MB with answers of 1,000 characters."""

WHY = {
    Reason.AGREED: "label and proposal give the same answer, so they were not compared",
    Reason.INVALID: "there is no proposal, or it has no end or no answer; it was not compared",
    Reason.NOT_COMPARED: "the row was not among those that were compared",
    Reason.REJECTED: "the annotator preferred the label",
    Reason.TIE: "the annotator found both equally good; the label stays",
    Reason.ORDERS_DISAGREE: "the annotator preferred the answer shown first (or second) both times; the label stays",
    Reason.ABSTAINED: "the annotator gave no verdict; the label stays",
    Reason.BELOW_GATE: "the proposal was preferred, but with too little confidence",
    Reason.DISTRUSTED: "the proposal was preferred, but the annotator also preferred edits that make it worse",
    Reason.OVER_CAP: "the proposal was preferred, but the round had reached its limit of changes with more certain "
    "ones",
    Reason.STOPPED: "the proposal was preferred, but the refinement ended before this round changed labels, because "
    "too few of its preferred proposals held",
    Reason.OVER_RISK: "the proposal was preferred, but the round's audit found too much harm",
    Reason.ACCEPTED: "the proposal replaced the label",
    Reason.REVERTED: "the user took the change back",
    Reason.REMOVED: "the proposal was preferred, and the row was left out",
}
"""Each reason as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChange:
    """A change with its texts. It is the sum of `steps` accepted proposals.

    `confidence` and P(the proposal is better) in each order belong to the last step. They are None if nobody was asked.
    """

    example_id: str
    where: str
    round: int
    steps: int
    request: str
    before: str
    after: str
    confidence: float | None
    p_b_ab: float | None
    p_b_ba: float | None
    annotator: str
    reason: Reason
    reverted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """The ids of the answers before and after a change, and the ledger's line of its last step."""

    before: str
    after: str
    line: Refinement
    steps: int
    reverted: bool


class Changes:
    """Changes in the order of the dataset. Their number is known at once. Their texts are read when they are asked
    for."""

    def __init__(self, folder: Folder, sides: dict[str, _Sides]) -> None:
        self._folder, self._sides = folder, sides

    def __len__(self) -> int:
        return len(self._sides)

    # `burnish.diff` returns this object, and Python users loop over it.
    def __iter__(self) -> Iterator[ShownChange]:
        return self.first(None)

    def first(self, limit: int | None) -> Iterator[ShownChange]:
        """Yield the first `limit` changes, or all if `limit` is None."""
        changed = islice((example for example in self._folder.examples() if example.id in self._sides), limit)
        # In batches: each batch reads the file of answers once, and not once per row.
        while some := list(islice(changed, _AT_ONCE)):
            yield from self._shown(some)

    def _shown(self, examples: list[Example]) -> Iterator[ShownChange]:
        """Yield the changes of some examples, with their texts."""
        changed = [self._sides[example.id] for example in examples]
        texts = self._folder.answers(answer for side in changed for answer in (side.before, side.after))
        for example, side in zip(examples, changed, strict=True):
            yield ShownChange(
                example_id=example.id,
                where=where_of(example),
                round=side.line.round,
                steps=side.steps,
                request=request_text(example.prompt),
                before=texts[side.before].completion,
                after=texts[side.after].completion,
                confidence=side.line.score,
                p_b_ab=side.line.p_b_ab,
                p_b_ba=side.line.p_b_ba,
                annotator=side.line.annotator,
                reason=side.line.reason,
                reverted=side.reverted,
            )


def changes(folder: Folder, round_: int | None) -> Changes:
    """Return the changes that stand: the answer that the dataset came with, and the answer that the row has now.

    With a round, return what that round accepted, also if it was taken back later. Raises DataError if the ledger does
    not have the round.
    """
    ledger = replayed(folder.ledger())
    # Several changes of a row are shown as one: from the first answer to the present one.
    if round_ is None:
        return Changes(folder, {id_: _net(row) for id_, row in ledger.rows.items() if row.standing})
    check_round(folder, round_, ledger.rounds)
    of_round = ((id_, _of_round(row, round_)) for id_, row in ledger.rows.items())
    return Changes(folder, {id_: sides for id_, sides in of_round if sides is not None})


def check_round(folder: Folder, round_: int, rounds: Iterable[int]) -> None:
    """Raise DataError if a ledger does not have the round. The message names the rounds that it has."""
    known_rounds = sorted(rounds)
    if round_ not in known_rounds:
        # A refinement that was stopped in its first round has no round in its ledger yet.
        known = ", ".join(map(str, known_rounds)) or "none yet"
        raise DataError(f"{folder.path}: round {round_} is not in the ledger; rounds there: {known}")


def _net(row: ChangedRow) -> _Sides:
    """Return the change of a row from its first answer to its present one."""
    return _Sides(before=row.given, after=row.answer, line=row.standing[-1], steps=len(row.standing), reverted=False)


def _of_round(row: ChangedRow, round_: int) -> _Sides | None:
    """Return the change that a round made to a row, or None if it made none."""
    # A revert moves lines from `standing` to `taken_back`, so the line of the round is in one of the two.
    # A round changes a row at most once.
    for lines, reverted in ((row.standing, False), (row.taken_back, True)):
        for line in lines:
            if line.round == round_:
                return _Sides(before=line.kept, after=line.chosen, line=line, steps=1, reverted=reverted)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the ledger with its texts. `chosen` is the text that the row had afterwards."""

    round: int
    reason: Reason
    why: str
    kept: str
    proposed: str
    chosen: str
    confidence: float | None
    p_b_ab: float | None
    p_b_ba: float | None
    annotator: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that happened to a row, in order. `standing` is the answer that it has now, or None before the first
    round and for a row that was `held_out`."""

    example_id: str
    where: str
    request: str
    entries: tuple[Entry, ...]
    changed: bool
    standing: str | None
    held_out: bool = False


def history(folder: Folder, id_: str) -> History:
    """Return the history of a row. Raises DataError for an unknown id. The message names ids that are similar."""
    # Read row by row until the row is found, since the file may be large.
    example = next((candidate for candidate in folder.examples() if candidate.id == id_), None)
    if example is None:
        raise unknown(folder, id_)
    lines = [line for line in folder.ledger() if line.example_id == id_]
    texts = folder.answers(answer for line in lines for answer in (line.kept, line.proposed, line.chosen))
    entries = tuple(_entry(line, {answer: text.completion for answer, text in texts.items()}) for line in lines)
    row = replayed(lines).rows.get(id_)
    # A row that was never changed still has the label of its first line.
    standing = row.answer if row else lines[0].kept if lines else None
    return History(
        example_id=id_,
        where=where_of(example),
        request=request_text(example.prompt),
        entries=entries,
        changed=bool(row and row.standing),
        standing=None if standing is None else texts[standing].completion,
        # After a round, only rows that were held out have no line.
        held_out=not lines and folder.summary.data.held_out > 0 and next(folder.ledger(), None) is not None,
    )


def _entry(line: Refinement, texts: dict[str, str]) -> Entry:
    """Return a line of the ledger with its texts."""
    return Entry(
        round=line.round,
        reason=line.reason,
        why=WHY[line.reason],
        kept=texts[line.kept],
        proposed=texts[line.proposed],
        chosen=texts[line.chosen],
        confidence=line.score,
        p_b_ab=line.p_b_ab,
        p_b_ba=line.p_b_ba,
        annotator=line.annotator,
        model=line.model,
    )


def unknown(folder: Folder, id_: str) -> DataError:
    """Return the error for an id that no row has. Its message names ids that are similar."""
    close = difflib.get_close_matches(id_, [example.id for example in folder.examples()], n=3)
    hint = f"; similar ids: {', '.join(close)}" if close else ""
    listing = shlex.join(["burnish", "show", str(folder.path)])
    return DataError(f"{folder.path}: no usable row has the id {id_!r}{hint}; `{listing}` lists the ids")


def where_of(example: Example) -> str:
    """Return where the row is in the user's file."""
    return str(example.metadata["where"])


def diff(folder: str | Path, round: int | None = None) -> Changes:  # noqa: A002 the command's own word
    """Return the changes that stand in a refinement's folder, or those that a round accepted. See `burnish diff`.
    Raises DataError if the folder holds no refinement or no such round."""
    return changes(Folder(Path(folder)), round)


def show(folder: str | Path, id: str) -> History:  # noqa: A002 the command's own word
    """Return the whole history of a row. See `burnish show`. Raises DataError if the folder holds no refinement or no
    such row."""
    return history(Folder(Path(folder)), id)
