"""The pairs that wait for people, and their verdicts: two files in a refinement's folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from burnish.store.files import Appender, explained_write_errors, read_rows, write_atomic
from burnish.store.json_rows import dump_line
from burnish.types import Order

WAITING = "waiting.jsonl"
ANNOTATIONS = "annotations.jsonl"
STUDIES = "studies.jsonl"
"""Where the studies are that were made from the folder (people/study/beside.py)."""


class Purpose(StrEnum):
    """Why a pair is judged: to choose between two answers, or to audit changes that were accepted."""

    COMPARE = "compare"
    AUDIT = "audit"


class Said(StrEnum):
    """The verdicts that a person can give on a pair as it was shown."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A pair that waits for people.

    `shown` is the order of `first` and `second`. It is not shown to the judge, who must not know which answer is the
    current one. `weight` is 1 / P(the pair was sent to people), and `why` says why it was sent if another annotator was
    asked first (a route). It is empty if people are asked about all pairs. `current` says who wrote the current answer,
    such as `given` or `proposal`. It is empty if the pair has no current answer, because both are new.
    """

    id: str
    purpose: Purpose
    comparison_id: str
    example_id: str
    request: str
    first: str
    second: str
    shown: Order
    weight: float = 1.0
    why: str = ""
    current: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A person's verdict on a pair. If the same person judges a pair again, the last verdict counts.

    `confidence` is how sure the person is, from 0 (not at all) to 1, or None if the person did not say. `note` is free
    text for people who read the file.

    The other fields are for people who read the file. `value` is the point on the scale as it was shown: negative for
    the first answer, 0 for alike. `seconds`, `late` and `early` come from a study (`burnish study`): the time from the
    first showing to the answer, and whether it was above or below what the study asks for.
    """

    id: str
    said: Said
    by: str
    shown: Order
    confidence: float | None = None
    note: str = ""
    value: int | None = None
    seconds: float | None = None
    late: bool = False
    early: bool = False


def said_by_value(value: int) -> Said:
    """Return the verdict of a point on the scale: negative for the first answer, 0 for a tie."""
    return Said.TIE if value == 0 else Said.FIRST if value < 0 else Said.SECOND


class Mailbox:
    """The two files in the folder of a refinement or a run.

    With `together`, the pairs of several stages wait at the same time, as those of the methods of an experiment.
    """

    def __init__(self, folder: Path, *, together: bool = False) -> None:
        self.folder, self.together = folder, together

    def asked(self) -> list[Ask]:
        """Return the pairs that wait, in their order. The list is empty if no pair waits."""
        path = self.folder / WAITING
        # Before the first pair waits, there is no file.
        return read_rows(path, Ask) if path.exists() else []

    def unanswered(self) -> frozenset[str]:
        """Return the ids of the pairs that wait and that nobody has judged."""
        return frozenset(pair.id for pair in self.asked()) - self.said().keys()

    def ask(self, pairs: Sequence[Ask], of: Collection[str] = ()) -> None:
        """Write the pairs that wait. This replaces the pairs that waited before.

        If pairs wait `together`, it replaces only those among `of`, the ids of all pairs of the stage that asks.
        """
        waiting = [pair for pair in self.asked() if pair.id not in of] if self.together else []
        self._write([*waiting, *pairs])

    def keep(self, ids: Collection[str]) -> None:
        """Let only these pairs wait. Others are those of settings that are no longer used."""
        waiting = self.asked()
        if any(pair.id not in ids for pair in waiting):
            self._write([pair for pair in waiting if pair.id in ids])

    def _write(self, pairs: Sequence[Ask]) -> None:
        # The file is replaced as a whole, so that `annotate export` in another process sees either the old pairs or the
        # new ones.
        write_atomic(self.folder / WAITING, b"".join(dump_line(pair) for pair in pairs))

    def said(self) -> dict[str, list[Annotation]]:
        """Return {id of a pair: the last verdict of each person on it}."""
        path = self.folder / ANNOTATIONS
        # A later line of the same person replaces an earlier one, because a dict keeps the last value of a key.
        last = {(row.id, row.by): row for row in read_rows(path, Annotation)} if path.exists() else {}
        by_pair: dict[str, list[Annotation]] = {}
        for row in last.values():
            by_pair.setdefault(row.id, []).append(row)
        return by_pair

    def answer(self, annotations: Sequence[Annotation]) -> None:
        """Append verdicts to the file."""
        with explained_write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        # Verdicts are only appended, so a person's work is never overwritten.
        with Appender(self.folder / ANNOTATIONS) as out:
            out.append(annotations)
