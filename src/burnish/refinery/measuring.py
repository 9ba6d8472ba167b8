"""What a reference column tells of a refinement: accuracies with intervals. Nothing here changes a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from burnish.algorithms.ledger_lines import right_calls
from burnish.ledger.summary import HarmSummary, RoundSummary
from burnish.methods import Round
from burnish.protocols import Grader
from burnish.results import Metric
from burnish.steps.artifacts import Rows, iter_ledger, read_demonstrations
from burnish.steps.auditing import read_harm
from burnish.store.files import as_mapping
from burnish.types import Artifact, Demonstration, Reason, Refinement


class Reference:
    """Right answers, for the rows that have one."""

    def __init__(self, rows: Rows, task: Grader) -> None:
        self.task = task
        self.examples = {id_: example for id_, example in rows.examples().items() if example.reference}

    def right(self, example_id: str, answer: Demonstration) -> bool:
        """Say whether an answer is right; one without an end is not."""
        return answer.finished and self.task.on(self.examples[example_id]).grade(answer.completion).correct

    def labels(self, demonstrations: Artifact) -> Metric:
        """Return the share of right labels."""
        given = read_demonstrations(demonstrations)
        return Metric.share(sum(self.right(id_, given[id_]) for id_ in self.examples), len(self.examples))

    def decisive(self, lines: Iterable[Refinement], answers: Mapping[str, Demonstration]) -> Metric:
        """Return the share of right verdicts among comparisons of which exactly one side is right. Ties and abstentions
        are left out."""
        known = (line for line in lines if line.example_id in self.examples)
        return Metric.share(*right_calls(known, lambda id_, side: self.right(id_, answers[side])))


def summarised(one: Round, reference: Reference | None) -> RoundSummary:
    """Return what happened in a round."""
    assert one.compared is not None, one
    ledger = one.compared.ledger
    counts = Counter(line.reason for line in iter_ledger(ledger))
    compared = sum(line.score is not None for line in iter_ledger(ledger))
    annotator_accuracy = accepted_accuracy = None
    if reference and compared:
        answers = {row.id: row for side in one.compared.sides for row in read_demonstrations(side).values()}
        judged = [line for line in iter_ledger(ledger) if line.score is not None]
        annotator_accuracy = reference.decisive(judged, answers)
        accepted_accuracy = reference.decisive((line for line in judged if line.reason is Reason.ACCEPTED), answers)
    harm = read_harm(one.demonstrations)
    return RoundSummary(
        round=one.number,
        fingerprint=one.demonstrations.fingerprint,
        counts={str(reason): n for reason, n in sorted(counts.items())},
        compared=compared,
        replaced=Metric.share(counts[Reason.ACCEPTED], counts.total()),
        label_accuracy=reference.labels(one.demonstrations) if reference else None,
        annotator_accuracy=annotator_accuracy,
        accepted_accuracy=accepted_accuracy,
        harm=HarmSummary(**{k: v for k, v in as_mapping(harm).items() if k != "round"}) if harm else None,
    )


def exists(artifact: Artifact) -> bool:
    """Say whether a planned artifact is there."""
    return (Path(artifact.path) / "manifest.json").is_file()
