"""The stage in which an annotator judges comparisons: of a round of refinement or of DPO, or of test answers."""

from __future__ import annotations

from burnish.annotators.plan import AnnotatorPlan
from burnish.artifacts import PREFERENCES, Rows, read_comparisons, read_preferences
from burnish.stages import Stage, Work
from burnish.steps import Steps
from burnish.types import Artifact


def judge(steps: Steps, annotator: AnnotatorPlan, rows: Rows, compared: Artifact, label: str) -> Artifact:
    """Let the annotator judge every comparison of `compared`; finished units of its work survive a kill."""

    def run(work: Work) -> None:
        comparisons = read_comparisons(compared)
        with work.append(PREFERENCES) as out:
            done = read_preferences(work.path)
            if all(comparison.id in done for comparison in comparisons):
                return
            for preferences in annotator.make(rows).judge(comparisons, done.keys()):
                out.append(preferences)
                work.count(comparisons=len(preferences))

    return steps.run(
        Stage(
            name="judge",
            version=1,
            config=annotator.config,
            inputs={"comparisons": compared, **annotator.inputs},
            run=run,
            label=f"{steps.label} {label}",
            resumable=True,
        )
    )
