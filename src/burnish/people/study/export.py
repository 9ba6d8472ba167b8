"""What a study gives back: annotations, demonstrations, and a table of all answers. No file has an id of a platform."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish.config.study import ComparisonStudy, DemonstrationStudy
from burnish.errors import ConfigError, DataError
from burnish.people.mailbox import ANNOTATIONS, WAITING, Annotation, Mailbox, said_by_value
from burnish.people.study import reading
from burnish.people.study.answering import winner
from burnish.people.study.checking import is_right
from burnish.people.study.model import AnswerRow, AssignmentState, ItemRole
from burnish.store.files import explained_write_errors, write_rows
from burnish.types import Order

DEMONSTRATIONS, ANSWERS, LABELS = "demonstrations.jsonl", "answers.jsonl", "labels.jsonl"
GOLD = "gold.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenDemonstration:
    """An answer that a person wrote. `id` is that of the item, and `by` is the public name of the person."""

    id: str
    prompt: str
    completion: str
    by: str
    seconds: float
    late: bool
    early: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLine:
    """One answer of a study: also those to questions with a known answer, and those that no longer count.

    `choice` is the better side in the pair's own order: A, B or tie. `right` says for screening pairs, checks and gold
    pairs whether the answer was right (a check: whether it has one of the expected words). `weight` is
    1 / P(the item was sent to people).
    """

    item: str
    role: ItemRole
    worker: str
    counts: bool
    shown: Order | None
    value: int | None
    choice: str
    right: bool | None
    text: str
    note: str
    seconds: float
    late: bool
    early: bool
    trial: int
    weight: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelLine:
    """The choice of a person on a pair, in the pair's own order, for `burnish agreement`."""

    item: str
    worker: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldLine:
    """The choice of a person on a gold pair and the right one, for `burnish agreement --gold`."""

    item: str
    worker: str
    label: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export wrote: the files, and the number of answers that count."""

    files: tuple[Path, ...]
    answers: int


def export_study(db: sqlite3.Connection, to: Path, *, notes: bool = False) -> Exported:
    """Write the answers of a study into a folder.

    The folder gets `annotations.jsonl` or `demonstrations.jsonl` with the answers that count, and `answers.jsonl` with
    all of them. Comparisons are also written as `labels.jsonl`, a plain table of the choices, and the choices on gold
    pairs, if there are any, as `gold.jsonl`. `notes` adds the notes that people wrote, which may say who they are.
    Raises ConfigError if the folder holds files of a refinement.
    """
    if (to / WAITING).exists():
        raise ConfigError(f"--to: {str(to)!r} is the folder of a refinement; name another one, or use --into")
    with explained_write_errors(to):
        to.mkdir(parents=True, exist_ok=True)
    rules = reading.rules_of(db)
    files = [to / ANSWERS]
    match rules:
        case ComparisonStudy():
            name, rows = ANNOTATIONS, list[object](study_annotations(db, rules, notes=notes))
            write_rows(to / LABELS, labels_of(db))
            files.append(to / LABELS)
            if gold := list(gold_labels(db)):
                write_rows(to / GOLD, gold)
                files.append(to / GOLD)
        case DemonstrationStudy():
            name, rows = DEMONSTRATIONS, list[object](_demonstrations(db))
    write_rows(to / name, rows)
    write_rows(to / ANSWERS, _lines(db, notes=notes))
    return Exported(files=(to / name, *files), answers=len(rows))


def deliver(db: sqlite3.Connection, folder: Path, *, notes: bool = False) -> int:
    """Add the annotations of a study to the folder of the refinement that waits for them, and return how many are new.

    Raises ConfigError for a study of demonstrations, and DataError if the folder never asked for one of the pairs.
    """
    rules = reading.rules_of(db)
    if not isinstance(rules, ComparisonStudy):
        raise ConfigError("--into: a study of demonstrations answers no pairs; use --to, and refine its file")
    mailbox = Mailbox(folder)
    said = mailbox.said()
    asked = {pair.id for pair in mailbox.asked()} | said.keys()
    if not asked:
        raise DataError(f"{folder}: asked people about no pair; name the folder from which the study was made")
    before = {(row.id, row.by): row for rows in said.values() for row in rows}
    found = list(study_annotations(db, rules, notes=notes))
    foreign = [row.id for row in found if row.id not in asked]
    if foreign:
        raise DataError(
            f"{folder}: never asked for the pair {foreign[0]!r:.80}, which this study has; name the folder from which "
            "the study was made"
        )
    new = [row for row in found if before.get((row.id, row.by)) != row]
    if new:
        mailbox.answer(new)
    return len(new)


def study_annotations(db: sqlite3.Connection, rules: ComparisonStudy, *, notes: bool) -> Iterator[Annotation]:
    """Yield the answers that count as annotations, as `burnish annotate import` and `burnish refine` read them."""
    for one in counting(db):
        assert one.value is not None
        assert one.shown is not None
        yield Annotation(
            id=one.item,
            said=said_by_value(one.value),
            by=one.by,
            shown=one.shown,
            # So P(the second is better) = (value + 3) / 6 on a scale of 7 points.
            confidence=abs(one.value) / rules.most_value,
            note=one.note if notes else "",
            value=one.value,
            seconds=round(one.seconds, 3),
            late=one.late,
            early=one.early,
        )


def _demonstrations(db: sqlite3.Connection) -> Iterator[WrittenDemonstration]:
    for one in counting(db):
        yield WrittenDemonstration(
            id=one.item,
            prompt=one.prompt,
            completion=one.text,
            by=one.by,
            seconds=round(one.seconds, 3),
            late=one.late,
            early=one.early,
        )


def labels_of(db: sqlite3.Connection) -> Iterator[LabelLine]:
    """Yield the choices that count. Demonstrations have none."""
    for one in counting(db):
        if one.value is None or one.shown is None:
            continue
        yield LabelLine(item=one.item, worker=one.by, label=choice_of(one.value, one.shown))


def gold_labels(db: sqlite3.Connection) -> Iterator[GoldLine]:
    """Yield the choices on gold pairs, sorted by pair and person. Those of rejected people are among them."""
    rows = (one for one in reading.answers(db) if one.role is ItemRole.GOLD)
    for one in sorted(rows, key=lambda one: (one.item, one.by)):
        assert one.value is not None
        assert one.shown is not None
        yield GoldLine(item=one.item, worker=one.by, label=choice_of(one.value, one.shown), right=one.expected.upper())


def counting(db: sqlite3.Connection) -> Iterator[AnswerRow]:
    """Yield the answers to work that were not voided, sorted by item and person."""
    counting = (
        one for one in reading.answers(db) if one.role is ItemRole.WORK and one.state is AssignmentState.ANSWERED
    )
    yield from sorted(counting, key=lambda one: (one.item, one.by))


def _lines(db: sqlite3.Connection, *, notes: bool) -> Iterator[AnswerLine]:
    for one in reading.answers(db):
        yield AnswerLine(
            item=one.item,
            role=one.role,
            worker=one.by,
            counts=one.state is AssignmentState.ANSWERED,
            shown=one.shown,
            value=one.value,
            choice=own_choice(one),
            right=is_right(one),
            text=one.text,
            note=one.note if notes else "",
            seconds=round(one.seconds, 3),
            late=one.late,
            early=one.early,
            trial=one.trial,
            weight=one.weight,
            why=one.why,
        )


def own_choice(one: AnswerRow) -> str:
    """Return the better side of a pair in its own order: A, B or tie. It is "" for a text."""
    return "" if one.value is None or one.shown is None else choice_of(one.value, one.shown)


def choice_of(value: int, shown: Order) -> str:
    """Return the better side of a pair in its own order, as labels have it: A, B or tie. `value` is as it was shown."""
    return winner(value, shown).upper() or "tie"
