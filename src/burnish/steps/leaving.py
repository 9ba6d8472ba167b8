"""Stages after which some rows have no label: rows that are removed, and rows of which no sample passed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from burnish.errors import DataError
from burnish.steps.artifacts import DEMONSTRATIONS, LEDGER, PARTS, iter_ledger, read_demonstrations
from burnish.steps.setting import Setting
from burnish.steps.tournaments import contenders_of
from burnish.store.files import iter_rows, write_rows, writing
from burnish.store.listings import write_listings
from burnish.store.stages import Work
from burnish.types import Artifact, Demonstration, Reason, Refinement

KEPT, REMOVED = "kept", "removed"
"""The parts into which these stages cut the rows: those with a label, and the others."""
AGREEING = "agreeing.jsonl"
"""The file with the samples that have the label's final answer, one for each row that has such a sample."""


def without(setting: Setting, labels: Artifact, replaced: Artifact, number: int) -> Artifact:
    """Remove the rows whose label a round of refinement replaced. The others keep their labels.

    The stage raises DataError if no row would be left.
    """

    def run(work: Work) -> None:
        current = read_demonstrations(labels)
        rows = ((removed(line), current[line.example_id]) for line in iter_ledger(replaced))
        if not _write(work, rows):
            raise DataError(f"drop: round {number} removed every row; set a smaller alpha, or fewer rounds")

    inputs = {"labels": labels, "replaced": replaced}
    return setting.steps.stage("without", {}, inputs, run, f"round {number} removal")


def removed(line: Refinement) -> Refinement:
    """Turn the ledger line of a replaced label into that of a removed row. Other lines stay as they are."""
    return line if line.reason is not Reason.ACCEPTED else dataclasses.replace(line, reason=Reason.REMOVED, chosen="")


def candidates(setting: Setting, labels: Artifact, samples: Artifact, number: int) -> Artifact:
    """Choose the sample of each row that is compared: the most frequent answer that differs from the label.

    Samples with the label's answer are written beside them.
    """

    def run(work: Work) -> None:
        rows = contenders_of(setting, labels, (samples,))
        write_rows(work.path / AGREEING, (row.agreeing for row in rows.values() if row.agreeing))
        work.count(rows=write_rows(work.path / DEMONSTRATIONS, (row.proposal for row in rows.values())))

    config, inputs = {"task": setting.steps.task_kind}, {"labels": labels, "samples": samples}
    return setting.steps.stage("candidates", config, inputs, run, f"round {number} candidates")


def passing(setting: Setting, tried: Artifact, refined: Artifact, number: int) -> Artifact:
    """Keep one sample of each row of which a sample passed: the one that was accepted, else one that agrees.

    The stage raises DataError if no sample passed.
    """

    def run(work: Work) -> None:
        refined_labels = read_demonstrations(refined)
        agreeing = {row.example_id: row for row in iter_rows(Path(tried.path) / AGREEING, Demonstration)}

        def passed() -> Iterator[tuple[Refinement, Demonstration]]:
            for line in iter_ledger(refined):
                label = refined_labels[line.example_id]
                if line.reason is not Reason.ACCEPTED:
                    label = agreeing.get(line.example_id, label)
                # An empty `chosen` says that no sample passed, whatever the reason is.
                stays = line.reason is Reason.ACCEPTED or line.example_id in agreeing
                yield dataclasses.replace(line, chosen=label.id if stays else ""), label

        if not _write(work, passed()):
            raise DataError(
                f"rest_em: no sample passed in round {number}, so there is nothing to train on; use more samples, a "
                "lower temperature, or a model that was trained longer"
            )

    inputs = {"tried": tried, "refined": refined}
    return setting.steps.stage("passing", {}, inputs, run, f"round {number} samples that passed")


def _write(work: Work, rows: Iterable[tuple[Refinement, Demonstration]]) -> int:
    """Write the ledger, the labels of the rows that stay, and the cut of the rows. A line without `chosen` leaves.

    Returns how many rows stay.
    """
    parts: dict[str, list[str]] = {KEPT: [], REMOVED: []}
    with writing(work.path / LEDGER) as ledger_line, writing(work.path / DEMONSTRATIONS) as label:
        for line, after in rows:
            ledger_line(line)
            parts[KEPT if line.chosen else REMOVED].append(line.example_id)
            if line.chosen:
                label(after)
    write_listings(work.path / PARTS, parts)
    work.count(rows=len(parts[KEPT]))
    return len(parts[KEPT])
