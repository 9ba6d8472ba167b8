"""The stage that reads demonstrations from a file: answers that people wrote, as `burnish study export` gives them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from burnish.algorithms.comparisons import request_text
from burnish.errors import DataError
from burnish.steps.artifacts import DEMONSTRATIONS, PARTS, Rows
from burnish.steps.data import DataSteps
from burnish.store.files import read_objects, write_rows
from burnish.store.listings import write_listings
from burnish.store.stages import Work
from burnish.tasks.rows import all_read, text_column
from burnish.types import Artifact, Demonstration, DemonstrationSource, Example

WRITTEN, REST = "written", "rest"
"""The parts of the training rows: those with a demonstration in the file, and the others."""


def written_demonstrations(steps: DataSteps, rows: Rows, file: Artifact, *, needs_rest: bool) -> Artifact:
    """Return the stage that gives rows the demonstrations of a JSONL file, and cuts the rows into `written` and `rest`.

    A line has the columns `prompt` and `completion`. Its row is the one whose id is in the column `id`, else one with
    the same prompt. `needs_rest` says that the rows without a demonstration are used, as ground truth. The stage raises
    DataError if a line fits no row, if a row has two lines, or if rows are needed and none is left.
    """

    def run(work: Work) -> None:
        examples = rows.prompts_only()
        found = demonstrated(Path(file.path), examples.items())
        rest = [id_ for id_ in examples if id_ not in found]
        if needs_rest and not rest:
            raise DataError(
                f"{file.path}: has a demonstration of every training row, but the annotator or `evaluate: validation` "
                "needs rows with right answers besides; take some lines out, or choose another annotator"
            )
        write_listings(work.path / PARTS, {WRITTEN: sorted(found), REST: sorted(rest)})
        work.count(rows=write_rows(work.path / DEMONSTRATIONS, (found[id_] for id_ in sorted(found))))

    return steps.stage("written", rows.config, {"file": file, **rows.inputs}, run, "demonstrations from a file")


def demonstrated(path: Path, examples: Iterable[tuple[str, Example]]) -> dict[str, Demonstration]:
    """Return {id of a row: its demonstration}. `examples` are the rows by their ids, in the order of the ids.

    Raises DataError as `written_demonstrations` does.
    """
    by_prompt, places = defaultdict[str, list[str]](list), dict[str, str]()
    for id_, example in examples:
        by_prompt[request_text(example.prompt).strip()].append(id_)
    ids = {id_ for same in by_prompt.values() for id_ in same}

    def read(where: str, columns: Mapping[str, Any]) -> Demonstration:
        prompt, completion = (text_column(where, columns, name) for name in ("prompt", "completion"))
        same = by_prompt.get(prompt.strip(), [])
        # The id of a study's item is that of the row only if the study was made from a run.
        own = [columns["id"]] if columns.get("id") in ids else same
        row = next((id_ for id_ in own if id_ not in places), None)
        if row is None:
            problem = (
                "fits no training row" if not own else f"is a second demonstration of one prompt ({places[own[0]]})"
            )
            raise DataError(f"{where}: the prompt {prompt!r:.60} {problem}; take the line out, or correct its prompt")
        places[row] = where
        return Demonstration(example_id=row, completion=completion, source=DemonstrationSource.HUMAN)

    lines = all_read(((f"{path}:{number}", line) for number, line in read_objects(path)), read)
    if not lines:
        raise DataError(f"{path}: has no rows; give a JSONL file with the columns prompt and completion")
    return {one.example_id: one for one in lines}
