"""The verb `revert`: a change is taken back by a line in the ledger; what follows from the ledger is written anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from burnish.errors import ConfigError, DataError
from burnish.ledger.folder import LEDGER, Folder
from burnish.ledger.history import check_round, unknown
from burnish.ledger.page import write_page
from burnish.ledger.replay import ChangedRow, Replayed, replayed
from burnish.types import Reason, Refinement

USER = "user"
"""Who takes changes back, in the ledger."""


def revert(folder_path: Path, round_: int | None, ids: Sequence[str]) -> int:
    """Take back what a round changed, or all changes of some rows; returns how many rows went back.

    A row goes back to the answer that stood before the round (later changes of it fall too), or for an id to the one
    that the dataset came with. Raises DataError where there is nothing to take back: then nothing changes.
    """
    if (round_ is None) == (not ids):
        raise ConfigError("revert: give a round or ids; --round K takes back a round's changes, --id X those of a row")
    folder = Folder(folder_path)
    _ = folder.summary  # says where this is no refinement's folder
    with folder.locked():
        return _revert(folder, round_, ids)


def _revert(folder: Folder, round_: int | None, ids: Sequence[str]) -> int:
    ledger = replayed(folder.ledger())
    try:
        lines = _of_ids(folder, ledger, ids) if round_ is None else _of_round(folder, ledger, round_)
    except DataError:
        # A killed call may have come as far as the ledger: then what follows from it is still to be written.
        if ledger.reverted:
            _finish(folder, ledger.reverted)
        raise
    _outdate_model(folder)
    folder.extend(LEDGER, lines)
    _finish(folder, replayed(folder.ledger()).reverted)
    return len(lines)


def _of_round(folder: Folder, ledger: Replayed, round_: int) -> list[Refinement]:
    check_round(folder, round_, ledger.rounds)
    lines = [
        _line(id_, row, round_, row.before(round_))
        for id_, row in ledger.rows.items()
        if any(line.round == round_ for line in row.standing)
    ]
    if not lines:
        raise DataError(f"{folder.path}: no change of round {round_} stands; there is nothing to take back")
    return lines


def _of_ids(folder: Folder, ledger: Replayed, ids: Sequence[str]) -> list[Refinement]:
    known: Mapping[str, ChangedRow] = ledger.rows
    lines: list[Refinement] = []
    for id_ in dict.fromkeys(ids):
        row = known.get(id_)
        if row is None or not row.standing:
            raise _unchanged(folder, id_, row)
        lines.append(_line(id_, row, row.standing[-1].round, row.given))
    return lines


def _unchanged(folder: Folder, id_: str, row: ChangedRow | None) -> DataError:
    if row is not None:
        return DataError(f"{folder.path}: the row {id_!r} went back to its given answer already; leave it out")
    if any(example.id == id_ for example in folder.examples()):
        return DataError(
            f"{folder.path}: the row {id_!r} was never changed; leave it out (`burnish diff` lists changes)"
        )
    return unknown(folder, id_)


def _line(id_: str, row: ChangedRow, round_: int, restored: str) -> Refinement:
    return Refinement(
        example_id=id_,
        round=round_,
        kept=row.answer,
        proposed=row.answer,
        chosen=restored,
        score=None,
        p_b_ab=None,
        p_b_ba=None,
        annotator=USER,
        model="",
        reason=Reason.REVERTED,
    )


def _outdate_model(folder: Folder) -> None:
    """Say that the model is not of the labels as they stand: first, so that a kill cannot leave it called current."""
    summary = folder.summary
    if summary.model is not None and summary.model.current:
        model = summary.model.model_copy(update={"current": False})
        folder.write_summary(summary.model_copy(update={"model": model}))


def _finish(folder: Folder, reverted: int) -> None:
    """Write what follows from the ledger; the same again changes nothing."""
    folder.rewrite_dataset()
    summary = folder.summary.model_copy(update={"reverted": reverted})
    write_page(folder.path, summary)
    folder.write_summary(summary)
