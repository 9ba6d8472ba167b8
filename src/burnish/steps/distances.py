"""How far apart labels and proposals are, where a model or a program has to say so: a stage of its own."""

from __future__ import annotations

from burnish.algorithms.comparisons import screen
from burnish.steps.artifacts import SCORES, read_demonstrations, read_scores
from burnish.steps.setting import Setting, TextPair
from burnish.store.stages import Stage, Work
from burnish.tasks.answers import graders
from burnish.types import Artifact


def distance(setting: Setting, current: Artifact, proposals: tuple[Artifact, ...], number: int) -> Artifact:
    """Measure the distance of each proposal, whose text differs, from the current label."""
    differing, task = setting.differing, setting.steps.task
    assert differing is not None

    def run(work: Work) -> None:
        examples, labels = setting.rows.prompts_only(), read_demonstrations(current)
        proposed = {id_: row for part in proposals for id_, row in read_demonstrations(part).items()}
        both = (side for id_, row in proposed.items() for side in (row, labels[id_]))
        grader_of = graders(task, setting.rows.examples(), both)
        pairs = [
            TextPair(
                id=id_,
                prompt=examples[id_].prompt,
                current=labels[id_].completion,
                proposal=proposed[id_].completion,
            )
            for id_ in sorted(proposed)
            if screen(grader_of(id_), labels[id_], proposed[id_]) is None
        ]
        with work.append(SCORES) as out:
            done = read_scores(Artifact(path=str(work.path), kind="", fingerprint=""))
            for batch in differing.measure([pair for pair in pairs if pair.id not in done]):
                out.append(batch)
                work.count(rows=len(batch))

    inputs = {"current": current, **differing.inputs}
    inputs |= {f"proposals_{place}": part for place, part in enumerate(proposals, 1)}
    config = {**differing.config, "task": setting.steps.task_kind}
    label = f"{setting.steps.label} round {number} distances"
    return setting.steps.run(
        Stage(name="distance", version=1, config=config, inputs=inputs, run=run, label=label, resumable=True)
    )
