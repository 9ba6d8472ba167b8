"""People as annotators, through a folder: what waits for them, and what they have said.

`waiting.jsonl` has the pairs that a run needs judged, each in one blinded order; `annotations.jsonl` collects verdicts
and is only ever appended to. A page or a file is how they get from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from burnish.annotators.program import SECOND_BETTER, request_text
from burnish.comparisons import combined, voted
from burnish.errors import Paused
from burnish.store import Appender, dump_line, full_disk, read_rows, write_atomic
from burnish.types import Comparison, Example, Order, Preference, short_hash

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
        with full_disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with Appender(self.folder / ANNOTATIONS) as out:
            out.append(annotations)


class PeopleAnnotator:
    """Takes what people have said; where something is missing, writes it down and pauses the run.

    Each pair is shown in one order, which a hash of seed and pair decides: whoever judges twice notices. Several
    verdicts on a pair vote.
    """

    order_free = False
    fingerprint = "people"

    def __init__(self, mailbox: Mailbox, purpose: Purpose, examples: Mapping[str, Example], seed: int) -> None:
        self.mailbox, self.purpose, self.examples, self.seed = mailbox, purpose, examples, seed

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield what was said in one batch, once each pair has been judged by somebody; else raises Paused."""
        said = self.mailbox.said()
        missing = [self._ask(one) for one in comparisons if self._name(one) not in said]
        self.mailbox.ask(missing)
        if missing:
            folder = self.mailbox.folder
            raise Paused(
                f"{len(missing)} of {len(comparisons)} pairs wait for people ({self.purpose})",
                f"burnish annotate export {folder} --to pairs.csv\nfill in the column `verdict`\n"
                f"burnish annotate import {folder} pairs.csv",
            )
        yield [voted([_preference(one.id, each) for each in said[self._name(one)]]) for one in comparisons]

    def _name(self, comparison: Comparison) -> str:
        return f"{self.purpose}-{comparison.id}"

    def _ask(self, one: Comparison) -> Ask:
        swapped = int(short_hash("shown", str(self.seed), one.id), 16) % 2 == 1
        first, second = (one.b, one.a) if swapped else (one.a, one.b)
        return Ask(
            id=self._name(one),
            purpose=self.purpose,
            comparison_id=one.id,
            example_id=one.example_id,
            request=request_text(self.examples[one.example_id].prompt),
            first=first.completion,
            second=second.completion,
            shown=Order.BA if swapped else Order.AB,
        )


def _preference(comparison_id: str, annotation: Annotation) -> Preference:
    return combined(comparison_id, (annotation.shown,), (SECOND_BETTER[annotation.said],), f"people:{annotation.by}")
