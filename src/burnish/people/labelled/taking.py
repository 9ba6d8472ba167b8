"""`burnish study import`: pairs and answers of another labelling tool become files of burnish, or answers of a
refinement that waits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from burnish.errors import DataError
from burnish.forms.cells import shown
from burnish.people.labelled import argilla, label_studio
from burnish.people.labelled.judged_pairs import JudgedPair, Judgement, PairLayout
from burnish.people.mailbox import ANNOTATIONS, Annotation, Ask, Mailbox, Said
from burnish.people.study.export import LABELS, LabelLine
from burnish.store.files import explained_write_errors, read_objects, write_rows
from burnish.types import Order, short_hash

PAIRS = "pairs.jsonl"
_LETTERS = {Said.FIRST: "A", Said.SECOND: "B", Said.TIE: "tie"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPair:
    """A line of `pairs.jsonl`, which `burnish study new --from` reads."""

    id: str
    prompt: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAnswers:
    """How many pairs a file has, and how many answers were new."""

    pairs: int
    answers: int


def read_judged(file: Path, layout: PairLayout) -> list[JudgedPair]:
    """Read an export of Label Studio or Argilla: a JSON list, or one record a line.

    Raises DataError, which names the record, if the file is of another tool or a record cannot be read.
    """
    pairs = [_pair(where, row, layout) for where, row in _records(file)]
    if not pairs:
        raise DataError(f"{file}: has no records; export the pairs again")
    return pairs


def _records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not os.path.isfile(file):  # Path.is_file raises OSError for a name that is too long
        raise DataError(f"{file!s:.300}: no such file; check the path")
    if file.name.lower().endswith((".jsonl", ".jsonl.gz")):
        yield from ((f"{file}:{number}", row) for number, row in read_objects(file))
        return
    try:
        values: Any = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: is no JSON ({str(error)[:200]}); export the pairs as JSON") from None
    if not isinstance(values, list):
        raise DataError(f"{file}: {type(values).__name__} found; give a JSON list of tasks or records")
    for number, row in enumerate(cast("list[Any]", values), 1):
        if not isinstance(row, dict):
            raise DataError(f"{file} record {number}: {type(row).__name__} found; each record must be an object")
        yield f"{file} record {number}", cast("dict[str, Any]", row)


def _pair(where: str, row: dict[str, Any], layout: PairLayout) -> JudgedPair:
    if label_studio.is_task(row):
        return label_studio.judged_pair(where, row, layout)
    if argilla.is_record(row):
        return argilla.judged_pair(where, row, layout)
    raise DataError(
        f"{where}: is neither a task of Label Studio (with `data` and `annotations`) nor a record of Argilla (with "
        f"`fields` and `responses`), but has {', '.join(map(shown, row)):.200}; export the pairs as JSON"
    )


def write_imported(pairs: Sequence[JudgedPair], to: Path) -> TakenAnswers:
    """Write `pairs.jsonl`, `annotations.jsonl` and `labels.jsonl` into a folder. Raises DataError if two pairs have the
    same id."""
    named = _named(pairs)
    annotations = [_annotation(id_, one, Order.AB) for id_, pair in named.items() for one in pair.said]
    with explained_write_errors(to):
        to.mkdir(parents=True, exist_ok=True)
    write_rows(
        to / PAIRS,
        (ImportedPair(id=id_, prompt=pair.prompt, first=pair.first, second=pair.second) for id_, pair in named.items()),
    )
    write_rows(to / ANNOTATIONS, annotations)
    decided = (one for one in annotations if one.said in _LETTERS)
    write_rows(to / LABELS, (LabelLine(item=one.id, worker=one.by, label=_LETTERS[one.said]) for one in decided))
    return TakenAnswers(pairs=len(named), answers=len(annotations))


def _named(pairs: Sequence[JudgedPair]) -> dict[str, JudgedPair]:
    named: dict[str, JudgedPair] = {}
    for pair in pairs:
        id_ = pair.id or short_hash(pair.prompt, pair.first, pair.second)
        if named.setdefault(id_, pair) is not pair:
            raise DataError(f"the pair {id_!r:.80} occurs twice; give each pair an id of its own, or take one out")
    return named


def answer_waiting(pairs: Sequence[JudgedPair], folder: Path) -> TakenAnswers:
    """Add the answers to the folder of a refinement or a run that waits.

    A pair is known by its id, else by its texts, also if the tool showed them in the other order. Raises DataError if
    the folder never asked for one of the pairs.
    """
    mailbox = Mailbox(folder)
    asked = mailbox.asked()
    by_id = {ask.id: ask for ask in asked}
    by_texts = {(ask.request, frozenset((ask.first, ask.second))): ask for ask in asked}
    before = {(row.id, row.by): row for rows in mailbox.said().values() for row in rows}
    found: list[Annotation] = []
    for pair in pairs:
        ask = by_id.get(pair.id) or by_texts.get((pair.prompt, frozenset((pair.first, pair.second))))
        if ask is None:
            raise DataError(
                f"{folder}: no pair {pair.id or pair.prompt!r:.80} waits there; import the answers before the "
                "refinement goes on, into the folder whose pairs were judged"
            )
        found += [_annotation(ask.id, one, _order(pair, ask)) for one in pair.said]
    new = [row for row in found if before.get((row.id, row.by)) != row]
    if new:
        mailbox.answer(new)
    return TakenAnswers(pairs=len(pairs), answers=len(new))


def _order(pair: JudgedPair, ask: Ask) -> Order:
    """Return the order in which a tool showed a pair. Raises DataError if it showed other texts."""
    if (pair.first, pair.second) == (ask.first, ask.second):
        return ask.shown
    if (pair.first, pair.second) == (ask.second, ask.first):
        return ask.shown.other
    raise DataError(f"the pair {ask.id!r:.80} has other answers in the file than here; do not edit them in the tool")


def _annotation(id_: str, one: Judgement, shown_in: Order) -> Annotation:
    return Annotation(
        id=id_,
        said=one.said,
        by=one.by,
        shown=shown_in,
        confidence=one.confidence,
        note=one.note,
        value=one.value,
    )
