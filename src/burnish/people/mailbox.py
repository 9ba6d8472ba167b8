"""The pairs that wait for people, and their verdicts: two files in a refinement's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from burnish.store.files import Appender, explained_write_errors, read_rows, write_atomic
from burnish.store.json_rows import dump_line
from burnish.types import Order

WAITING = "waiting.jsonl"


ANNOTATIONS = "annotations.jsonl"


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
    current one. `current` says who wrote the current answer, such as `given` or `proposal`. It is empty if the pair has
    no current answer, because both are new.
    """

    id: str
    purpose: Purpose
    comparison_id: str
    example_id: str
    request: str
    first: str
    second: str
    shown: Order
    current: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A person's verdict on a pair. If the same person judges a pair again, the last verdict counts.

    `confidence` is how sure the person is, from 0 (not at all) to 1, or None if the person did not say. `note` is free
    text for people who read the file.

    The other fields come from a study (`burnish study`) and are for people who read the file. `value` is the point on
    the scale as it was shown: negative for the first answer, 0 for alike. `seconds` is the time from the first showing
    to the answer. `late` and `early` say that it was above or below what the study asks for.
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


class Mailbox:
    """The two files in a refinement's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def asked(self) -> list[Ask]:
        """Return the pairs that wait, in their order. The list is empty if no pair waits."""
        path = self.folder / WAITING
        # Before the first pair waits, there is no file.
        return read_rows(path, Ask) if path.exists() else []

    def ask(self, pairs: Sequence[Ask]) -> None:
        """Write the pairs that wait. This replaces the pairs that waited before."""
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
