"""What waits for people, and what they have said: two files in a refinement's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from burnish.store.files import Appender, dump_line, explained_write_errors, read_rows, write_atomic
from burnish.types import Order

WAITING = "waiting.jsonl"


ANNOTATIONS = "annotations.jsonl"


class Purpose(StrEnum):
    """What a pair is judged for: to choose between two answers, or to audit changes that were accepted."""

    COMPARE = "compare"
    AUDIT = "audit"


class Said(StrEnum):
    """What a person may say of a pair as it was shown."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A pair that waits for people. `shown` is the order in which `first` and `second` stand: who judges does not
    know which is the current answer."""

    id: str
    purpose: Purpose
    comparison_id: str
    example_id: str
    request: str
    first: str
    second: str
    shown: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What somebody said of a pair: of one by the same person the last one counts."""

    id: str
    said: Said
    by: str
    shown: Order


class Mailbox:
    """The two files in a refinement's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def asked(self) -> list[Ask]:
        """Read what waits, in its order; nothing if nothing waits."""
        path = self.folder / WAITING
        return read_rows(path, Ask) if path.exists() else []

    def ask(self, pairs: Sequence[Ask]) -> None:
        """Write what waits, instead of what waited before."""
        write_atomic(self.folder / WAITING, b"".join(dump_line(pair) for pair in pairs))

    def said(self) -> dict[str, list[Annotation]]:
        """Read {pair: what each person said of it last}."""
        path = self.folder / ANNOTATIONS
        last = {(row.id, row.by): row for row in read_rows(path, Annotation)} if path.exists() else {}
        found: dict[str, list[Annotation]] = {}
        for row in last.values():
            found.setdefault(row.id, []).append(row)
        return found

    def answer(self, annotations: Sequence[Annotation]) -> None:
        """Append verdicts."""
        with explained_write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with Appender(self.folder / ANNOTATIONS) as out:
            out.append(annotations)
