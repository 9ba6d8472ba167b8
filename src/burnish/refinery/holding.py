"""The stage that holds rows out of a refinement, and what is left to refine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from burnish.algorithms.holdout import HeldOut, RowOfPrompt, held_out
from burnish.forms.recognise import UsableRow
from burnish.refinery.dataset import MOST_PROMPTS, DataFacts
from burnish.refinery.inputs import RefinementInputs
from burnish.report.text import plural
from burnish.steps.artifacts import DEMONSTRATIONS, PARTS, Rows, read_demonstrations
from burnish.steps.basic import Steps
from burnish.store.files import write_rows
from burnish.store.listings import listed, write_listings
from burnish.store.stages import Work
from burnish.types import Artifact, Example, prompt_group

ASKED, BESIDE, KEPT = "asked", "beside", "kept"
"""The parts of the rows, as `HeldOut` has them."""


def hold_out(steps: Steps, rows: Rows, labels: Artifact, count: int) -> Artifact:
    """Return the stage that cuts the rows into the parts of `HeldOut`, and writes the labels of the kept rows.

    The stage raises DataError as `held_out` does.
    """

    def run(work: Work) -> None:
        held = held_out(map(_of_example, rows.examples().values()), count, steps.seed)
        write_listings(work.path / PARTS, {ASKED: held.asked, BESIDE: held.beside, KEPT: held.kept})
        given = read_demonstrations(labels)
        work.count(rows=write_rows(work.path / DEMONSTRATIONS, (given[id_] for id_ in held.kept)))

    config = {"count": count, "seed": steps.seed, **rows.config}
    return steps.stage("holdout", config, {"labels": labels, **rows.inputs}, run, "rows held out")


def _of_example(example: Example) -> RowOfPrompt:
    return RowOfPrompt(id=example.id, group=example.group, referenced=bool(example.reference))


def held_ids(holdout: Artifact) -> list[str]:
    """Return the ids of the rows that a finished stage held out, sorted."""
    return sorted(listed(Path(holdout.path) / PARTS, {ASKED, BESIDE}))


def would_hold_out(found: RefinementInputs) -> int:
    """Return how many rows a run would hold out. Raises DataError as the stage does."""
    count = found.config.holdout
    if count is None:
        return 0
    usable = (row for row in found.table.read() if isinstance(row, UsableRow) and row.position not in found.refused)
    # A dry run knows no ids yet. The place names the row, too, and the groups alone decide how many rows are held out.
    rows: Iterable[RowOfPrompt] = (
        RowOfPrompt(id=row.where, group=prompt_group(row.prompt), referenced=bool(row.reference)) for row in usable
    )
    held: HeldOut = held_out(rows, count, found.config.seed)
    return held.rows


def left_of(facts: DataFacts, count: int | None, held: int) -> DataFacts:
    """Return the facts about the rows that are left if `held` rows of `count` prompts are held out."""
    if count is None:
        return facts
    # If so many prompts were found that the count stopped, it is not known how many are left.
    counted = facts.prompts is not None and facts.prompts < MOST_PROMPTS
    left = facts.usable - held
    return dataclasses.replace(
        facts,
        usable=left,
        characters=round(facts.characters * left / facts.usable),
        prompts=facts.prompts - count if counted and facts.prompts is not None else None,
    )


def held_words(count: int | None, held: int) -> str | None:
    """Say what is held out, or return None if nothing is."""
    if count is None:
        return None
    return f"held out: {plural(held, 'row')} of {plural(count, 'prompt')}, never trained on, compared or changed"
