"""What `diff` and `show` tell: changes with their texts, and all that happened to one row."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from burnish.algorithms.comparisons import request_text
from burnish.errors import DataError
from burnish.ledger.folder import EXAMPLES, Folder
from burnish.ledger.replay import ChangedRow, replayed
from burnish.types import Example, Reason, Refinement

_AT_ONCE = 20_000
"""Changes whose texts are held at once: about 40 MB with answers of 1,000 characters."""

WHY = {
    Reason.AGREED: "label and proposal give the same answer; nothing to compare",
    Reason.INVALID: "the proposal has no end or no answer; it was not compared",
    Reason.NOT_COMPARED: "not among the rows that were compared",
    Reason.REJECTED: "the annotator preferred the label",
    Reason.TIE: "the annotator found both equally good; the label stays",
    Reason.ABSTAINED: "the annotator gave no verdict; the label stays",
    Reason.BELOW_GATE: "the proposal was preferred, but not surely enough",
    Reason.OVER_CAP: "the proposal was preferred, but the round's share of changes was full with surer ones",
    Reason.OVER_RISK: "the proposal was preferred, but the round's audit found too much harm",
    Reason.ACCEPTED: "the proposal replaced the label",
    Reason.REVERTED: "the user took the change back",
}
"""Each reason as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChange:
    """A change with its texts, the sum of `steps` accepted proposals.

    `confidence` and the proposal's P(better) by order are of the last step; None where nobody was asked.
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
    before: str
    after: str
    line: Refinement
    steps: int
    reverted: bool


class Changes:
    """Changes in the order of the dataset. Their number is known at once; texts are read as they are asked for."""

    def __init__(self, folder: Folder, sides: dict[str, _Sides]) -> None:
        self._folder, self._sides = folder, sides

    def __len__(self) -> int:
        return len(self._sides)

    def __iter__(self) -> Iterator[ShownChange]:
        return self.first(None)

    def first(self, limit: int | None) -> Iterator[ShownChange]:
        """Yield the first `limit` changes, all for None."""
        changed = islice((one for one in self._folder.examples() if one.id in self._sides), limit)
        while some := list(islice(changed, _AT_ONCE)):
            yield from self._shown(some)

    def _shown(self, examples: list[Example]) -> Iterator[ShownChange]:
        sides = [self._sides[example.id] for example in examples]
        texts = self._folder.answers(answer for one in sides for answer in (one.before, one.after))
        for example, one in zip(examples, sides, strict=True):
            yield ShownChange(
                example_id=example.id,
                where=_where(example),
                round=one.line.round,
                steps=one.steps,
                request=request_text(example.prompt),
                before=texts[one.before].completion,
                after=texts[one.after].completion,
                confidence=one.line.score,
                p_b_ab=one.line.p_b_ab,
                p_b_ba=one.line.p_b_ba,
                annotator=one.line.annotator,
                reason=one.line.reason,
                reverted=one.reverted,
            )


def changes(folder: Folder, round_: int | None) -> Changes:
    """Return the net changes that stand: the answer that the dataset came with against the one that it has.

    With a round: what that round accepted, also where it was taken back since. Raises DataError for a round that the
    ledger does not have.
    """
    ledger = replayed(folder.ledger())
    if round_ is None:
        return Changes(folder, {id_: _net(row) for id_, row in ledger.rows.items() if row.standing})
    check_round(folder, round_, ledger.rounds)
    found = ((id_, _of_round(row, round_)) for id_, row in ledger.rows.items())
    return Changes(folder, {id_: sides for id_, sides in found if sides is not None})


def check_round(folder: Folder, round_: int, rounds: Iterable[int]) -> None:
    """Raise DataError where a ledger does not have the round; the message names the rounds that it has."""
    known_rounds = sorted(rounds)
    if round_ not in known_rounds:
        known = ", ".join(map(str, known_rounds)) or "none yet"
        raise DataError(f"{folder.path}: round {round_} is not in the ledger; rounds there: {known}")


def _net(row: ChangedRow) -> _Sides:
    return _Sides(before=row.given, after=row.answer, line=row.standing[-1], steps=len(row.standing), reverted=False)


def _of_round(row: ChangedRow, round_: int) -> _Sides | None:
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
    """All that happened to a row, in order. `standing` is the answer that it has, None before the first round."""

    example_id: str
    where: str
    request: str
    entries: tuple[Entry, ...]
    changed: bool
    standing: str | None


def history(folder: Folder, id_: str) -> History:
    """Return the history of a row. Raises DataError for an unknown id, with ids that are close to it."""
    example = next((one for one in folder.examples() if one.id == id_), None)
    if example is None:
        raise unknown(folder, id_)
    lines = [line for line in folder.ledger() if line.example_id == id_]
    texts = folder.answers(answer for line in lines for answer in (line.kept, line.proposed, line.chosen))
    entries = tuple(_entry(line, {answer: text.completion for answer, text in texts.items()}) for line in lines)
    row = replayed(lines).rows.get(id_)
    standing = row.answer if row else lines[0].kept if lines else None
    return History(
        example_id=id_,
        where=_where(example),
        request=request_text(example.prompt),
        entries=entries,
        changed=bool(row and row.standing),
        standing=None if standing is None else texts[standing].completion,
    )


def _entry(line: Refinement, texts: dict[str, str]) -> Entry:
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
    """Return the error for an id that no row has."""
    close = difflib.get_close_matches(id_, [one.id for one in folder.examples()], n=3)
    hint = f"; close ones: {', '.join(close)}" if close else ""
    return DataError(
        f"{folder.path}: no usable row has the id {id_!r}{hint}; ids stand in {EXAMPLES}, in `burnish diff` and in the "
        "report"
    )


def _where(example: Example) -> str:
    return str(example.metadata["where"])


def diff(folder: str | Path, round: int | None = None) -> Changes:  # noqa: A002 the verb's own word
    """Return the changes that stand in a refinement's folder, or those that a round accepted; see `burnish diff`."""
    return changes(Folder(Path(folder)), round)


def show(folder: str | Path, id: str) -> History:  # noqa: A002 the verb's own word
    """Return a row's whole history; see `burnish show`."""
    return history(Folder(Path(folder)), id)
