"""The command `revert`: a new line in the ledger takes a change back. Everything that follows from the ledger is then
written again."""

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
"""The annotator that the ledger names for changes that the user takes back."""


def revert(folder_path: Path, round_: int | None, ids: Sequence[str]) -> int:
    """Take back what a round changed, or all changes of some rows. Returns how many rows went back.

    With a round, a row gets the answer back that it had before the round; later changes of it are taken back, too. With
    an id, it gets the answer back that the dataset came with. Raises ConfigError unless exactly one of `round_` and
    `ids` is given. Raises DataError if there is nothing to take back; then nothing changes.
    """
    if (round_ is None) == (not ids):
        raise ConfigError(
            "revert: give either a round or ids; --round K takes back the changes of a round, --id X those of a row"
        )
    folder = Folder(folder_path)
    _ = folder.summary  # raises DataError if this is no refinement's folder
    with folder.locked():
        return _revert(folder, round_, ids)


def _revert(folder: Folder, round_: int | None, ids: Sequence[str]) -> int:
    """Take changes back, while the folder is locked."""
    ledger = replayed(folder.ledger())
    try:
        lines = _of_ids(folder, ledger, ids) if round_ is None else _of_round(folder, ledger, round_)
    except DataError:
        # An earlier call may have been killed after it wrote the ledger. Then nothing is left to take back, but
        # the other files must still be written.
        if ledger.reverted:
            _finish(folder, ledger.reverted)
        raise
    _outdate_model(folder)
    folder.extend(LEDGER, lines)
    _finish(folder, replayed(folder.ledger()).reverted)
    return len(lines)


def _of_round(folder: Folder, ledger: Replayed, round_: int) -> list[Refinement]:
    """Return the lines that take a round back. Raises DataError if no change of it stands."""
    check_round(folder, round_, ledger.rounds)
    lines = [
        _line(id_, row, round_, row.before(round_))
        for id_, row in ledger.rows.items()
        # Rows whose change of this round was taken back earlier are left alone.
        if any(line.round == round_ for line in row.standing)
    ]
    if not lines:
        raise DataError(f"{folder.path}: no change of round {round_} stands; there is nothing to take back")
    return lines


def _of_ids(folder: Folder, ledger: Replayed, ids: Sequence[str]) -> list[Refinement]:
    """Return the lines that take all changes of these rows back. Raises DataError if a row has none."""
    known: Mapping[str, ChangedRow] = ledger.rows
    lines: list[Refinement] = []
    # An id that is given twice is taken back once.
    for id_ in dict.fromkeys(ids):
        row = known.get(id_)
        if row is None or not row.standing:
            raise _unchanged(folder, id_, row)
        lines.append(_line(id_, row, row.standing[-1].round, row.given))
    return lines


def _unchanged(folder: Folder, id_: str, row: ChangedRow | None) -> DataError:
    """Return the error that says why a row has no change that could be taken back."""
    if row is not None:
        return DataError(f"{folder.path}: the row {id_!r} has its first answer back already; leave it out")
    # Two mistakes get two messages: a row that was never changed, and an id that does not exist.
    if any(example.id == id_ for example in folder.examples()):
        return DataError(
            f"{folder.path}: the row {id_!r} was never changed; leave it out (`burnish diff` lists changes)"
        )
    return unknown(folder, id_)


def _line(id_: str, row: ChangedRow, round_: int, restored: str) -> Refinement:
    """Return the line of a revert: who did it, and which answer the row gets back."""
    return Refinement(
        example_id=id_,
        round=round_,
        # A revert proposes nothing, so `proposed` repeats the present answer.
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
    """Record in the summary that the model was not trained on the present labels."""
    summary = folder.summary
    # Before the ledger is written, so that a kill cannot leave an outdated model that is called current.
    if summary.model is not None and summary.model.current:
        model = summary.model.model_copy(update={"current": False})
        folder.write_summary(summary.model_copy(update={"model": model}))


def _finish(folder: Folder, reverted: int) -> None:
    """Write everything that follows from the ledger. To do it twice changes nothing."""
    folder.rewrite_dataset()
    # What is right now was measured before this revert.
    summary = folder.summary.model_copy(update={"reverted": reverted, "present_accuracy": None})
    write_page(folder.path, summary)
    folder.write_summary(summary)
