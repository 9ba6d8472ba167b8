"""The stage that measures how far proposals are from labels, for a measure that needs a model or a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from burnish.algorithms.comparisons import screen
from burnish.protocols import Score
from burnish.steps.artifacts import SCORES, read_demonstrations
from burnish.steps.data import Handling
from burnish.steps.setting import Setting, TextPair
from burnish.store.files import read_rows
from burnish.store.stages import Work
from burnish.tasks.answers import graders
from burnish.types import Artifact


def distance(setting: Setting, current: Artifact, proposals: tuple[Artifact, ...], number: int) -> Artifact:
    """Measure the distance of each proposal from the current label.

    A proposal that screening rejects, because it agrees or is invalid, is not measured.
    """
    differing, task = setting.differing, setting.steps.task
    assert differing is not None

    def run(work: Work) -> None:
        # The measure gets no references: they must not decide what is compared.
        examples, labels = setting.rows.prompts_only(), read_demonstrations(current)
        proposed = {id_: row for part in proposals for id_, row in read_demonstrations(part).items()}
        # A task that executes answers executes both sides of all pairs here at once.
        both = (side for id_, row in proposed.items() for side in (row, labels[id_]))
        grader_of = graders(task, setting.rows.examples(), both)
        pairs = [
            TextPair(
                id=id_,
                prompt=examples[id_].prompt,
                current=labels[id_].completion,
                proposal=proposed[id_].completion,
            )
            # Sorted, so that the order does not depend on the parts from which the proposals come.
            for id_ in sorted(proposed)
            if screen(grader_of(id_), labels[id_], proposed[id_]) is None
        ]

        def batches(scores: Path) -> Iterator[Sequence[Score]]:
            # A killed run leaves whole batches of scores. Only the pairs without a score are measured again.
            done = {row.id for row in read_rows(scores, Score)}
            work.expect(len(pairs), len(done))
            return differing.measure([pair for pair in pairs if pair.id not in done])

        work.append_batches(SCORES, batches, lambda batch: {"rows": len(batch)})

    inputs = {"current": current, **differing.inputs}
    inputs |= {f"proposals_{place}": part for place, part in enumerate(proposals, 1)}
    config = {**differing.config, "task": setting.steps.task_kind}
    handling = Handling(resumable=True, outside=differing.outside)
    return setting.steps.stage("distance", config, inputs, run, f"round {number} distances", handling)
